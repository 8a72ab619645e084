"""Fetching a blob from several sources: parallel ranges, each chunk proven, resumed after a cut.

``<dest>.part`` grows in any order; ``<dest>.chunks`` has one line per chunk that was written and
synced. A restart proves those chunks on its own disk and fetches the others. The name ``dest``
appears only over the whole, verified, synced bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import (
    CHUNK_BYTES,
    COPY_BUFFER_BYTES,
    FETCH_PARALLEL,
    FETCH_STALL_S,
    MIB,
)

from holdfast_bundles.blobs import Progress, quiet
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.range.server import TICKET_HEADER
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
    finally:
        part.close()
    await asyncio.to_thread(part.finish)


async def _fetch_missing(source: Source, part: _Partial, progress: Progress) -> None:
    timeout = aiohttp.ClientTimeout(
        total=None, connect=FETCH_STALL_S, sock_connect=FETCH_STALL_S, sock_read=FETCH_STALL_S
    )
    connector = aiohttp.TCPConnector(ssl=source.tls, limit=FETCH_PARALLEL)
    todo = part.missing()
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers={TICKET_HEADER: source.ticket},
        auto_decompress=False,
        read_bufsize=MIB,
    ) as session:
        try:
            async with asyncio.TaskGroup() as group:
                for worker in range(min(FETCH_PARALLEL, len(todo))):
                    group.create_task(
                        _Worker(session, source.urls, worker).work(todo, part, progress)
                    )
        except* HoldfastError as errors:
            raise _first(errors) from errors


class _Worker:
    """Takes chunks from the common list; begins at its own source, moves on when one fails."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], number: int) -> None:
        self._session = session
        self._urls = urls
        self._at = number

    async def work(self, todo: list[int], part: _Partial, progress: Progress) -> None:
        """Fetch until nothing is left; raises what the last source answered."""
        while todo:
            index = todo.pop(0)
            await self._one(index, part)
            progress(part.done_bytes, part.wanted.size_bytes)

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
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                fault = HoldfastError(
                    Code.BLOB_MISSING, f"No source answers for {part.wanted.digest}."
                )
                fault.__cause__ = error
            else:
                return
            self._at += 1
        raise fault

    async def _range(self, url: str, index: int, part: _Partial) -> None:
        offset, length = part.span(index)
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        name = part.wanted.digest.replace(":", "/")
        async with self._session.get(f"{url.rstrip('/')}/v1/blobs/{name}", headers=headers) as got:
            if got.status not in (200, 206):
                raise await _refusal(got, part.wanted.digest)
            if got.status != 206 and (offset, length) != (0, part.wanted.size_bytes):
                raise HoldfastError(Code.BLOB_MISSING, "A source does not know ranges.")
            chunk = hashlib.sha256()
            at = offset
            async for data in got.content.iter_chunked(MIB):
                if at + len(data) > offset + length:
                    raise _wrong(part.wanted)
                chunk.update(data)
                part.write(at, data)
                at += len(data)
        if at != offset + length:
            raise HoldfastError(Code.BLOB_MISSING, "A source ended early.")
        await asyncio.to_thread(part.finish_chunk, index, chunk.hexdigest())


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

    def write(self, offset: int, data: bytes) -> None:
        """Write ``data``; raises ``DISK_FULL`` or ``STORE_FAILED``."""
        with local_disk():
            while data:
                count = os.pwrite(self._data, data, offset)
                data, offset = data[count:], offset + count

    def finish_chunk(self, index: int, found_hex: str) -> None:
        """Count a chunk once it is right and synced; raises ``BLOB_DIGEST`` where it is wrong."""
        if self.wanted.chunks is not None and found_hex != self.wanted.chunks.sha256[index]:
            raise _wrong(self.wanted)
        with local_disk():
            os.fdatasync(self._data)
            os.write(self._lines, f"{index} {found_hex}\n".encode("ascii"))
        self._done.add(index)

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in (self._data, self._lines):
            if descriptor >= 0:
                os.close(descriptor)
        self._data = self._lines = -1

    def finish(self) -> None:
        """Give the file its name if its digest is right; raises ``BLOB_DIGEST`` and starts anew."""
        with local_disk(), self._path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if f"sha256:{found}" != self.wanted.digest:
                self._path.unlink()
                self._list.unlink()
                raise _wrong(self.wanted)
            os.fsync(file.fileno())
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
        offset, length = self.span(index)
        digest = hashlib.sha256()
        while length > 0:
            data = os.pread(self._data, min(COPY_BUFFER_BYTES, length), offset)
            if not data:
                break
            digest.update(data)
            offset, length = offset + len(data), length - len(data)
        return digest.hexdigest()


async def _refusal(got: aiohttp.ClientResponse, digest: str) -> HoldfastError:
    if got.status == 404:
        return HoldfastError(Code.BLOB_MISSING, f"A source does not have {digest}.")
    if got.status in (401, 403):
        return HoldfastError(Code.TICKET_REFUSED, f"A source refuses the ticket for {digest}.")
    return HoldfastError(Code.BLOB_MISSING, f"A source answers {got.status} for {digest}.")


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
