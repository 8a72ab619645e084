"""Message headers, strictly: bytes to names and values and back. Pure, and parsing never raises.

A block that is not exactly well-formed makes the whole message unacceptable rather than losing a
line of it: a narrowing label that vanished would widen a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import HEADER_BYTES, HEADER_LINES

_VERSION: Final = b"NATS/1.0"
_END: Final = b"\r\n"
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_STATUS: Final = re.compile(rb" +([0-9]{3})(?: [ -~]*)?")


class Block(NamedTuple):
    """Inline status ("" where there is none) and headers by exact name."""

    status: str
    headers: dict[str, str]


def parse(block: bytes) -> Block | None:
    """Return status and headers, or None where the block is malformed or beyond the caps.

    Refused: another version, no final empty line, a line without colon, folding, names that are
    no tokens, a name that stands twice, values that are not printable UTF-8 (tabs within are).
    """
    if not block:
        return Block("", {})
    if len(block) > HEADER_BYTES or not block.endswith(_END + _END):
        return None
    first, *lines = block[: -2 * len(_END)].split(_END)
    status = _status(first)
    if status is None or len(lines) > HEADER_LINES:
        return None
    headers: dict[str, str] = {}
    for line in lines:
        pair = _line(line)
        if pair is None or pair[0] in headers:
            return None
        headers[pair[0]] = pair[1]
    return Block(status, headers)


def checked(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return headers fit to be sent; raises ``BAD_REQUEST`` for form, ``TOO_LARGE`` for caps."""
    if not headers:
        return None
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _printable(value) or value != value.strip():
            raise HoldfastError(Code.BAD_REQUEST, f"Header {name[:80]!a} cannot be sent.")
    if len(headers) > HEADER_LINES or size_bytes(headers) > HEADER_BYTES:
        raise HoldfastError(
            Code.TOO_LARGE, f"Headers are at most {HEADER_LINES} and {HEADER_BYTES} bytes."
        )
    return dict(headers)


def size_bytes(headers: Mapping[str, str] | None) -> int:
    """Return the bytes of the block these headers make on the wire."""
    if not headers:
        return 0
    lines = sum(len(name) + len(value.encode()) + 4 for name, value in headers.items())
    return len(_VERSION) + 2 * len(_END) + lines


def _status(first: bytes) -> str | None:
    if not first.startswith(_VERSION):
        return None
    rest = first[len(_VERSION) :]
    if not rest.strip():
        return ""
    found = _STATUS.fullmatch(rest)
    return None if found is None else found.group(1).decode("ascii")


def _line(line: bytes) -> tuple[str, str] | None:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return None
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon or not _NAME.fullmatch(name) or not _printable(value):
        return None
    return name, value


def _printable(value: str) -> bool:
    return (value.isascii() and value.isprintable()) or all(c == "\t" or c >= " " for c in value)
