"""Blobs to nodes: a real server with real TLS, its refusals, and a client that resumes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.range.client import Source, Wanted, client_tls, fetch
from holdfast_bundles.range.config import RangeConfig
from holdfast_bundles.store import Store
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import FETCH_STALL_S
from holdfast_protocol.signed import TICKET_CONTEXT, FetchTicket, sign, to_header

from tests.integration.bundles.certificates import Authority

pytestmark = pytest.mark.real
WAIT_S = 60.0
CHUNK = 64 * 1024
DATA = os.urandom(20 * CHUNK + 77)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
INDEX = ChunkIndex(
    size=CHUNK,
    sha256=[hashlib.sha256(DATA[at : at + CHUNK]).hexdigest() for at in range(0, len(DATA), CHUNK)],
)
WANTED = Wanted(DIGEST, len(DATA), INDEX)
OTHER = "sha256:" + "0" * 64


class Site:
    """An authority, a controller's key, and range servers on stores of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "tls")
        self.key = Ed25519PrivateKey.generate()
        self._server = self.authority.issue("server")
        self.client = self.authority.node("de-1")

    def tls(self) -> ssl.SSLContext:
        return client_tls(self.client.cert, self.client.key, self.authority.ca)

    def ticket(self, key: Ed25519PrivateKey | None = None, **changes: Any) -> str:
        values: dict[str, Any] = {
            "node": "de-1",
            "manifest_digest": OTHER,
            "digests": [DIGEST],
            "not_after": int(time.time()) + 600,
        }
        context = changes.pop("context", TICKET_CONTEXT)
        ticket = FetchTicket(**{**values, **changes})
        return to_header(sign(encode(ticket), key or self.key, context))

    def store(self, name: str, data: bytes | None = DATA) -> Path:
        """A store that holds ``data`` under the digest of ``DATA``, right or wrong."""
        folder = self.folder / name
        path = Store(folder).path(DIGEST)
        path.parent.mkdir(parents=True)
        if data is not None:
            path.write_bytes(data)
        return folder

    @contextlib.asynccontextmanager
    async def serving(self, store: Path) -> AsyncIterator[Server]:
        port_file = store / "port"
        config = RangeConfig(
            listen_host="127.0.0.1",
            port=0,
            port_file=str(port_file),
            store_dir=str(store),
            cert=self._server.cert,
            key=self._server.key,
            ca=self.authority.ca,
            controller_key_hex=self.key.public_key().public_bytes_raw().hex(),
        )
        (store / "range.json").write_bytes(encode(config))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "holdfast_bundles.range.main", "--config", str(store / "range.json")),
        )
        try:
            async with asyncio.timeout(WAIT_S):
                while not port_file.exists():
                    assert process.returncode is None
                    await asyncio.sleep(0.01)
            yield Server(f"https://127.0.0.1:{int(port_file.read_text())}", process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def source(self, *urls: str, ticket: str | None = None) -> Source:
        return Source(urls, ticket if ticket is not None else self.ticket(), self.tls())


class Server(NamedTuple):
    url: str
    process: asyncio.subprocess.Process


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def answer(site: Site, url: str, **headers: str) -> tuple[int, bytes]:
    connector = aiohttp.TCPConnector(ssl=site.tls())
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers=headers) as got,
    ):
        return got.status, await got.read()


async def test_blobs_ranges_and_refusals(site: Site) -> None:
    blob = f"/v1/blobs/{DIGEST.replace(':', '/')}"
    stranger = Ed25519PrivateKey.generate()
    refused: dict[str, str] = {
        "none": "",
        "no base64": "!!",
        "no document": "e30=",
        "another key": site.ticket(stranger),
        "another context": site.ticket(context="desired"),
        "another node": site.ticket(node="de-2"),
        "another blob": site.ticket(digests=[OTHER]),
        "too late": site.ticket(not_after=int(time.time()) - 1),
    }
    async with site.serving(site.store("a")) as server:
        good = {"Hf-Ticket": site.ticket()}
        assert await answer(site, server.url + blob, **good) == (200, DATA)
        part = await answer(site, server.url + blob, Range="bytes=5-9", **good)
        assert part == (206, DATA[5:10])
        for name, ticket in refused.items():
            status, body = await answer(site, server.url + blob, **{"Hf-Ticket": ticket})
            assert (status, b"TICKET_REFUSED" in body) == (403, True), name
        by_manifest = {"Hf-Ticket": site.ticket(manifest_digest=DIGEST, digests=[])}
        assert (await answer(site, server.url + blob, **by_manifest))[0] == 200
        missing = {"Hf-Ticket": site.ticket(digests=[OTHER])}
        status, body = await answer(site, server.url + f"/v1/blobs/sha256/{'0' * 64}", **missing)
        assert (status, b"BLOB_MISSING" in body) == (404, True)
        for path in ("/", "/v1/blobs/", "/v1/blobs/sha256/..%2f..%2fport", "/v1/blobs/sha256/AB"):
            assert (await answer(site, server.url + path, **good))[0] == 404
        server.process.send_signal(signal.SIGTERM)
        assert await server.process.wait() == 0


async def test_a_certificate_must_name_the_node(site: Site, tmp_path: Path) -> None:
    blob = f"/v1/blobs/{DIGEST.replace(':', '/')}"
    async with site.serving(site.store("a")) as server:
        for uris in ((), ("holdfast:node:de-2",), ("holdfast:node:de-1", "holdfast:node:de-2")):
            site.client = site.authority.issue("client", *uris)
            got = await answer(site, server.url + blob, **{"Hf-Ticket": site.ticket()})
            assert got[0] == 403
        foreign = Authority(tmp_path / "foreign")
        site.client = foreign.node("de-1")
        with pytest.raises(aiohttp.ClientError):
            await answer(site, server.url + blob, **{"Hf-Ticket": site.ticket()})
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.check_hostname = False
        bare.load_verify_locations(site.authority.ca)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=bare)) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(server.url + blob)


async def test_a_blob_arrives_whole_from_two_sources(site: Site, tmp_path: Path) -> None:
    dest = tmp_path / "in" / "blob"
    dest.parent.mkdir()
    seen: list[tuple[int, int]] = []
    async with site.serving(site.store("a")) as one, site.serving(site.store("b")) as two:
        await fetch(site.source(one.url, two.url), WANTED, dest, lambda *pair: seen.append(pair))
        assert dest.read_bytes() == DATA
        assert sorted(path.name for path in dest.parent.iterdir()) == ["blob"]
        assert seen[-1] == (len(DATA), len(DATA))
        plain = tmp_path / "in" / "plain"
        await fetch(site.source(two.url), WANTED._replace(chunks=None), plain)
        assert plain.read_bytes() == DATA
    await fetch(site.source(), WANTED, dest)


async def test_sources_that_lie_lack_or_are_down_are_passed_over(
    site: Site, tmp_path: Path
) -> None:
    lie = bytearray(DATA)
    for at in range(0, len(lie), CHUNK):
        lie[at] ^= 1
    async with (
        site.serving(site.store("liar", bytes(lie))) as liar,
        site.serving(site.store("empty", None)) as empty,
        site.serving(site.store("short", DATA[: 5 * CHUNK])) as short,
        site.serving(site.store("good")) as good,
    ):
        urls = ("https://127.0.0.1:9", liar.url, empty.url, short.url, good.url)
        await fetch(site.source(*urls), WANTED, tmp_path / "blob")
        assert (tmp_path / "blob").read_bytes() == DATA


Stores = Callable[[Site], Path]


@pytest.mark.parametrize(
    ("stores", "index", "code"),
    [
        (lambda site: site.store("a", DATA[:-1] + b"?"), INDEX, Code.BLOB_DIGEST),
        (lambda site: site.store("a", DATA[:-1] + b"?"), None, Code.BLOB_DIGEST),
        (lambda site: site.store("a", None), INDEX, Code.BLOB_MISSING),
    ],
    ids=["wrong chunk", "wrong whole", "missing"],
)
async def test_what_no_source_can_give(
    site: Site, tmp_path: Path, stores: Stores, index: ChunkIndex | None, code: Code
) -> None:
    async with site.serving(stores(site)) as server:
        with pytest.raises(HoldfastError) as caught:
            await fetch(site.source(server.url), Wanted(DIGEST, len(DATA), index), tmp_path / "x")
    assert caught.value.code is code
    assert not (tmp_path / "x").exists()


async def test_a_refused_ticket_is_told(site: Site, tmp_path: Path) -> None:
    async with site.serving(site.store("a")) as server:
        source = site.source(server.url, ticket=site.ticket(node="de-2"))
        with pytest.raises(HoldfastError) as caught:
            await fetch(source, WANTED, tmp_path / "x")
    assert caught.value.code is Code.TICKET_REFUSED


async def test_a_fetch_goes_on_where_it_was_cut(site: Site, tmp_path: Path) -> None:
    """The first source dies in the middle; a second one lacks what was already proven."""
    dest = tmp_path / "blob"
    async with site.serving(site.store("a", DATA[: 9 * CHUNK])) as server:
        with pytest.raises(HoldfastError):
            await fetch(site.source(server.url), WANTED, dest)
    lines = (tmp_path / "blob.chunks").read_text().splitlines()
    proven = sorted(int(line.split()[0]) for line in lines)
    assert proven
    rest = bytearray(DATA)
    for number in proven:
        rest[number * CHUNK : (number + 1) * CHUNK] = bytes(CHUNK)
    # One of the proven chunks rots on our own disk: it alone is fetched again, from a third one.
    with (tmp_path / "blob.part").open("r+b") as file:
        file.seek(proven[0] * CHUNK)
        file.write(b"rot")
    rest[proven[0] * CHUNK : (proven[0] + 1) * CHUNK] = DATA[
        proven[0] * CHUNK : (proven[0] + 1) * CHUNK
    ]
    async with site.serving(site.store("b", bytes(rest))) as server:
        await fetch(site.source(server.url), WANTED, dest)
    assert dest.read_bytes() == DATA


async def test_a_cancelled_fetch_ends_at_once(site: Site, tmp_path: Path) -> None:
    """A source that accepts and then says nothing must not hold the agent until the stall ends."""
    pair = site.authority.issue("silent")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.cert, pair.key)
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        source = site.source(f"https://127.0.0.1:{port}")
        task = asyncio.create_task(fetch(source, WANTED, tmp_path / "blob"))
        async with asyncio.timeout(WAIT_S):
            await asked.wait()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=FETCH_STALL_S / 2)
        assert done
        assert task.cancelled()
    await asyncio.to_thread(until_no_thread, FETCH_STALL_S / 2)


def until_no_thread(deadline_s: float) -> None:
    """Return once no thread of a fetch is left."""
    end_s = time.monotonic() + deadline_s
    for one in threading.enumerate():
        if one.name.startswith("holdfast-fetch"):
            one.join(end_s - time.monotonic())
            assert not one.is_alive()
