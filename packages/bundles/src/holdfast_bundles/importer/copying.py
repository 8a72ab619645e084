"""Copying a blob into quarantine: read once, hash what is written, go on where it stopped.

After each chunk the data is synced and a line of the journal names the digest the chunk must have.
A restart reads the journalled chunks from its own disk, which proves them intact, and takes only
the rest from the medium; so a line that a power cut kept while it lost the data does no harm, and
lines need no sync of their own. On the way each byte is hashed once, for the whole; only where that
is wrong the signed chunk index is asked which file it was, and what was right before it is kept.
Copying, hashing and syncing go on side by side: sha256 and the disk let go of the interpreter, and
what is hashed is the very memory that is handed to the disk.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Final

from holdfast_protocol.limits import CHUNK_BYTES, COPY_BUFFER_BYTES

from holdfast_bundles import blobs
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.manifest import Descriptor
from holdfast_bundles.media import Stick
from holdfast_bundles.store import local_disk, sync_folder

Tell = Callable[[int, str], None]
"""Told (bytes of this blob done, file of the medium); may raise to stop the copying."""

_BUFFERS: Final = 4
_WRITE_BYTES: Final = 128 * 1024
"""Larger writes make Linux look for larger pages, which takes it twice the time of the copying."""
_UNSYNCED_CHUNKS_MAX: Final = 4
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

    Raises ``BLOB_DIGEST`` naming the file of the medium, ``BLOB_MISSING``, ``MEDIA_LOST``,
    ``DISK_FULL`` or ``STORE_FAILED``; what was proven before stays for the next attempt.
    """
    if target.exists():
        return
    partial = target.with_name(f"{target.name}.partial")
    journal = target.with_name(f"{target.name}.journal")
    step = index.size if index is not None else CHUNK_BYTES
    with (
        local_disk(),
        _open(partial) as data,
        _open(journal) as lines,
        _Room(target.with_name(f"{target.name}.room")) as room,
    ):
        whole, start = _resume(data, _read_journal(lines, index), step, blob.size)
        _truncate(lines, start // step if start < blob.size else -(-blob.size // step))
        room.hold(blob.size - start - (_UNSYNCED_CHUNKS_MAX + 1) * step)
        os.lseek(data.fileno(), start, os.SEEK_SET)
        tell(start, "")
        parts = blobs.pieces(stick, blob)
        with _Lanes(whole, _Journal(data.fileno(), lines, index, room)) as lanes:
            for piece, name, at in blobs.buffers(stick, parts, start, step, lanes.take):
                done = at + len(piece)
                lanes.hash(piece)
                _write_all(data.fileno(), piece)
                if done % step == 0 or done == blob.size:
                    lanes.seal(at // step)
                tell(done, name)
        if f"sha256:{whole.hexdigest()}" != blob.digest:
            good = _good_chunks(data, index, blob.size)
            _truncate(lines, good)
            held = [piece.name for piece in parts if piece.start <= good * step < piece.end]
            raise blobs.wrong((held or [parts[0].name])[0], "does not hold what was signed")
        os.replace(partial, target)
        journal.unlink()
        room.give_back()
        sync_folder(target.parent)


def held_bytes(target: Path) -> int:
    """Return how much of the disk the unfinished copy of ``target`` holds already."""
    held = 0
    for kind in ("partial", "room"):
        path = target.with_name(f"{target.name}.{kind}")
        held += path.stat().st_blocks * 512 if path.exists() else 0
    return held


class _Room:
    """Space held for the bytes still to come but the next few chunks, given up as they are synced.

    A file of its own: space held within the blob's would have to be marked as written, extent by
    extent, at every sync, which costs a third of the processor time of a copy.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held_bytes = 0

    def __enter__(self) -> _Room:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def hold(self, size_bytes: int) -> None:
        """Hold exactly ``size_bytes``; raises ``OSError`` where there is less."""
        self._held_bytes = max(0, size_bytes)
        os.ftruncate(self._file, self._held_bytes)
        if self._held_bytes:
            os.posix_fallocate(self._file, 0, self._held_bytes)

    def less(self, size_bytes: int) -> None:
        """Hold so much less."""
        if self._held_bytes:
            self._held_bytes = max(0, self._held_bytes - size_bytes)
            os.ftruncate(self._file, self._held_bytes)

    def give_back(self) -> None:
        """Hold nothing any more."""
        self._path.unlink()


class _Journal:
    """What makes a chunk count: its data on the disk, then a line with its digest."""

    def __init__(self, data: int, lines: IO[bytes], index: ChunkIndex | None, room: _Room) -> None:
        self._data = data
        self._lines = lines
        self._index = index
        self._room = room
        self._step = index.size if index is not None else CHUNK_BYTES

    @property
    def signed(self) -> bool:
        """Whether an index says what each chunk must be; if not, its line is what was read."""
        return self._index is not None

    def seal(self, number: int, read_hex: Future[str]) -> None:
        """Sync what was written and journal chunk ``number``; runs after its last write."""
        line = self._index.sha256[number] if self._index else read_hex.result()
        os.fdatasync(self._data)
        self._lines.write(f"{line}\n".encode("ascii"))
        self._lines.flush()
        self._room.less(self._step)


class _Lanes:
    """Two threads beside the one that reads and writes: one hashes, one syncs and journals.

    The buffers bound what waits for the hash, ``_UNSYNCED_CHUNKS_MAX`` what waits for the disk.
    Leaving without an error waits for all work and raises what went wrong in it.
    """

    def __init__(self, whole: hashlib._Hash, journal: _Journal) -> None:
        self._whole = whole
        self._chunk = hashlib.sha256()
        self._journal = journal
        self._hashing = ThreadPoolExecutor(1, "holdfast-hash")
        self._syncing = ThreadPoolExecutor(1, "holdfast-sync")
        self._sealing: deque[Future[None]] = deque()
        self._free: SimpleQueue[bytearray] = SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(bytearray(COPY_BUFFER_BYTES))

    def __enter__(self) -> _Lanes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._hashing.shutdown(wait=True)
        self._syncing.shutdown(wait=True)
        while kind is None and self._sealing:
            self._sealing.popleft().result()

    def take(self, count: int) -> memoryview:
        """Return memory for ``count`` bytes; waits until a buffer was hashed."""
        return memoryview(self._free.get())[:count]

    def hash(self, piece: memoryview) -> None:
        """Hash ``piece`` meanwhile. It must be written before the next :meth:`take`."""
        self._hashing.submit(self._hash, piece)

    def seal(self, number: int) -> None:
        """Make chunk ``number`` count, meanwhile; all of it is written."""
        read_hex = self._hashing.submit(self._end_chunk)
        self._sealing.append(self._syncing.submit(self._journal.seal, number, read_hex))
        if len(self._sealing) > _UNSYNCED_CHUNKS_MAX:
            self._sealing.popleft().result()

    def _hash(self, piece: memoryview) -> None:
        self._whole.update(piece)
        if not self._journal.signed:
            self._chunk.update(piece)
        buffer = piece.obj
        assert isinstance(buffer, bytearray)
        self._free.put(buffer)

    def _end_chunk(self) -> str:
        ended, self._chunk = self._chunk.hexdigest(), hashlib.sha256()
        return ended


def _write_all(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view[:_WRITE_BYTES]) :]


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


def _good_chunks(data: IO[bytes], index: ChunkIndex | None, size: int) -> int:
    """Return how many chunks from the beginning are as signed; none without an index."""
    if index is None:
        return 0
    data.seek(0)
    return _resume(data, index.sha256, index.size, size)[1] // index.size


def _local(data: IO[bytes], count: int) -> Iterator[bytes]:
    while count > 0 and (piece := data.read(min(COPY_BUFFER_BYTES, count))):
        count -= len(piece)
        yield piece
