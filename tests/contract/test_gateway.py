"""The gateway program against a real broker: what an application sees, and what it cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator

import pytest
from holdfast_protocol.bus.nats_bus import NatsBus
from holdfast_protocol.bus.port import Message, NoRespondersError
from holdfast_protocol.limits import REQUEST_BYTES

from tests.contract.gateway_realm import GatewayRealm, chat, running
from tests.unit.agent.gateway_engine import Engine
from tests.unit.agent.gateway_site import error_of, text_of, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]


@contextlib.asynccontextmanager
async def engines(realm: GatewayRealm) -> AsyncIterator[dict[str, Engine]]:
    made = {name: Engine(node.engine, name) for name, node in realm.nodes.items()}
    servers = [await asyncio.start_unix_server(e.converse, str(e.path)) for e in made.values()]
    try:
        yield made
    finally:
        for server in servers:
            server.close()


async def stream(app: NatsBus, headers: dict[str, str] | None = None) -> list[Message]:
    got: list[Message] = []
    wanted = {"Hf-Accept": "stream", **(headers or {})}
    answers = app.request_many("infer.chat.chat", chat(), wanted, 20.0)
    async with contextlib.aclosing(answers):
        async for message in answers:
            got.append(message)
            if "Hf-Status" in message.headers:
                break
    return got


async def ask(app: NatsBus, alias: str = "chat", **headers: str) -> Message:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await app.request(f"infer.{alias}.chat", chat(), named, 10.0)


async def test_one_gateway() -> None:
    async with (
        running("de-1") as realm,
        engines(realm) as made,
        await realm.application("triage") as app,
        await realm.application("nosy") as nosy,
    ):
        engine = made["de-1"]
        await check_answers(app)
        await check_refusals(app, nosy)
        await check_cancel_and_deadline(app, engine)
        await check_counts(realm, app, engine)
        await check_revocation(realm, app)
        log = realm.nodes["de-1"].log()
        assert "hello" not in log
        assert "Traceback" not in log


async def check_answers(app: NatsBus) -> None:
    final = await ask(app)
    assert text_of(final) == "from de-1"
    assert final.headers["Hf-Digest"].startswith("sha256:")
    *parts, end = await stream(app)
    assert [p.headers["Hf-Seq"] for p in parts] == [str(n) for n in range(len(parts))]
    assert (end.body, end.headers["Hf-Status"]) == (b"", "200")
    vectors = await app.request("infer.vectors.embed", b'{"input":"x"}')
    assert json.loads(vectors.body)["data"][0]["embedding"] == [0.25, 0.5]


async def check_refusals(app: NatsBus, nosy: NatsBus) -> None:
    assert error_of(await ask(nosy)) == "NOT_GRANTED"
    assert error_of(await ask(app, "unknown")) == "NOT_GRANTED"
    assert error_of(await ask(app, "soon")) == "NOT_LOADED"
    assert error_of(await ask(app, "paris")) == "NO_LEGAL_PLACEMENT"
    assert error_of(await ask(app, Hf_Residency="FR")) == "LABEL_REFUSED"
    assert error_of(await ask(app, Hf_Residency="DE,DE-BY")) == "LABEL_REFUSED"
    for body in (b"{", b"", b"\x00\xff"):
        assert error_of(await app.request("infer.chat.chat", body)) == "BAD_REQUEST"
    large = b'{"prompt":"' + b"x" * REQUEST_BYTES + b'"}'
    assert error_of(await app.request("infer.chat.complete", large, None, 20.0)) == "TOO_LARGE"


async def check_cancel_and_deadline(app: NatsBus, engine: Engine) -> None:
    engine.gate.clear()
    late = await ask(app, Hf_Deadline_Ms="200")
    assert (error_of(late), late.headers["Hf-Status"]) == ("DEADLINE", "504")
    await until(lambda: engine.open == 0)
    asked = asyncio.create_task(stream(app, {"Hf-Request": "r1"}))
    await until(lambda: engine.open == 1)
    await app.publish("infer.chat.cancel", b"", {"Hf-Request": "r1"})
    assert (await asked)[-1].headers["Hf-Status"] == "499"
    await until(lambda: engine.open == 0)
    engine.gate.set()


async def check_counts(realm: GatewayRealm, app: NatsBus, engine: Engine) -> None:
    """The agent hears at once, after a new state, what still runs."""
    engine.gate.clear()
    asked = asyncio.create_task(ask(app))
    await until(lambda: engine.open == 1)
    await realm.push()
    feed = realm.nodes["de-1"].feed
    await until(lambda: feed.in_flight == {"chat-de-1": 1}, 0.8)
    engine.gate.set()
    assert text_of(await asked) == "from de-1"
    await until(lambda: feed.in_flight == {})


async def check_revocation(realm: GatewayRealm, app: NatsBus) -> None:
    """A denial that an officer signed stops an application, although the controller grants it.

    The document that names the newer trust comes before the agent has fetched it.
    """
    realm.world.deny("app:triage")
    realm.stamp()
    await realm.push()
    await asyncio.sleep(0.6)
    assert text_of(await ask(app)) == "from de-1"
    for node in realm.nodes.values():
        node.refresh()
    deadline = time.monotonic() + 2
    while error_or_none(answer := await ask(app)) is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert error_of(answer) == "NOT_GRANTED"


def error_or_none(message: Message) -> str | None:
    return message.headers.get("Hf-Code")


async def taken(app: NatsBus) -> Message:
    """Ask as an application does: when told that all are busy, again after the hint.

    The broker hands requests out at random, so one gateway may get more than it may hold.
    """
    for _ in range(100):
        answer = await ask(app)
        if error_or_none(answer) != "BUSY":
            return answer
        await asyncio.sleep(int(answer.headers["Hf-Retry-Ms"]) / 1000)
    raise AssertionError("busy for ever")


async def test_two_gateways() -> None:
    async with (
        running("de-1", "de-2") as realm,
        engines(realm) as made,
        await realm.application("triage") as app,
    ):
        await realm.push("de-2")
        await asyncio.sleep(0.3)
        answers = await asyncio.gather(*(taken(app) for _ in range(8)))
        assert {text_of(a) for a in answers} == {"from de-2"}  # half of them were forwarded
        await check_spread(realm, app, made)
        await check_leaving(realm, app, made)


async def check_spread(realm: GatewayRealm, app: NatsBus, made: dict[str, Engine]) -> None:
    """Whoever receives, every slot of the site is used before anybody is held or refused."""
    await realm.push()
    await asyncio.sleep(0.3)
    for engine in made.values():
        engine.gate.clear()
    asked = [asyncio.create_task(ask(app)) for _ in range(4)]
    await until(lambda: all(engine.open == 2 for engine in made.values()))
    held = [asyncio.create_task(ask(app)) for _ in range(3)]
    await asyncio.sleep(0.1)
    for engine in made.values():
        engine.gate.set()
    assert {a.headers["Hf-Status"] for a in await asyncio.gather(*asked, *held)} == {"200"}


async def check_leaving(realm: GatewayRealm, app: NatsBus, made: dict[str, Engine]) -> None:
    """SIGTERM finishes what runs, and nothing that is asked meanwhile is lost."""
    for engine in made.values():
        engine.gate.clear()
    first = [asyncio.create_task(ask(app)) for _ in range(4)]
    await until(lambda: all(engine.open == 2 for engine in made.values()))
    leaving = asyncio.create_task(realm.nodes["de-1"].stop())
    await asyncio.sleep(0.2)
    more = [asyncio.create_task(ask(app)) for _ in range(3)]
    await asyncio.sleep(0.2)
    for engine in made.values():
        engine.gate.set()
    answers = await asyncio.gather(*first, *more)
    assert {a.headers["Hf-Status"] for a in answers} == {"200"}
    assert await leaving == 0, realm.nodes["de-1"].log()
    await realm.nodes["de-1"].start()


async def test_a_killed_node_ends_what_was_forwarded_to_it() -> None:
    """Of twelve streams on one node the other gateway forwarded some; those are told in time."""
    async with (
        running("de-1", "de-2", capacity=16) as realm,
        engines(realm) as made,
        await realm.application("triage") as app,
    ):
        await realm.push("de-2")
        await asyncio.sleep(0.3)
        made["de-2"].gate.clear()
        asked = [asyncio.create_task(stream(app)) for _ in range(12)]
        await until(lambda: made["de-2"].open == 12)
        process = realm.nodes["de-2"].process
        assert process is not None
        process.send_signal(signal.SIGKILL)
        # About a second on a machine at rest; a busy one must not make a liar of the test.
        await asyncio.wait(asked, timeout=15, return_when=asyncio.FIRST_COMPLETED)
        done, waiting = await asyncio.wait(asked, timeout=2)
        for task in waiting:
            task.cancel()
        await asyncio.wait(asked)
        assert {error_of(task.result()[-1]) for task in done} == {"NODE_DIED"}
        assert error_of(await ask(app, Hf_Deadline_Ms="3000")) in ("NOT_LOADED", "DEADLINE")


async def test_nobody_there_is_told_at_once() -> None:
    async with running("de-1") as realm, await realm.application("triage") as app:
        assert await realm.nodes["de-1"].stop() == 0
        with pytest.raises(NoRespondersError):
            await ask(app)
