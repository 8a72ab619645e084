"""Reading a blob from a stick, whole or in parts, one piece after the other.

What is read is proven by digest only; names, sizes and cuts on the medium are hints. A reader that
stops at a chunk may go on there later. This file does I/O through :class:`Stick` alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import COPY_BUFFER_BYTES

from holdfast_bundles import layout
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.manifest import Descriptor
from holdfast_bundles.media import Stick, read_into

Progress = Callable[[int, int], None]
"""Told (bytes done, bytes in all) now and then."""


Take = Callable[[int], memoryview]
"""Gives memory for so many bytes, at most ``COPY_BUFFER_BYTES``; may wait until there is some."""


def quiet(_done: int, _total: int) -> None:
    """Report progress to nobody."""


def shifted(tell: Progress, base: int, total: int) -> Progress:
    """Return a progress of one file as a share of ``total``, after ``base`` bytes of others."""
    return lambda done, _: tell(base + done, total)


class Piece(NamedTuple):
    """A file of the medium that holds bytes ``start`` to ``end`` of a blob."""

    name: str
    start: int
    end: int


def pieces(stick: Stick, blob: Descriptor) -> list[Piece]:
    """Return the files that hold ``blob``, in order; a whole file is preferred to parts.

    Raises ``BLOB_MISSING`` naming the first file that is not there, ``BLOB_DIGEST`` naming one
    whose size alone proves it wrong, and ``MEDIA_LOST``.
    """
    whole = layout.blob(blob.digest)
    size = stick.size_bytes(whole)
    if size is not None:
        if size != blob.size:
            raise wrong(whole, f"has {size} bytes, {blob.size} are signed")
        return [Piece(whole, 0, size)]
    found: list[Piece] = []
    at = 0
    for index in range(layout.PARTS_MAX):
        if at == blob.size and found:
            return found
        name = layout.part(blob.digest, index)
        size = stick.size_bytes(name)
        if size is None:
            missing = name if index or stick.size_bytes(layout.part(blob.digest, 1)) else whole
            raise HoldfastError(
                Code.BLOB_MISSING, f"{missing} is not on this medium.", file=_file(missing)
            )
        if size == 0 or at + size > blob.size:
            raise wrong(name, "has a size that fits nowhere")
        found.append(Piece(name, at, at + size))
        at += size
    raise wrong(whole, "is cut into too many parts")


def read(
    stick: Stick, blob: Descriptor, parts: list[Piece], index: ChunkIndex | None
) -> Iterator[memoryview]:
    """Yield the bytes of ``blob``, each chunk proven before its end; valid until the next ones.

    With an ``index``, the last bytes of a chunk are yielded only after its digest was found right.
    Raises ``BLOB_DIGEST`` naming the file, ``BLOB_MISSING`` and ``MEDIA_LOST``. The digest of the
    whole is the caller's to compare.
    """
    step = index.size if index is not None else COPY_BUFFER_BYTES
    chunk = hashlib.sha256()
    chunk_file = ""
    room = memoryview(bytearray(min(COPY_BUFFER_BYTES, blob.size)))
    for data, name, at in buffers(stick, parts, 0, step, lambda count: room[:count]):
        if at % step == 0:
            chunk, chunk_file = hashlib.sha256(), name
        chunk.update(data)
        end = at + len(data)
        if (
            index is not None
            and (end % step == 0 or end == blob.size)
            and chunk.hexdigest() != index.sha256[at // step]
        ):
            raise wrong(chunk_file, "does not hold the bytes that were signed")
        yield data


def buffers(
    stick: Stick, parts: list[Piece], start: int, step: int, take: Take
) -> Iterator[tuple[memoryview, str, int]]:
    """Yield (bytes, file name, offset in the blob) from ``start``, unproven, in what ``take`` gave.

    No buffer crosses a multiple of ``step`` or the end of a file. Raises ``MEDIA_LOST`` and
    ``BLOB_DIGEST`` where a file became shorter.
    """
    for piece in parts:
        if piece.end <= start:
            continue
        descriptor = stick.open_file(piece.name)
        if descriptor is None:
            raise HoldfastError(Code.MEDIA_LOST, f"{piece.name} went away.", file=_file(piece.name))
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            at = max(start, piece.start)
            os.lseek(file.fileno(), at - piece.start, os.SEEK_SET)
            while at < piece.end:
                count = min(COPY_BUFFER_BYTES, piece.end - at, step - at % step)
                data = take(count)
                if read_into(file.fileno(), data, piece.name) < count:
                    raise wrong(piece.name, "is shorter than it was")
                yield data, piece.name, at
                at += count


def verify(stick: Stick, blob: Descriptor, index: ChunkIndex | None, tell: Progress) -> None:
    """Raise ``BLOB_DIGEST`` or ``BLOB_MISSING`` unless the stick holds ``blob`` as signed."""
    parts = pieces(stick, blob)
    digest = hashlib.sha256()
    done = 0
    for data in read(stick, blob, parts, index):
        digest.update(data)
        done += len(data)
        tell(done, blob.size)
    require(digest.hexdigest(), blob, parts)


def read_small(stick: Stick, blob: Descriptor, cap_bytes: int) -> bytes:
    """Return a whole small blob, its digest verified; raises as :func:`verify`."""
    parts = pieces(stick, blob)
    if blob.size > cap_bytes:
        raise HoldfastError(
            Code.MANIFEST_INVALID, f"A document of {blob.size} bytes is too large.", file=None
        )
    data = b"".join(bytes(data) for data in read(stick, blob, parts, None))
    require(hashlib.sha256(data).hexdigest(), blob, parts)
    return data


def require(found_hex: str, blob: Descriptor, parts: list[Piece]) -> None:
    """Raise ``BLOB_DIGEST`` unless ``found_hex`` is the digest of ``blob``."""
    if f"sha256:{found_hex}" != blob.digest:
        raise wrong(parts[0].name, "does not hold the bytes that were signed")


def _file(name: str) -> str:
    return layout.on_stick(name)


def wrong(name: str, why: str) -> HoldfastError:
    """Return ``BLOB_DIGEST`` for a file of the medium that is not what was signed."""
    return HoldfastError(Code.BLOB_DIGEST, f"{name} {why}.", file=_file(name))
