"""Two clients that fetch one blob: the agent's own, and the least that can be done with TLS.

``python bench/rig/fetching.py JOB`` is one client as a process. It says ``ready``, begins at the
first line on its standard input, and prints one :class:`Fetched`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.range.client import Source, Wanted, client_tls, fetch

PARALLEL = 4
BUFFER_BYTES = 256 * 1024
HEAD_BYTES_MAX = 16 * 1024


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to fetch, how (``agent`` or ``plain``), and where to."""

    how: str
    url: str
    ticket: str
    certificate: str
    key: str
    ca: str
    digest: str
    size_bytes: int
    chunks: ChunkIndex
    dest: str


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """How long it took, and the client's own processor time."""

    seconds: float
    cpu_s: float


def plain(job: Job) -> None:
    """Fetch by four range requests at once: receive and write; no digest, no sync, no resume."""
    tls = client_tls(job.certificate, job.key, job.ca)
    out = os.open(job.dest, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        step = -(-job.size_bytes // PARALLEL)
        spans = [(at, min(at + step, job.size_bytes)) for at in range(0, job.size_bytes, step)]
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(lambda span: _one_range(job, tls, out, span), spans))
    finally:
        os.close(out)


def _one_range(job: Job, tls: ssl.SSLContext, out: int, span: tuple[int, int]) -> None:
    at, end = span
    place = urlsplit(job.url)
    assert place.hostname is not None
    with (
        socket.create_connection((place.hostname, place.port or 443), 30.0) as bare,
        tls.wrap_socket(bare, server_hostname=place.hostname) as connection,
    ):
        path = job.digest.replace(":", "/")
        request = (
            f"GET /v1/blobs/{path} HTTP/1.1\r\nHost: {place.netloc}\r\nHf-Ticket: {job.ticket}\r\n"
            f"Range: bytes={at}-{end - 1}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode("ascii"))
        head = b""
        while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES_MAX:
            head += connection.recv(1024)
        first, _, body = head.partition(b"\r\n\r\n")
        assert first.split(b" ")[1] == b"206", first
        at += os.pwrite(out, body, at)
        room = memoryview(bytearray(BUFFER_BYTES))
        while at < end:
            count = connection.recv_into(room)
            assert count, "the server ended early"
            at += os.pwrite(out, room[:count], at)


def agent(job: Job) -> None:
    """Fetch as the agent does: proven by chunk and whole, synced, then named."""
    source = Source([job.url], job.ticket, client_tls(job.certificate, job.key, job.ca))
    wanted = Wanted(job.digest, job.size_bytes, job.chunks)
    asyncio.run(fetch(source, wanted, Path(job.dest)))


def main() -> None:
    """Be one client."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began, spent = time.perf_counter(), time.process_time()
    {"agent": agent, "plain": plain}[job.how](job)
    done = Fetched(seconds=time.perf_counter() - began, cpu_s=time.process_time() - spent)
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")


if __name__ == "__main__":
    main()
