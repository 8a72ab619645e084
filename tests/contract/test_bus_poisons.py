"""One message of an application must not silence a gateway.

Each poison is sent by a raw client, as an attacker would, with an application's own rights. The
same poisons are shown to end nats-py's own client, so that the tests prove something.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from holdfast_protocol.bus.connection import client_tls
from holdfast_protocol.bus.nats_bus import NatsBus, connect
from holdfast_protocol.bus.port import Message, State
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.identity import credentials, permissions
from nats.aio.client import Client

from tests.contract.realm import Broker, Realm, running, until

pytestmark = pytest.mark.real

GOOD = b"infer.chat-small.chat"


def pub(subject: bytes, body: bytes = b"x") -> bytes:
    return b"PUB %s _INBOX.triage.r %d\r\n%s\r\n" % (subject, len(body), body)


def hpub(block: bytes, subject: bytes = GOOD) -> bytes:
    return b"HPUB %s _INBOX.triage.r %d %d\r\n%s\r\n" % (subject, len(block), len(block), block)


POISONS: dict[str, bytes] = {
    "description is not UTF-8": hpub(b"NATS/1.0 \xff\xff\r\n\r\n"),
    "status and description are not UTF-8": hpub(b"NATS/1.0 503 \xff\xff\r\n\r\n"),
    "subject is not UTF-8": pub(b"infer.\xff\xfe.chat"),
    "subject with a vertical tab": pub(b"infer.a\x0bb.chat"),
    "subject with a form feed and headers": hpub(b"NATS/1.0\r\n\r\n", b"infer.a\x0cb.chat"),
    "no colon": hpub(b"NATS/1.0\r\nnothing\r\n\r\n"),
    "empty name": hpub(b"NATS/1.0\r\n: x\r\n\r\n"),
    "NUL": hpub(b"NATS/1.0\r\nA: \x00\r\n\r\n"),
    "bare line feed": hpub(b"NATS/1.0\r\nA: b\nC: d\r\n\r\n"),
    "folding": hpub(b"NATS/1.0\r\nA: b\r\n c\r\n\r\n"),
    "twice": hpub(b"NATS/1.0\r\nHf-Request: a\r\nHf-Request: b\r\n\r\n"),
    "no version": hpub(b"A: b\r\n\r\n"),
    "wrong version": hpub(b"NATS/2.0\r\nA: b\r\n\r\n"),
    "no end": hpub(b"NATS/1.0\r\nA: b"),
    "name is not ASCII": hpub(b"NATS/1.0\r\n\xc3\xa4: b\r\n\r\n"),
    "value is not UTF-8": hpub(b"NATS/1.0\r\nA: \xff\r\n\r\n"),
    "one large header": hpub(b"NATS/1.0\r\nA: " + b"x" * 300_000 + b"\r\n\r\n"),
    "forty thousand headers": hpub(
        b"NATS/1.0\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(40_000)) + b"\r\n"
    ),
}
# These reach the handler, which checks every token before it uses one; an open block is closed by
# the broker when it writes who calls.
HARMLESS = {"subject with a vertical tab", "subject with a form feed and headers", "no end"}
DEADLY = (
    "description is not UTF-8",
    "status and description are not UTF-8",
    "subject is not UTF-8",
)


class Raw:
    """A client that sends exactly the bytes it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send and wait until the broker has processed it."""
        self._writer.write(data + b"PING\r\n")
        await self._writer.drain()
        async with asyncio.timeout(5):
            while (await self._reader.readline()) != b"PONG\r\n":
                assert not self._reader.at_eof(), "the broker ended the sender's connection"


@contextlib.asynccontextmanager
async def raw(folder: Path, broker: Broker) -> AsyncIterator[Raw]:
    identity = credentials.read(folder)
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port, ssl=client_tls(folder))
    info = json.loads((await reader.readline()).removeprefix(b"INFO "))
    signature = base64.b64encode(identity.key_pair().sign(info["nonce"].encode())).decode()
    hello = {
        "jwt": identity.user_jwt, "sig": signature, "headers": True, "no_responders": True,
        "verbose": False, "lang": "raw", "version": "1", "protocol": 1,
    }  # fmt: skip
    client = Raw(reader, writer)
    writer.write(b"CONNECT " + json.dumps(hello).encode() + b"\r\n")
    try:
        await client.send(b"")
        yield client
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class Site:
    """A broker with a gateway that answers, an application, and an attacker's raw connection."""

    def __init__(self, realm: Realm, broker: Broker, gateway: NatsBus, attacker: Raw) -> None:
        self.realm = realm
        self.broker = broker
        self.gateway = gateway
        self.attacker = attacker


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    realm = Realm(tmp_path, [("triage", "de")])
    broker = realm.broker("broker-de", zone="de")
    rights = permissions.gateway("de-1", ["de"], [])
    async with running(broker):
        creds = realm.identity(realm.inference, "de-1", rights, broker)
        async with (
            await connect(creds, name="gateway") as gateway,
            raw(realm.application("triage", broker), broker) as attacker,
        ):

            async def answer(message: Message) -> None:
                await gateway.publish(message.reply, b"answered")

            await gateway.subscribe("infer.v1.de.>", answer, "ingress")
            yield Site(realm, broker, gateway, attacker)


async def test_the_gateway_answers_after_every_poison(site: Site) -> None:
    counters = site.gateway.counters
    unseen = set()
    async with await connect(site.realm.application("triage", site.broker), name="app") as app:
        for name, poison in POISONS.items():
            before = counters.malformed
            await site.attacker.send(poison)
            got = await app.request(GOOD.decode(), b"still there?")
            assert got.body == b"answered", name
            if counters.malformed == before:
                unseen.add(name)
    assert (counters.reconnects, counters.deaf) == (0, 0)
    assert unseen == HARMLESS


async def unguarded(site: Site) -> tuple[Client, asyncio.Event]:
    """nats-py's own client in the gateway's place."""
    rights = permissions.gateway("de-2", ["de"], [])
    folder = site.realm.identity(site.realm.inference, "de-2", rights, site.broker)
    identity = credentials.read(folder)
    client, ended = Client(), asyncio.Event()

    async def on_end() -> None:
        ended.set()

    async def hush(_: Exception) -> None:
        pass

    await client.connect(
        servers=[site.broker.url], tls=client_tls(folder), tls_handshake_first=True,
        user_jwt_cb=lambda: bytearray(identity.user_jwt.encode()),
        signature_cb=lambda n: base64.b64encode(identity.key_pair().sign(n.encode())),
        inbox_prefix=identity.connect.inbox_prefix, disconnected_cb=on_end, error_cb=hush,
        allow_reconnect=False,
    )  # fmt: skip
    return client, ended


@pytest.mark.parametrize("name", DEADLY)
async def test_the_poison_is_real_for_the_client_as_it_comes(site: Site, name: str) -> None:
    client, _ = await unguarded(site)

    async def hear(_: object) -> None:
        pass

    await client.subscribe("infer.v1.de.*.*.cancel", cb=hear)
    await client.subscribe("infer.v1.de.>", queue="ingress", cb=hear)
    await client.flush()
    reading = client._reading_task
    assert reading is not None
    for _ in range(20):
        # The queue is shared with the guarded gateway, so the poison is sent until it hits.
        await site.attacker.send(POISONS[name])
        if reading.done():
            break
        await asyncio.sleep(0.01)
    await asyncio.wait([reading], timeout=5)
    assert reading.done()
    assert client.is_connected, "deaf, and believes to be connected"
    await client.close()


async def test_a_vertical_tab_ends_the_connection_of_the_client_as_it_comes(site: Site) -> None:
    client, ended = await unguarded(site)

    async def hear(_: object) -> None:
        pass

    await client.subscribe("infer.v1.de.>", queue="ingress", cb=hear)
    await client.flush()
    for _ in range(20):
        await site.attacker.send(POISONS["subject with a vertical tab"])
        if ended.is_set():
            break
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await ended.wait()
    await client.close()


async def test_a_late_pong_does_not_end_the_reader(site: Site) -> None:
    connection = site.gateway._connection
    assert connection is not None
    with pytest.raises(TimeoutError):
        await connection.client.synchronise(0.0)
    await site.gateway.barrier()
    await site.gateway.barrier()
    assert not connection.client.deaf


async def test_a_deaf_connection_is_replaced(site: Site) -> None:
    connection = site.gateway._connection
    assert connection is not None
    reading = connection.client._reading_task
    assert reading is not None
    reading.cancel()
    await asyncio.wait([reading], timeout=5)
    assert connection.client.deaf
    async with await connect(site.realm.application("triage", site.broker), name="app") as app:
        await until(lambda: site.gateway.counters.reconnects == 1)
        assert (await app.request(GOOD.decode(), b"")).body == b"answered"
    assert site.gateway.counters.deaf == 1


async def test_a_broker_that_returns_finds_everyone_back(site: Site) -> None:
    told = asyncio.Event()

    async def on_reconnect() -> None:
        told.set()

    creds = site.realm.application("triage", site.broker)
    async with await connect(creds, name="app", on_reconnect=on_reconnect) as app:
        await site.broker.stop(kill=True)
        await until(lambda: State.CONNECTED not in (app.state, site.gateway.state))
        with pytest.raises(HoldfastError) as caught:
            await app.request(GOOD.decode(), b"")
        assert caught.value.code == "BROKER_DOWN"
        await site.broker.start()
        await until(lambda: told.is_set() and site.gateway.state is State.CONNECTED)
        assert (await app.request(GOOD.decode(), b"")).body == b"answered"


async def test_closing_while_the_broker_is_away_ends_soon(site: Site) -> None:
    creds = site.realm.application("triage", site.broker)
    buses = [await connect(creds, name=f"app-{n}") for n in range(8)]
    await site.broker.stop(kill=True)
    await until(lambda: all(bus.state is State.RECONNECTING for bus in buses))
    async with asyncio.timeout(10):
        for bus in buses:
            # Each at another moment of its attempts to connect.
            await asyncio.sleep(0.03)
            await bus.close()
    assert all(bus.state is State.CLOSED for bus in buses)
