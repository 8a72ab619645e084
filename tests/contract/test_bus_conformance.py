"""What every bus promises, on the fake in memory and on the adapter over a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from holdfast_protocol.bus.memory import MemoryBroker, MemoryBus
from holdfast_protocol.bus.nats_bus import connect
from holdfast_protocol.bus.port import (
    Bus,
    Message,
    NoRespondersError,
    Pending,
    State,
    StreamSpec,
)
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import permissions
from holdfast_protocol.limits import BROKER_PAYLOAD_BYTES
from holdfast_protocol.subjects import ALL_API

from tests.contract.realm import Realm, running

EVENTS = StreamSpec(name="EVT", subjects=("hf.v1.evt.*.*",), size_bytes_max=1 << 20)
DESIRED = StreamSpec(name="DES", subjects=("hf.v1.des.*",), size_bytes_max=1 << 20, last_value=True)


class Pair(NamedTuple):
    """A controller, an agent of node de-1, and a person; they may talk as in a site."""

    controller: Bus
    agent: Bus
    person: Bus


@contextlib.asynccontextmanager
async def in_memory() -> AsyncIterator[Pair]:
    broker = MemoryBroker(random.Random(7))
    pair = Pair(*(MemoryBus(broker, who) for who in ("controller", "de-1", "operator-1")))
    yield pair
    for bus in pair:
        await bus.close()


@contextlib.asynccontextmanager
async def on_a_broker(folder: Path) -> AsyncIterator[Pair]:
    realm = Realm(folder)
    broker = realm.broker("broker-de", zone="de")
    roles = {
        "controller": permissions.controller(),
        "de-1": permissions.agent("de-1", "de"),
        "operator-1": permissions.person("operator-1", "operator"),
    }
    async with running(broker), contextlib.AsyncExitStack() as stack:
        buses = []
        for who, rights in roles.items():
            creds = realm.identity(realm.control, who, rights, broker)
            buses.append(await stack.enter_async_context(await connect(creds, name=who)))
        yield Pair(*buses)


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.real)])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    opened = in_memory() if request.param == "memory" else on_a_broker(tmp_path)
    async with opened as buses:
        yield buses


async def until(condition: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await condition.wait()


async def test_a_request_is_answered_with_headers(pair: Pair) -> None:
    async def answer(message: Message) -> None:
        assert message.headers == {"Hf-Request": "r1"}
        await pair.controller.publish(message.reply, message.body[::-1], {"Hf-Status": "200"})

    await pair.controller.subscribe(ALL_API, answer)
    got = await pair.person.request("hf.v1.api.operator-1.node.list", b"abc", {"Hf-Request": "r1"})
    assert (got.body, got.headers, got.status) == (b"cba", {"Hf-Status": "200"}, "")


async def test_nobody_there_is_told_at_once(pair: Pair) -> None:
    with pytest.raises(NoRespondersError) as caught:
        await pair.person.request("hf.v1.api.operator-1.node.list", b"", None, 60.0)
    assert caught.value.code is Code.NOT_LOADED


async def test_silence_is_a_deadline(pair: Pair) -> None:
    async def never(_: Message) -> None:
        pass

    await pair.controller.subscribe(ALL_API, never)
    with pytest.raises(HoldfastError) as caught:
        await pair.person.request("hf.v1.api.operator-1.node.list", b"", None, 0.05)
    assert caught.value.code is Code.DEADLINE


async def test_many_answers_come_in_order(pair: Pair) -> None:
    async def answer(message: Message) -> None:
        for number in range(200):
            await pair.controller.publish(message.reply, str(number).encode())
        await pair.controller.publish(message.reply, b"", {"Hf-Status": "200"})

    await pair.controller.subscribe(ALL_API, answer)
    got: list[bytes] = []
    answers = pair.person.request_many("hf.v1.api.operator-1.node.watch", b"", None, 5.0)
    async with contextlib.aclosing(answers):
        async for message in answers:
            if "Hf-Status" in message.headers:
                break
            got.append(message.body)
    assert got == [str(number).encode() for number in range(200)]


async def test_wildcards_and_one_of_a_queue(pair: Pair) -> None:
    heard: dict[str, list[str]] = {"all": [], "one": [], "other": []}

    async def hear(name: str, message: Message) -> None:
        heard[name].append(message.subject)

    bus = pair.controller
    await bus.subscribe("hf.v1.tel.*.gpu", lambda m: hear("all", m))
    await bus.subscribe("hf.v1.tel.*.*", lambda m: hear("one", m), "q")
    await bus.subscribe("hf.v1.tel.de-1.*", lambda m: hear("other", m), "q")
    for _ in range(40):
        await pair.agent.publish("hf.v1.tel.de-1.gpu", b"x")
    await pair.agent.publish("hf.v1.tel.de-1.cpu", b"x")
    await pair.agent.barrier()
    await bus.barrier()
    await asyncio.sleep(0)
    assert len(heard["all"]) == 40
    assert len(heard["one"]) + len(heard["other"]) == 41
    assert heard["one"]
    assert heard["other"]


async def test_a_slow_handler_does_not_stop_the_others(pair: Pair) -> None:
    release, quick = asyncio.Event(), asyncio.Event()

    async def slow(_: Message) -> None:
        await release.wait()

    async def fast(_: Message) -> None:
        quick.set()

    slow_one = await pair.controller.subscribe("hf.v1.hb.*", slow, "", Pending(running=1))
    await pair.controller.subscribe("hf.v1.tel.*.*", fast)
    for _ in range(10):
        await pair.agent.publish("hf.v1.hb.de-1", b"")
    await pair.agent.publish("hf.v1.tel.de-1.gpu", b"")
    await until(quick)
    release.set()
    async with asyncio.timeout(5):
        await slow_one.idle()


async def test_beyond_the_bounds_is_dropped_and_counted(pair: Pair) -> None:
    release = asyncio.Event()
    handled: list[bytes] = []

    async def slow(message: Message) -> None:
        await release.wait()
        handled.append(message.body)

    bounds = Pending(running=1, waiting=3, waiting_bytes=2)
    subscription = await pair.controller.subscribe("hf.v1.hb.*", slow, "", bounds)
    for number in range(6):
        await pair.agent.publish("hf.v1.hb.de-1", str(number).encode())
    await pair.agent.barrier()
    await pair.controller.barrier()
    assert subscription.dropped == 3
    release.set()
    async with asyncio.timeout(5):
        await subscription.idle()
    assert handled == [b"0", b"1", b"2"]


async def test_leaving_loses_nothing(pair: Pair) -> None:
    sent = 0
    heard: list[bytes] = []
    stop = asyncio.Event()

    async def hear(message: Message) -> None:
        heard.append(message.body)

    async def send() -> None:
        nonlocal sent
        while not stop.is_set():
            await pair.agent.publish("hf.v1.hb.de-1", str(sent).encode())
            sent += 1
            await asyncio.sleep(0)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        current = await pair.controller.subscribe("hf.v1.hb.*", hear, "q")
        group.create_task(send())
        for _ in range(30):
            following = await pair.controller.subscribe("hf.v1.hb.*", hear, "q")
            await pair.controller.safe_leave(current)
            await current.idle()
            current = following
        stop.set()
    await pair.agent.barrier()
    await pair.controller.barrier()
    await current.idle()
    assert sorted(map(int, heard)) == list(range(sent))


async def test_what_cannot_be_sent_is_refused_before(pair: Pair) -> None:
    for subject, body, headers, code in (
        ("hf.v1.hb.de-1", bytes(BROKER_PAYLOAD_BYTES + 1), None, Code.TOO_LARGE),
        ("hf.v1.hb.de-1", bytes(BROKER_PAYLOAD_BYTES), {"A": "b"}, Code.TOO_LARGE),
        ("hf.v1.hb.de-1", b"", {"A": "b\r\nX: y"}, Code.BAD_REQUEST),
        ("hf.v1.hb.de-1", b"", {"A b": "c"}, Code.BAD_REQUEST),
        ("hf.v1.hb.de-1", b"", {f"H{n}": "" for n in range(65)}, Code.TOO_LARGE),
    ):
        with pytest.raises(HoldfastError) as caught:
            await pair.agent.publish(subject, body, headers)
        assert caught.value.code is code
    heard = asyncio.Event()

    async def hear(message: Message) -> None:
        assert len(message.body) == BROKER_PAYLOAD_BYTES
        heard.set()

    await pair.controller.subscribe("hf.v1.hb.*", hear)
    await pair.agent.publish("hf.v1.hb.de-1", bytes(BROKER_PAYLOAD_BYTES))
    await until(heard)


async def test_a_last_value_is_read_by_whoever_may(pair: Pair) -> None:
    await pair.controller.ensure_stream(DESIRED)
    await pair.controller.ensure_stream(DESIRED)
    assert await pair.agent.last_value("de", "DES", "hf.v1.des.de-1") is None
    await pair.controller.stream_publish("hf.v1.des.de-1", b"one")
    ack = await pair.controller.stream_publish("hf.v1.des.de-1", b"two")
    assert await pair.agent.last_value("de", "DES", "hf.v1.des.de-1") == b"two"
    await pair.controller.stream_publish("hf.v1.des.de-1", b"3", expected_last=ack.sequence)
    with pytest.raises(HoldfastError) as caught:
        await pair.controller.stream_publish("hf.v1.des.de-1", b"4", expected_last=ack.sequence)
    assert caught.value.code is Code.PLAN_STALE
    assert await pair.agent.last_value("de", "DES", "hf.v1.des.de-1") == b"3"


async def test_events_arrive_once_per_id_and_until_acknowledged(pair: Pair) -> None:
    await pair.controller.ensure_stream(EVENTS)
    await pair.controller.ensure_consumer("EVT", "ingest")
    await pair.controller.ensure_consumer("EVT", "ingest")
    assert await pair.controller.fetch("EVT", "ingest", 10, 0.05) == ()
    acks = [
        await pair.agent.stream_publish(
            "hf.v1.evt.de-1.slot", str(number).encode(), message_id=f"de-1-b-{number}"
        )
        for number in (1, 2, 2, 3)
    ]
    assert [(ack.sequence, ack.duplicate) for ack in acks] == [
        (1, False), (2, False), (2, True), (3, False)
    ]  # fmt: skip
    first = await pair.controller.fetch("EVT", "ingest", 2, 5.0)
    assert [message.body for message in first] == [b"1", b"2"]
    for message in first:
        await pair.controller.acknowledge(message)
    await pair.controller.barrier()
    rest = await pair.controller.fetch("EVT", "ingest", 10, 0.2)
    assert [message.body for message in rest] == [b"3"]


async def test_a_widened_stream_keeps_what_it_has(pair: Pair) -> None:
    await pair.controller.ensure_stream(EVENTS)
    await pair.agent.stream_publish("hf.v1.evt.de-1.slot", b"kept")
    wider = StreamSpec(
        name="EVT", subjects=("hf.v1.evt.*.*", "hf.v1.cmd.*.*"), size_bytes_max=1 << 16
    )
    await pair.controller.ensure_stream(wider)
    await pair.controller.stream_publish("hf.v1.cmd.de-1.x", b"new")
    await pair.controller.ensure_consumer("EVT", "ingest")
    got = await pair.controller.fetch("EVT", "ingest", 10, 0.2)
    assert [message.body for message in got] == [b"kept", b"new"]


async def test_a_closed_bus_says_so(pair: Pair) -> None:
    await pair.agent.close()
    await pair.agent.close()
    assert pair.agent.state is State.CLOSED
    with pytest.raises(HoldfastError) as caught:
        await pair.agent.publish("hf.v1.hb.de-1", b"")
    assert caught.value.code is Code.BROKER_DOWN
