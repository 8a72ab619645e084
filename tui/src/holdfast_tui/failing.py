"""How a failure is told: one or two lines for people, one object for programs, an exit code."""

from __future__ import annotations

import sys

from holdfast_protocol.api import ErrorAnswer, ErrorDetail
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import TABLE, Code, HoldfastError

from holdfast_tui.logic.text import clean, json_safe

USAGE_NEXT = "See how it is used: {command} --help."


def tell(error: HoldfastError, *, as_json: bool) -> int:
    """Print ``error`` and return its exit code."""
    detail = ErrorDetail(
        code=error.code.value, message=error.message, next=error.next, file=error.file
    )
    _print(detail, as_json=as_json)
    return error.exit_code


def tell_usage(message: str, command: str, *, as_json: bool) -> int:
    """Print what is wrong with the command line and return 2."""
    detail = ErrorDetail(
        code=Code.BAD_REQUEST.value,
        message=_sentence(message),
        next=USAGE_NEXT.format(command=command),
    )
    _print(detail, as_json=as_json)
    return TABLE[Code.BAD_REQUEST].exit_code


def _print(detail: ErrorDetail, *, as_json: bool) -> None:
    if as_json:
        print(json_safe(encode(ErrorAnswer(error=detail)).decode()), flush=True)
        return
    sys.stdout.flush()
    print(f"{detail.code}: {clean(detail.message)}", file=sys.stderr)
    print(clean(detail.next), file=sys.stderr, flush=True)


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith((".", "?", "!")) else f"{line}."
