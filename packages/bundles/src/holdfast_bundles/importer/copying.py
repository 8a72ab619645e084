"""Copying a blob into quarantine: read once, hash what is written, go on where it stopped.

After each chunk the data is synced and a line of the journal names the chunk's digest. A restart
reads the journalled chunks from its own disk, which proves them intact, and takes only the rest
from the medium.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import CHUNK_BYTES, COPY_BUFFER_BYTES

from holdfast_bundles import blobs
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.manifest import Descriptor
from holdfast_bundles.media import Stick
from holdfast_bundles.store import local_disk, sync_folder

Tell = Callable[[int, str], None]
"""Told (bytes of this blob done, file of the medium); may raise to stop the copying."""

_JOURNAL_BYTES_MAX: Final = 64 * 1024 * 1024


def write_document(target: Path, data: bytes) -> None:
    """Write a small blob whose digest is known to be right."""
    if target.exists():
        return
    partial = target.with_name(f"{target.name}.partial")
    with local_disk():
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
        sync_folder(target.parent)


def copy_blob(
    stick: Stick, blob: Descriptor, index: ChunkIndex | None, target: Path, tell: Tell
) -> None:
    """Copy ``blob`` to ``target``; resumes a copy that was cut off, repeats nothing that is done.

    Raises ``BLOB_DIGEST``, ``BLOB_MISSING``, ``MEDIA_LOST``, ``DISK_FULL`` or ``STORE_FAILED``;
    only after ``BLOB_DIGEST`` of the whole the partial copy is removed.
    """
    if target.exists():
        return
    partial = target.with_name(f"{target.name}.partial")
    journal = target.with_name(f"{target.name}.journal")
    step = index.size if index is not None else CHUNK_BYTES
    with local_disk(), _open(partial) as data, _open(journal) as lines:
        whole, start = _resume(data, _read_journal(lines, index), step, blob.size)
        _truncate(lines, start // step if start < blob.size else -(-blob.size // step))
        if blob.size:
            os.posix_fallocate(data.fileno(), 0, blob.size)
        data.seek(start)
        tell(start, "")
        parts = blobs.pieces(stick, blob)
        writer = _ChunkWriter(data, lines, step, start)
        with ThreadPoolExecutor(1, "holdfast-hash") as pool:
            hashing: Future[None] | None = None
            for piece, name in blobs.read(stick, blob, parts, index, start):
                # The whole's digest is computed beside writing: sha256 releases the interpreter.
                if hashing is not None:
                    hashing.result()
                hashing = pool.submit(whole.update, piece)
                writer.write(piece, at_end=writer.done + len(piece) == blob.size)
                tell(writer.done, name)
    try:
        blobs.require(whole.hexdigest(), blob, parts)
    except HoldfastError:
        partial.unlink()
        journal.unlink()
        raise
    with local_disk():
        os.replace(partial, target)
        journal.unlink()
        sync_folder(target.parent)


class _ChunkWriter:
    """Writes bytes; at each chunk's end they are synced and journalled."""

    def __init__(self, data: IO[bytes], journal: IO[bytes], step: int, start: int) -> None:
        self._data = data
        self._journal = journal
        self._step = step
        self._chunk = hashlib.sha256()
        self.done = start

    def write(self, piece: bytes, *, at_end: bool) -> None:
        """Append ``piece``, which never crosses a chunk's end."""
        self._data.write(piece)
        self._chunk.update(piece)
        self.done += len(piece)
        if self.done % self._step == 0 or at_end:
            self._data.flush()
            os.fdatasync(self._data.fileno())
            self._journal.write(f"{self._chunk.hexdigest()}\n".encode("ascii"))
            self._journal.flush()
            os.fdatasync(self._journal.fileno())
            self._chunk = hashlib.sha256()


def _open(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")


def _read_journal(lines: IO[bytes], index: ChunkIndex | None) -> list[str]:
    """Return the digests of the chunks that were synced; a torn last line does not count."""
    text = lines.read(_JOURNAL_BYTES_MAX)
    found = [line.decode("ascii", "replace") for line in text.split(b"\n")[:-1]]
    if index is None:
        return found
    kept = 0
    while kept < min(len(found), len(index.sha256)) and found[kept] == index.sha256[kept]:
        kept += 1
    return found[:kept]


def _truncate(lines: IO[bytes], count: int) -> None:
    lines.seek(count * 65)
    lines.truncate()


def _resume(data: IO[bytes], chunks: list[str], step: int, size: int) -> tuple[hashlib._Hash, int]:
    """Return (digest of the intact beginning, its length in bytes), read from our own disk."""
    whole = hashlib.sha256()
    done = 0
    for expected in chunks:
        length = min(step, size - done)
        attempt, chunk = whole.copy(), hashlib.sha256()
        read = 0
        for piece in _local(data, length):
            attempt.update(piece)
            chunk.update(piece)
            read += len(piece)
        if read != length or length <= 0 or chunk.hexdigest() != expected:
            break
        whole, done = attempt, done + length
    return whole, done


def _local(data: IO[bytes], count: int) -> Iterator[bytes]:
    while count > 0 and (piece := data.read(min(COPY_BUFFER_BYTES, count))):
        count -= len(piece)
        yield piece
