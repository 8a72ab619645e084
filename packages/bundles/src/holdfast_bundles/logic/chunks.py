"""The chunk index of a blob: digests of its consecutive pieces, signed with the manifest.

A reader finds a flipped byte after one chunk instead of after the whole file, and a copy that was
cut off goes on after its last whole chunk.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from holdfast_protocol.codec import encode, strict_json
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import CHUNK_BYTES, MANIFEST_BYTES

MEDIA_TYPE: Final = "application/vnd.holdfast.chunks.v1+json"
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES_MIN: Final = 4096


class ChunkIndex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pieces of ``size`` bytes (the last may be shorter), ``sha256`` of each in hex, in order."""

    size: int
    sha256: list[str]

    def span(self, index: int, total_bytes: int) -> tuple[int, int]:
        """Return (offset, length) in bytes of chunk ``index`` of a blob of ``total_bytes``."""
        offset = index * self.size
        return offset, min(self.size, total_bytes - offset)


def to_bytes(index: ChunkIndex) -> bytes:
    """Return the blob that carries ``index``."""
    return encode(index)


def parse(data: bytes, total_bytes: int, name: str) -> ChunkIndex:
    """Return the index that ``data`` holds for a blob of ``total_bytes``.

    Raises ``MANIFEST_INVALID`` where it does not fit the blob, ``METADATA_MALFORMED`` where it is
    not strict JSON.
    """
    value = strict_json(data, cap_bytes=MANIFEST_BYTES, name=name)
    try:
        index = msgspec.convert(value, ChunkIndex)
    except msgspec.ValidationError as error:
        raise _invalid(name, str(error)) from error
    if not _CHUNK_BYTES_MIN <= index.size <= CHUNK_BYTES:
        raise _invalid(name, f"chunks of {index.size} bytes")
    if len(index.sha256) != -(-total_bytes // index.size):
        raise _invalid(name, f"{len(index.sha256)} chunks for {total_bytes} bytes")
    if not all(_HEX.fullmatch(text) for text in index.sha256):
        raise _invalid(name, "a chunk digest is not 64 hex digits")
    return index


def _invalid(name: str, why: str) -> HoldfastError:
    return HoldfastError(
        Code.MANIFEST_INVALID, f"The chunk index {name} is not usable: {why}.", file=name
    )
