"""Several gateways: forwarding, tickets, full and moved peers, deaths, cancels, flips."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from holdfast_agent.logic.gateway.decide import Asked
from holdfast_agent.logic.gateway.peers import Ack
from holdfast_policy import tickets
from holdfast_policy.logic.labels import Narrowing
from holdfast_policy.tickets import PairKeys, RunTicket
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.limits import FORWARD_ACK_S
from holdfast_protocol.messages import RouteTarget

from tests.unit.agent.gateway_site import Node, Site, error_of, payload, running, text_of, until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """``de-1`` takes requests and serves nothing; ``de-2`` and ``de-3`` execute."""
    async with running(tmp_path, "de-1", "de-2", "de-3", entry=("de-1",)) as started:
        started.push(targets=started.targets()[1:])
        yield started


def only(site: Site, *names: str) -> tuple[RouteTarget, ...]:
    return tuple(t for t in site.targets() if t.node in names)


async def test_a_forwarded_answer_comes_straight_from_the_executing_node(site: Site) -> None:
    answer = await site.ask()
    assert text_of(answer) in ("from de-2", "from de-3")
    *parts, end = await site.stream()
    assert [p.headers["Hf-Seq"] for p in parts] == [str(n) for n in range(len(parts))]
    assert end.headers["Hf-Status"] == "200"
    assert site.nodes["de-1"].engine.bodies == []


async def test_load_is_spread_and_nobody_is_refused_while_a_slot_is_free(site: Site) -> None:
    for name in ("de-2", "de-3"):
        site.nodes[name].engine.gate.clear()
    asked = [asyncio.create_task(site.ask()) for _ in range(4)]
    await until(lambda: all(site.nodes[n].engine.open == 2 for n in ("de-2", "de-3")))
    for name in ("de-2", "de-3"):
        site.nodes[name].engine.gate.set()
    assert {a.headers["Hf-Status"] for a in await asyncio.gather(*asked)} == {"200"}


async def test_a_full_site_holds_and_then_says_busy(site: Site) -> None:
    for name in ("de-2", "de-3"):
        site.nodes[name].engine.gate.clear()
    asked = [asyncio.create_task(site.ask()) for _ in range(12)]  # 4 run, 8 may wait
    await until(lambda: all(site.nodes[n].engine.open == 2 for n in ("de-2", "de-3")))
    await asyncio.sleep(0.05)
    assert error_of(await site.ask()) == "BUSY"
    for name in ("de-2", "de-3"):
        site.nodes[name].engine.gate.set()
    assert {a.headers["Hf-Status"] for a in await asyncio.gather(*asked)} == {"200"}


async def test_moved_and_absent_peers_are_passed_over(site: Site) -> None:
    site.nodes["de-2"].accept(False)
    assert {text_of(await site.ask()) for _ in range(4)} == {"from de-3"}
    await site.nodes["de-3"].bus.close()
    site.nodes["de-2"].accept(True)
    assert {text_of(await site.ask()) for _ in range(4)} == {"from de-2"}


async def test_a_flip_loses_nothing_even_where_the_push_is_lost(site: Site) -> None:
    """The old replica refuses as moved while the entry gateway's table is old, then new."""
    site.push("de-1", targets=only(site, "de-2"))
    answers = []
    for turn in range(20):
        if turn == 5:  # flip: the new one accepts, the executing nodes know, the entry does not
            site.push("de-2", "de-3", targets=only(site, "de-3"))
            site.nodes["de-2"].accept(False)
            asked = asyncio.create_task(site.ask())
            await asyncio.sleep(0.1)
            site.push("de-1", targets=only(site, "de-3"))
            answers.append(await asked)
        answers.append(await site.ask())
    assert {a.headers["Hf-Status"] for a in answers} == {"200"}
    assert text_of(answers[-1]) == "from de-3"


async def test_the_executing_node_decides_again(site: Site) -> None:
    """Where only the executing node knows of a denial, nothing runs there."""
    for name in ("de-2", "de-3"):
        site.nodes[name].trust.denied.add(site.nodes[name].slot.digest)
    answer = asyncio.create_task(site.ask({"Hf-Deadline-Ms": "400"}))
    assert error_of(await answer) in ("DEADLINE", "NOT_LOADED")
    assert site.nodes["de-2"].engine.bodies == site.nodes["de-3"].engine.bodies == []
    assert site.nodes["de-2"].service.tally.tickets_refused > 0


async def test_other_views_of_an_application_refuse_the_ticket(site: Site) -> None:
    """A record narrowed on the executing node alone makes another label there."""
    for name in ("de-2", "de-3"):
        trust = site.nodes[name].trust
        trust.records["triage"] = msgspec.structs.replace(trust.records["triage"], purposes=())
    answer = await site.ask({"Hf-Deadline-Ms": "300"})
    assert error_of(answer) in ("DEADLINE", "NOT_LOADED")
    assert site.nodes["de-2"].engine.bodies == []


async def test_a_lost_acknowledgement_runs_the_request_once(site: Site) -> None:
    """The first request arrives but its answer is lost: asked again, the node knows it."""
    node = site.nodes["de-2"]
    site.push(targets=only(site, "de-2"))
    lose_one_acknowledgement(node)
    began = time.monotonic()
    assert (await site.ask()).headers["Hf-Status"] == "200"
    await asyncio.sleep(FORWARD_ACK_S + 0.2)
    assert len(node.engine.bodies) == 1
    assert time.monotonic() - began < 5


def lose_one_acknowledgement(node: Node) -> None:
    """Let the node's next acknowledgement vanish between it and the broker."""
    publish = node.bus.publish
    lost: list[bytes] = []

    async def lossy(
        subject: str, body: bytes, headers: dict[str, str] | None = None, reply: str = ""
    ) -> None:
        if not lost and not headers and b"accepted" in body:
            lost.append(body)
            return
        await publish(subject, body, headers, reply)

    node.bus.publish = lossy  # type: ignore[method-assign,assignment]  # the wire, not our logic


async def test_a_silent_node_is_told_to_cancel_before_another_is_asked(site: Site) -> None:
    silent = site.nodes["de-2"]
    site.push("de-1", targets=only(site, "de-2"))
    heard: list[bytes] = []

    async def swallow(message: object) -> None:
        heard.append(b"run")

    await silent.bus.close()
    impostor = type(silent.bus)(site.broker, "de-2")
    await impostor.subscribe("hf.v1.run.de.de-2", swallow)
    await impostor.subscribe("hf.v1.can.de.de-2", swallow)
    asked = asyncio.create_task(site.ask())
    await until(lambda: len(heard) == 2)
    site.push("de-1", targets=only(site, "de-2", "de-3"))
    assert text_of(await asked) == "from de-3"
    assert len(heard) >= 3  # asked twice, then told to cancel
    await impostor.close()


async def test_a_dead_node_ends_its_streams_within_three_seconds(site: Site) -> None:
    site.push(targets=only(site, "de-2"))
    node = site.nodes["de-2"]
    node.engine.gate.clear()
    asked = asyncio.create_task(site.stream())
    await until(lambda: node.engine.open == 1)
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await node.bus.close()
    end = (await asked)[-1]
    assert (error_of(end), end.headers["Hf-Status"]) == ("NODE_DIED", "502")
    assert time.monotonic() - began < 3


async def test_a_hanging_node_counts_as_dead(site: Site) -> None:
    site.push(targets=only(site, "de-2"))
    node = site.nodes["de-2"]
    node.engine.gate.clear()
    asked = asyncio.create_task(site.stream())
    await until(lambda: node.engine.open == 1)
    await asyncio.sleep(0.05)

    async def silence(*_: object) -> None:
        pass

    node.bus.publish = silence  # type: ignore[method-assign,assignment]  # the wire, not our logic
    began = time.monotonic()
    assert error_of((await asked)[-1]) == "NODE_DIED"
    assert time.monotonic() - began < 5


async def test_a_long_answer_is_watched_and_not_ended(site: Site) -> None:
    site.push(targets=only(site, "de-2"))
    node = site.nodes["de-2"]
    node.engine.gate.clear()
    asked = asyncio.create_task(site.ask())
    await asyncio.sleep(2.3)
    node.engine.gate.set()
    assert (await asked).headers["Hf-Status"] == "200"


async def test_cancel_reaches_the_executing_node(site: Site) -> None:
    site.push(targets=only(site, "de-2"))
    node = site.nodes["de-2"]
    node.engine.gate.clear()
    asked = asyncio.create_task(site.ask({"Hf-Request": "r1"}))
    await until(lambda: node.engine.open == 1)
    await site.app.publish("infer.v1.de.triage.chat.cancel", b"", {"Hf-Request": "r1"})
    assert error_of(await asked) == "CANCELLED"
    await until(lambda: node.engine.open == 0)


async def test_a_cancel_while_the_request_is_on_its_way_is_not_lost(site: Site) -> None:
    """The executing node is slow to acknowledge; the cancel comes before it has."""
    site.push(targets=only(site, "de-2"))
    node = site.nodes["de-2"]
    node.engine.gate.clear()
    lose_one_acknowledgement(node)
    asked = asyncio.create_task(site.ask({"Hf-Request": "r1"}))
    for subscription in node.service._inner:  # it does not hear the broadcast itself
        if subscription.subject.endswith(".cancel"):
            await node.bus.safe_leave(subscription)
    await until(lambda: node.engine.open == 1)
    await site.app.publish("infer.v1.de.triage.chat.cancel", b"", {"Hf-Request": "r1"})
    assert error_of(await asked) == "CANCELLED"


async def test_a_relayed_cancel_needs_the_pair_key(site: Site) -> None:
    node, entry = site.nodes["de-2"], site.nodes["de-1"]
    site.push(targets=only(site, "de-2"))
    node.engine.gate.clear()
    asked = asyncio.create_task(site.ask({"Hf-Request": "r1"}))
    await until(lambda: node.engine.open == 1)
    body = encode(("triage", "r1"))
    forged = {"Hf-Ticket": "de-1", "Hf-Mac": "0" * 64}
    await site.app.publish("hf.v1.can.de.de-2", body, forged)
    await asyncio.sleep(0.05)
    assert node.engine.open == 1
    assert await entry.service.forwarder.cancel(next(iter(entry.service.forwarder._watched)))
    assert error_of(await asked) == "CANCELLED"


# ---------------------------------------------------------------- tickets


def ticket_of(**changes: Any) -> RunTicket:
    now_ms = int(time.time() * 1000)
    ticket = RunTicket(
        app="triage",
        zone="de",
        alias="chat",
        op="chat",
        request="t1",
        origin="de-1",
        target="de-2",
        slot="chat-de-2",
        epoch=1,
        expires_ms=now_ms + 4000,
        deadline_ms=now_ms + 9000,
        stream=False,
        narrowing=Narrowing(),
        label_digest="",
        nonce="n",
    )
    return msgspec.structs.replace(ticket, **changes)


def label_digest(site: Site) -> str:
    node = site.nodes["de-1"]
    asked = Asked(zone="de", app="triage", alias="chat", op="chat", narrowing=Narrowing())
    judge = node.service.ingress._judge
    return judge.decide(asked, node.world.table, node.trust, time.time()).label_digest


async def hand_over(site: Site, ticket: RunTicket, **swapped: Any) -> str:
    """Send a forwarded request as ``de-1`` would; ``swapped`` parts are exchanged afterwards."""
    origin = site.nodes[swapped.pop("signer", "de-1")]
    public = site.nodes["de-2"].private.public_key().public_bytes_raw()
    key = PairKeys("north", origin.name, origin.private).sending("de-2", public)
    reply = "_INBOX.triage.t"
    data, mac = tickets.seal(ticket, key, payload(None), reply)
    headers = {"Hf-Ticket": data.decode(), "Hf-Mac": mac, "Hf-Reply": reply}
    headers.update(swapped.get("headers", {}))
    body = swapped.get("body", payload(None))
    answer = await site.nodes["de-1"].bus.request("hf.v1.run.de.de-2", body, headers, 2.0)
    return decode(answer.body, Ack).answer


async def test_a_good_ticket_is_accepted_once(site: Site) -> None:
    good = ticket_of(label_digest=label_digest(site))
    assert await hand_over(site, good) == "accepted"
    assert await hand_over(site, good) == "refused"  # replayed
    again = msgspec.structs.replace(good, nonce="n2")
    assert await hand_over(site, again) == "accepted"  # the same request asked again
    await until(lambda: site.nodes["de-2"].engine.open == 0)
    assert len(site.nodes["de-2"].engine.bodies) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "de-3"},
        {"zone": "fr"},
        {"expires_ms": 1},
        {"expires_ms": int(time.time() * 1000) + 3_600_000},
        {"label_digest": "sha256:other"},
        {"app": "stranger"},
        {"alias": "other"},
        {"origin": "de-3"},
        {"origin": "nobody"},
        {"narrowing": Narrowing(residency="FR")},
    ],
)
async def test_wrong_tickets_run_nothing(site: Site, changes: dict[str, Any]) -> None:
    wrong = ticket_of(**{"label_digest": label_digest(site), **changes})
    assert await hand_over(site, wrong) == "refused"
    assert site.nodes["de-2"].engine.bodies == []
    assert site.nodes["de-2"].service.slots.counts() == {}


@pytest.mark.parametrize(
    "swapped",
    [
        {"headers": {"Hf-Reply": "_INBOX.mallory.x"}},
        {"headers": {"Hf-Mac": "0" * 64}},
        {"headers": {"Hf-Ticket": "{}"}},
        {"body": b'{"messages":[{"role":"user","content":"other"}]}'},
        {"signer": "de-3"},
    ],
)
async def test_exchanged_parts_run_nothing(site: Site, swapped: dict[str, Any]) -> None:
    good = ticket_of(label_digest=label_digest(site))
    assert await hand_over(site, good, **swapped) == "refused"
    assert site.nodes["de-2"].engine.bodies == []


async def test_answers_go_to_applications_only(site: Site) -> None:
    site.nodes["de-2"].service.executing.answer_prefix = "_R_."
    good = ticket_of(label_digest=label_digest(site))
    assert await hand_over(site, good) == "refused"


async def test_a_slot_that_is_gone_has_moved(site: Site) -> None:
    gone = ticket_of(label_digest=label_digest(site), slot="chat-old")
    assert await hand_over(site, gone) == "moved"


async def test_probes_tell_what_became_of_requests(site: Site) -> None:
    good = ticket_of(label_digest=label_digest(site))
    site.nodes["de-2"].engine.gate.clear()
    assert await hand_over(site, good) == "accepted"
    for expected in ("running", "done"):
        keys = encode([("triage", "t1"), ("triage", "never")])
        bus = site.nodes["de-1"].bus
        answer = await bus.request("hf.v1.run.de.de-2", keys, {"Hf-Probe": "1"}, 2.0)
        assert json.loads(answer.body) == [expected, "unknown"]
        site.nodes["de-2"].engine.gate.set()
        await until(lambda: site.nodes["de-2"].engine.open == 0)
        await until(lambda: site.nodes["de-2"].service.runs.idle.is_set())
