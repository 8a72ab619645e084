"""Why an engine ended, from its exit status and its last words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from holdfast_protocol.errors import Code

_LOAD_FAILED: Final = 3
_SIGKILL: Final = -9

# First match wins; the words are llama.cpp's own. Memory stands before format because a failed
# allocation is followed by "failed to load model".
_WORDS: Final = (
    ("out of memory", Code.VRAM_DRIFT),
    ("failed to allocate", Code.VRAM_DRIFT),
    ("unable to allocate", Code.VRAM_DRIFT),
    ("cannot allocate memory", Code.VRAM_DRIFT),
    ("bad_alloc", Code.VRAM_DRIFT),
    ("within the file bounds", Code.FORMAT_REFUSED),
    ("invalid magic", Code.FORMAT_REFUSED),
    ("unknown model architecture", Code.FORMAT_REFUSED),
    ("key not found in model", Code.FORMAT_REFUSED),
    ("failed to read", Code.FORMAT_REFUSED),
    ("invalid tensor", Code.FORMAT_REFUSED),
    ("wrong number of tensors", Code.FORMAT_REFUSED),
    ("missing tensor", Code.FORMAT_REFUSED),
    ("failed to load model", Code.FORMAT_REFUSED),
    ("error loading model", Code.FORMAT_REFUSED),
)
_SPEAKS_OF_FAILURE: Final = ("error", "fail", "invalid", "bounds", "unknown", "out of", "abort")
_QUOTE_LENGTH: Final = 200


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """A code, one sentence for the operator, and the engine's last lines."""

    code: Code
    message: str
    lines: tuple[str, ...] = ()


def diagnose(slot: str, returncode: int | None, lines: Sequence[str]) -> Diagnosis:
    """Return why the engine of ``slot`` ended; ``returncode`` is ``None`` while it runs.

    Below zero is the signal that ended it, as in :mod:`subprocess`.
    """
    quoted = _telling_line(lines)
    code = _code(lines) if returncode == _LOAD_FAILED else None
    if code is None:
        code = Code.ENGINE_FAILED
    return Diagnosis(
        code=code,
        message=f"The engine of {slot} {_end(returncode)}{f': {quoted}' if quoted else ''}.",
        lines=tuple(lines),
    )


def _code(lines: Sequence[str]) -> Code | None:
    text = "\n".join(lines).lower()
    return next((code for words, code in _WORDS if words in text), None)


def _end(returncode: int | None) -> str:
    if returncode is None:
        return "runs but does not answer"
    if returncode == _LOAD_FAILED:
        return "could not load the model"
    if returncode == _SIGKILL:
        return "was killed (signal 9; often for memory)"
    if returncode < 0:
        return f"was ended by signal {-returncode}"
    return f"ended with status {returncode}"


def _telling_line(lines: Sequence[str]) -> str:
    """Return the first line that speaks of a failure: what follows it are its consequences."""
    for line in lines:
        lowered = line.lower()
        if any(word in lowered for word in _SPEAKS_OF_FAILURE):
            return line.strip().rstrip(".")[:_QUOTE_LENGTH]
    return lines[-1].strip().rstrip(".")[:_QUOTE_LENGTH] if lines else ""
