"""The gate of model files: a program of its own, run shut in by :mod:`sandbox`.

Reads a GGUF file from standard input, writes one JSON object to standard output: ``{"facts": …}``
or ``{"error": …}``. It limits its own memory and time before it reads the first byte.
"""

from __future__ import annotations

import os
import resource
import sys

import msgspec
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import GATE_CPU_S, GATE_MEMORY_BYTES, GGUF_HEADER_BYTES

from holdfast_bundles.logic import gguf_header
from holdfast_bundles.logic.gguf_header import GgufFacts


class GateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says: the facts, or why the file is refused."""

    facts: GgufFacts | None = None
    error: str | None = None


def main() -> None:
    """Judge the file on standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (GATE_MEMORY_BYTES, GATE_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (GATE_CPU_S, GATE_CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    size = os.fstat(0).st_size
    try:
        answer = GateAnswer(facts=gguf_header.parse(_head(), size))
    except HoldfastError as error:
        answer = GateAnswer(error=error.message)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def _head() -> bytes:
    with os.fdopen(0, "rb", closefd=False) as file:
        return file.read(GGUF_HEADER_BYTES)


if __name__ == "__main__":
    main()
