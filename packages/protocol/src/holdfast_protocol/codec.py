"""Bytes to values and back: strict JSON with caps, and msgspec structs.

Hostile JSON (media, other sites) goes through :func:`strict_json` first: no duplicate keys, no
NaN, no floats where asked, bounded depth and size. Messages between our own programs are msgspec
structs; unknown fields from newer peers are ignored, unknown tags are refused.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import JSON_DEPTH

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(value: object) -> bytes:
    """Return ``value`` as JSON with sorted keys: equal values give equal bytes."""
    return _ENCODER.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """Return ``data`` as ``kind``; raises ``BAD_REQUEST`` naming the part that does not fit."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise HoldfastError(Code.BAD_REQUEST, f"The message does not fit: {error}.") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise HoldfastError(Code.BAD_REQUEST, "The message is not JSON in UTF-8.") from error


def strict_json(data: bytes, *, cap_bytes: int, name: str, floats: bool = False) -> Any:
    """Return the JSON value of hostile ``data``; raises ``METADATA_MALFORMED`` naming ``name``.

    Refused: more than ``cap_bytes``, deeper than ``JSON_DEPTH``, duplicate keys, NaN and
    infinities, integers beyond 2**53, floats unless ``floats``, anything not UTF-8.
    """

    def refuse(why: str) -> HoldfastError:
        return HoldfastError(
            Code.METADATA_MALFORMED, f"{name} is not acceptable: {why}.", file=name
        )

    if len(data) > cap_bytes:
        raise refuse(f"{len(data)} bytes, more than {cap_bytes}")
    depth = deepest = 0
    for byte in data:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    if deepest > JSON_DEPTH:
        raise refuse(f"nested deeper than {JSON_DEPTH}")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            raise refuse("a key stands twice")
        return result

    def number(text: str) -> int:
        if len(text) > 17 or abs(int(text)) > 2**53:
            raise refuse("a number is too large")
        return int(text)

    def fraction(text: str) -> float:
        if not floats:
            raise refuse("a number is not whole")
        return float(text)

    def constant(text: str) -> float:
        raise refuse(f"{text} is not a number")

    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=pairs,
            parse_int=number,
            parse_float=fraction,
            parse_constant=constant,
        )
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise refuse("it is not JSON in UTF-8") from error
