"""Runs a model's golden probes against its engine before any application may ask it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from holdfast_bundles.logic.probes import Probe, parse
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_agent.engines import local
from holdfast_agent.logic import probes


async def run_probes(socket: Path, file: bytes | None, deadline_s: float) -> int:
    """Return how many probes passed: all of ``file``, the signed probe file; 0 without one.

    ``deadline_s`` is for all of them together. Raises ``PROBE_FAILED`` at the first that the
    engine answers otherwise or refuses, ``METADATA_MALFORMED`` for a file that is none,
    ``DEADLINE`` and ``ENGINE_FAILED``.
    """
    if file is None:
        return 0
    deadline = asyncio.get_running_loop().time() + deadline_s
    listed = parse(file, "probes")
    for probe in listed:
        left_s = deadline - asyncio.get_running_loop().time()
        probes.check(probe, await _answer(socket, probe, max(0.0, left_s)))
    return len(listed)


async def _answer(socket: Path, probe: Probe, timeout_s: float) -> bytes:
    """Return the whole answer: a model that fails in the middle must fail here."""
    objects: list[bytes] = []
    asked = local.infer(socket, probe.op, probes.request_body(probe), timeout_s)
    try:
        async with contextlib.aclosing(asked) as chunks:
            async for chunk in chunks:
                objects.extend(chunk.objects)
    except HoldfastError as error:
        if error.code in (Code.DEADLINE, Code.ENGINE_FAILED):
            raise
        raise HoldfastError(
            Code.PROBE_FAILED, f"Golden probe {probe.name} was refused: {error.message}"
        ) from error
    return b"".join(objects)
