"""Fetching a blob from several sources: parallel ranges, each chunk proven, resumed after a cut.

``<dest>.part`` grows in any order; ``<dest>.chunks`` has one line per chunk that was written and
synced. A restart proves those chunks on its own disk and fetches the others. The name ``dest``
appears only over the whole, verified, synced bytes. The digest of the whole follows the chunks in
their order while later ones still come, so that little is left to hash at the end. Each range is
received by :mod:`holdfast_bundles.range.lane` in a thread of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import CHUNK_BYTES, COPY_BUFFER_BYTES, FETCH_PARALLEL

from holdfast_bundles.blobs import Progress, quiet
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.range.lane import Lane, Range
from holdfast_bundles.store import local_disk, sync_folder

_ATTEMPTS_PER_SOURCE: Final = 3


class Source(NamedTuple):
    """Where to fetch from: base URLs (``https://host:port``), the ticket header, our TLS."""

    urls: Sequence[str]
    ticket: str
    tls: ssl.SSLContext


class Wanted(NamedTuple):
    """What to fetch: digest, size in bytes, and the signed chunk index where there is one."""

    digest: str
    size_bytes: int
    chunks: ChunkIndex | None = None


def client_tls(certificate: str, key: str, ca: str) -> ssl.SSLContext:
    """Return a client's TLS: 1.3 only, own certificate, sources must be of our CA.

    Host names are not compared: nodes are known by the site's CA, not by DNS, and the bytes are
    proven by digest. Raises ``CONFIG_INVALID``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    try:
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(ca)
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"The certificate, key or CA cannot be used: {error.strerror}."
        ) from error
    return context


async def fetch(source: Source, wanted: Wanted, dest: Path, progress: Progress = quiet) -> None:
    """Make ``dest`` the wanted blob; returns at once where it lies there already.

    Raises ``BLOB_DIGEST`` where every source gives other bytes than were signed, ``BLOB_MISSING``
    where no source has it or answers, ``TICKET_REFUSED``, ``DISK_FULL`` and ``STORE_FAILED``.
    Whatever was proven stays for the next attempt.
    """
    if await asyncio.to_thread(dest.exists):
        return
    with local_disk():
        part = await asyncio.to_thread(_Partial.open, dest, wanted)
    try:
        progress(part.done_bytes, wanted.size_bytes)
        await _fetch_missing(source, part, progress)
        await asyncio.to_thread(part.finish)
    finally:
        await asyncio.to_thread(part.close)


async def _fetch_missing(source: Source, part: _Partial, progress: Progress) -> None:
    todo = part.missing()
    workers = min(FETCH_PARALLEL, len(todo))
    if not workers:
        return
    threads = ThreadPoolExecutor(workers + 1, "holdfast-fetch")
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                worker = _Worker(threads, source, number)
                group.create_task(worker.work(todo, part, progress))
    except* HoldfastError as errors:
        raise _first(errors) from errors
    finally:
        threads.shutdown(wait=False)  # every range has ended; the digest's thread ends by itself


class _Worker:
    """Takes chunks from the common list; begins at its own source, moves on when one fails."""

    def __init__(self, threads: ThreadPoolExecutor, source: Source, number: int) -> None:
        self._threads = threads
        self._urls = source.urls
        self._lane = Lane(source.tls, source.ticket)
        self._at = number

    async def work(self, todo: list[int], part: _Partial, progress: Progress) -> None:
        """Fetch until nothing is left; raises what the last source answered."""
        try:
            while todo:
                await self._one(todo.pop(0), part)
                progress(part.done_bytes, part.wanted.size_bytes)
                if part.begin_following():
                    self._threads.submit(part.follow)
        finally:
            self._lane.close()

    async def _one(self, index: int, part: _Partial) -> None:
        fault = HoldfastError(Code.BLOB_MISSING, f"No source for {part.wanted.digest} is known.")
        for _ in range(len(self._urls) * _ATTEMPTS_PER_SOURCE):
            url = self._urls[self._at % len(self._urls)]
            try:
                await self._range(url, index, part)
            except HoldfastError as error:
                if error.code in (Code.DISK_FULL, Code.STORE_FAILED):
                    raise
                fault = error
            else:
                return
            self._at += 1
        raise fault

    async def _range(self, url: str, index: int, part: _Partial) -> None:
        """Receive and count one chunk; when cancelled, ends the connection and its thread first."""
        loop = asyncio.get_running_loop()
        received = loop.run_in_executor(self._threads, self._receive, url, index, part)
        try:
            await asyncio.shield(received)
        except asyncio.CancelledError:
            self._lane.abort()
            await asyncio.wait([received])
            raise

    def _receive(self, url: str, index: int, part: _Partial) -> None:
        offset, length = part.span(index)
        wanted = Range(part.wanted.digest, offset, length, part.wanted.size_bytes)
        part.finish_chunk(index, self._lane.receive(url, wanted, part.write))


class _Partial:
    """The growing file and the list of its proven chunks; the one owner of both."""

    def __init__(self, dest: Path, wanted: Wanted) -> None:
        self.wanted = wanted
        self._dest = dest
        self._path = dest.with_name(f"{dest.name}.part")
        self._list = dest.with_name(f"{dest.name}.chunks")
        self._step = wanted.chunks.size if wanted.chunks else CHUNK_BYTES
        self._done: set[int] = set()
        self._data = -1
        self._lines = -1
        self._whole = hashlib.sha256()
        self._followed = 0
        self._following = False
        self._turn = threading.Lock()
        self._closing = False

    @classmethod
    def open(cls, dest: Path, wanted: Wanted) -> _Partial:
        """Return the partial file with those chunks counted that its own disk still proves."""
        part = cls(dest, wanted)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        part._data = os.open(part._path, flags, 0o600)
        if wanted.size_bytes and os.fstat(part._data).st_size != wanted.size_bytes:
            os.ftruncate(part._data, wanted.size_bytes)
            os.posix_fallocate(part._data, 0, wanted.size_bytes)
        part._lines = os.open(part._list, flags | os.O_APPEND, 0o600)
        part._recover()
        return part

    @property
    def done_bytes(self) -> int:
        """Bytes that are proven and on disk."""
        return sum(self.span(index)[1] for index in self._done)

    def span(self, index: int) -> tuple[int, int]:
        """Return (offset, length) of a chunk."""
        offset = index * self._step
        return offset, min(self._step, self.wanted.size_bytes - offset)

    def missing(self) -> list[int]:
        """Return the chunks still to fetch, in order."""
        count = -(-self.wanted.size_bytes // self._step)
        return [index for index in range(count) if index not in self._done]

    def write(self, offset: int, data: memoryview) -> None:
        """Write ``data``; raises ``DISK_FULL`` or ``STORE_FAILED``."""
        with local_disk():
            while data:
                count = os.pwrite(self._data, data, offset)
                data, offset = data[count:], offset + count

    def begin_following(self) -> bool:
        """Tell whether to call :meth:`follow` now: it runs once at a time, where there is work."""
        if self._following or self._followed not in self._done:
            return False
        self._following = True
        return True

    def follow(self) -> None:
        """Take the chunks that are done, in order, into the digest of the whole."""
        with self._turn:
            while self._followed in self._done and not self._closing:
                self._hash_into(self._whole, self._followed)
                self._followed += 1
            self._following = False

    def finish_chunk(self, index: int, found_hex: str) -> None:
        """Count a chunk once it is right and synced; raises ``BLOB_DIGEST`` where it is wrong."""
        if self.wanted.chunks is not None and found_hex != self.wanted.chunks.sha256[index]:
            raise _wrong(self.wanted)
        with local_disk():
            os.fdatasync(self._data)
            os.write(self._lines, f"{index} {found_hex}\n".encode("ascii"))
        self._done.add(index)

    def close(self) -> None:
        """Let go of the files, after the digest's thread has."""
        self._closing = True
        with self._turn:
            for descriptor in (self._data, self._lines):
                if descriptor >= 0:
                    os.close(descriptor)
            self._data = self._lines = -1

    def finish(self) -> None:
        """Give the file its name if its digest is right; raises ``BLOB_DIGEST`` and starts anew."""
        with local_disk():
            self.follow()
            if f"sha256:{self._whole.hexdigest()}" != self.wanted.digest:
                self._path.unlink()
                self._list.unlink()
                raise _wrong(self.wanted)
            os.fsync(self._data)
            os.chmod(self._path, 0o444)
            os.replace(self._path, self._dest)
            self._list.unlink()
            sync_folder(self._dest.parent)

    def _recover(self) -> None:
        with os.fdopen(os.dup(self._lines), "rb") as file:
            file.seek(0)
            for line in file.read().splitlines():
                number, _, expected = line.decode("ascii", "replace").partition(" ")
                known = number.isdigit() and int(number) * self._step < self.wanted.size_bytes
                if known and self._digest(int(number)) == expected:
                    self._done.add(int(number))

    def _digest(self, index: int) -> str:
        digest = hashlib.sha256()
        self._hash_into(digest, index)
        return digest.hexdigest()

    def _hash_into(self, digest: hashlib._Hash, index: int) -> None:
        """Add a chunk to ``digest`` as it lies on this disk; one that is cut short is not right."""
        offset, length = self.span(index)
        while length > 0:
            data = os.pread(self._data, min(COPY_BUFFER_BYTES, length), offset)
            if not data:
                break
            digest.update(data)
            offset, length = offset + len(data), length - len(data)


def _first(errors: BaseExceptionGroup[HoldfastError]) -> HoldfastError:
    """Return one error of the group: a refusal or a wrong byte says more than a silence."""
    found: list[HoldfastError] = []
    stack: list[BaseException] = [errors]
    while stack:
        error = stack.pop()
        if isinstance(error, BaseExceptionGroup):
            stack.extend(error.exceptions)
        elif isinstance(error, HoldfastError):
            found.append(error)
    return min(found, key=lambda error: error.code is Code.BLOB_MISSING)


def _wrong(wanted: Wanted) -> HoldfastError:
    return HoldfastError(
        Code.BLOB_DIGEST, f"The bytes fetched for {wanted.digest} are not the signed ones."
    )
