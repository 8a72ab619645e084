"""Copying a blob into quarantine: read once, hash what is written, go on where it stopped.

After each chunk the data is synced and a line of the journal names the digest the chunk must have.
A restart reads the journalled chunks from its own disk, which proves them intact, and takes only
the rest from the medium. On the way each byte is hashed once, for the whole; only where that is
wrong the signed chunk index is asked which file it was, and what was right before it is kept.
Reading, hashing and syncing go on side by side: sha256 and the disk let go of the interpreter.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final, TypeVar

from holdfast_protocol.limits import CHUNK_BYTES, COPY_BUFFER_BYTES

from holdfast_bundles import blobs
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.manifest import Descriptor
from holdfast_bundles.media import Stick
from holdfast_bundles.store import local_disk, sync_folder

Tell = Callable[[int, str], None]
"""Told (bytes of this blob done, file of the medium); may raise to stop the copying."""

T = TypeVar("T")

_WAITING_MAX: Final = 16
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
    with local_disk(), _open(partial) as data, _open(journal) as lines:
        whole, start = _resume(data, _read_journal(lines, index), step, blob.size)
        _truncate(lines, start // step if start < blob.size else -(-blob.size // step))
        if blob.size:
            os.posix_fallocate(data.fileno(), 0, blob.size)
        os.lseek(data.fileno(), start, os.SEEK_SET)
        tell(start, "")
        parts = blobs.pieces(stick, blob)
        chunk = _Chunks(data.fileno(), lines, index)
        with _Lanes() as lanes:
            for piece, name, at in blobs.buffers(stick, parts, start, step):
                if at % step == 0:
                    chunk.begin()
                lanes.submit(lanes.whole, whole.update, piece)
                if index is None:
                    lanes.submit(lanes.chunk, chunk.digest.update, piece)
                _write_all(data.fileno(), piece)
                done = at + len(piece)
                if done % step == 0 or done == blob.size:
                    sealed = chunk.seal(at // step)
                    lanes.submit(lanes.sync, sealed, lanes.after(lanes.chunk))
                tell(done, name)
        if f"sha256:{whole.hexdigest()}" != blob.digest:
            good = _good_chunks(data, index, blob.size)
            _truncate(lines, good)
            held = [piece.name for piece in parts if piece.start <= good * step < piece.end]
            raise blobs.wrong((held or [parts[0].name])[0], "does not hold what was signed")
        os.replace(partial, target)
        journal.unlink()
        sync_folder(target.parent)


class _Lanes:
    """Three threads of one task each at a time, in order; too much waiting work holds the reader.

    Leaving without an error waits for all work and raises what went wrong in it.
    """

    def __init__(self) -> None:
        self.whole = ThreadPoolExecutor(1, "holdfast-whole")
        self.chunk = ThreadPoolExecutor(1, "holdfast-chunk")
        self.sync = ThreadPoolExecutor(1, "holdfast-sync")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> _Lanes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for lane in (self.whole, self.chunk, self.sync):
            lane.shutdown(wait=True)
        while kind is None and self._waiting:
            self._waiting.popleft().result()

    def submit(self, lane: ThreadPoolExecutor, act: Callable[[T], None], value: T) -> None:
        """Do ``act(value)`` in ``lane`` after what was submitted there before."""
        self._waiting.append(lane.submit(act, value))
        if len(self._waiting) > _WAITING_MAX:
            self._waiting.popleft().result()

    def after(self, lane: ThreadPoolExecutor) -> Future[None]:
        """Return a future that is done when everything submitted to ``lane`` so far is."""
        return lane.submit(lambda: None)


class _Chunks:
    """The chunk that is being read; :meth:`seal` gives the work that makes it count.

    Without a signed index the chunk's own digest, taken from ``digest``, goes into the journal.
    """

    def __init__(self, data: int, journal: IO[bytes], index: ChunkIndex | None) -> None:
        self._data = data
        self._journal = journal
        self._index = index
        self.digest = hashlib.sha256()

    def begin(self) -> None:
        """Begin the next chunk."""
        self.digest = hashlib.sha256()

    def seal(self, number: int) -> Callable[[Future[None]], None]:
        """Return what syncs and journals chunk ``number``, once all of it is written."""
        digest = self.digest

        def work(hashed: Future[None]) -> None:
            hashed.result()
            line = self._index.sha256[number] if self._index else digest.hexdigest()
            os.fdatasync(self._data)
            self._journal.write(f"{line}\n".encode("ascii"))
            self._journal.flush()
            os.fdatasync(self._journal.fileno())

        return work


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


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
