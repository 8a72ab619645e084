"""What the broker itself makes impossible: other applications, zones, jurisdictions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from holdfast_protocol.bus.nats_bus import NatsBus
from holdfast_protocol.bus.port import NoRespondersError, State, StreamSpec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import permissions
from holdfast_protocol.subjects import parse_ingress

from tests.contract.bussite import ANYTHING, DESIRED, Ear, Site, opened
from tests.contract.realm import Broker, running, until

pytestmark = pytest.mark.real


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(tmp_path) as made:
        yield made


async def refused(bus: NatsBus, subject: str, queue: str = "") -> bool:
    try:
        await bus.subscribe(subject, Ear(bus), queue)
    except HoldfastError as error:
        return error.code is Code.NOT_PERMITTED
    return False


# ---------------------------------------------------------------- applications


async def test_the_subject_says_who_calls(site: Site) -> None:
    gateway = await site.gateway()
    ear = Ear(gateway, b"ok")
    await gateway.subscribe("infer.v1.de.>", ear, "ingress")
    for name in ("triage", "ledger"):
        app = await site.app(name)
        assert (await app.request("infer.chat-small.chat", b"")).body == b"ok"
    apps = [parse_ingress(message.subject).app for message in ear.heard]
    assert apps == ["triage", "ledger"]


async def test_an_application_without_limits_reaches_only_itself(site: Site) -> None:
    gateway = await site.gateway()
    ear = Ear(gateway)
    await gateway.subscribe("infer.v1.de.>", ear, "ingress")
    await gateway.subscribe("hf.v1.run.de.de-1", ear)
    ledger = await site.bus(site.realm.apps["ledger"], "ledger", ANYTHING)
    other = Ear(ledger)
    await ledger.subscribe(">", other)
    rogue = await site.bus(site.realm.apps["triage"], "rogue", ANYTHING)
    for subject in (
        "infer.v1.fr.triage.a.chat", "infer.v1.de.ledger.a.chat", "hf.v1.run.de.de-1",
        "infer.a.b.c", "infer.a", "hf.v1.api.officer-1.node.list",
    ):  # fmt: skip
        await rogue.publish(subject, b"?", reply="_INBOX.ledger.x")
    await rogue.barrier()
    await gateway.barrier()
    await ledger.barrier()
    assert ear.heard == []
    assert other.heard == []


async def test_an_application_with_its_rights_is_refused_the_rest(site: Site) -> None:
    app = await site.app("triage")
    for subject in (">", "infer.*.*", "_INBOX.>", "_INBOX.other.>", "_R_.>", "$SYS.>"):
        assert await refused(app, subject), subject
    for subject in ("results.>", "status.*", "_INBOX.triage.>"):
        assert not await refused(app, subject), subject
    for subject in ("results.x", "infer.v1.de.triage.a.chat", "hf.v1.hb.de-1", "$SYS.REQ.X"):
        with pytest.raises(HoldfastError) as caught:
            await app.request(subject, b"", None, 5.0)
        assert caught.value.code is Code.NOT_PERMITTED


async def test_an_answer_reaches_subscribers_of_the_applications_own_results(site: Site) -> None:
    gateway, app, other = await site.gateway(), await site.app("triage"), await site.app("ledger")
    await gateway.subscribe("infer.v1.de.>", Ear(gateway, b"answer"), "ingress")
    mine, theirs = Ear(app), Ear(other)
    await app.subscribe("results.>", mine)
    await other.subscribe("results.>", theirs)
    await app.publish("infer.chat-small.chat", b"", reply="results.ward-7")
    await until(lambda: bool(mine.heard))
    assert mine.heard[0].subject == "results.ward-7"
    assert theirs.heard == []


async def test_wildcards_arrive_as_literals_and_are_refused_by_the_parser(site: Site) -> None:
    gateway = await site.gateway()
    ear = Ear(gateway)
    await gateway.subscribe("infer.v1.de.>", ear, "ingress")
    app = await site.app("triage")
    await app.publish("infer.*.chat", b"")
    await until(lambda: bool(ear.heard))
    assert ear.heard[0].subject == "infer.v1.de.triage.*.chat"
    with pytest.raises(HoldfastError):
        parse_ingress(ear.heard[0].subject)


async def test_forged_identity_headers_are_overwritten_and_silence_is_visible(site: Site) -> None:
    gateway = await site.gateway()
    ear = Ear(gateway)
    await gateway.subscribe("infer.v1.de.>", ear, "ingress")
    app = await site.app("triage")
    forged = {"Nats-Request-Info": '{"acc":"forged"}', "Hf-Reply": "x"}
    await app.publish("infer.a.chat", b"", forged, reply="hf.v1.run.de.de-1")
    await app.publish("infer.a.chat", b"")
    await until(lambda: len(ear.heard) == 2)
    assert "forged" not in ear.heard[0].headers["Nats-Request-Info"]
    assert ear.heard[0].reply.startswith("_R_.")
    assert ear.heard[1].reply == ""


# ---------------------------------------------------------------- gateways and people


async def test_a_gateway_hears_and_addresses_its_own_zone_only(site: Site) -> None:
    gateway = await site.gateway()
    for subject, queue in (
        ("infer.v1.de.>", ""), ("infer.v1.de.>", "other"), ("infer.v1.fr.>", "ingress"),
        ("infer.v1.>", "ingress"), ("infer.v1.*.triage.*.*", ""), ("_R_.>", ""),
        ("hf.v1.run.de.de-2", ""), ("hf.v1.run.de.*", ""), (">", ""), ("_INBOX.de-2.>", ""),
        ("infer.v1.fr.*.*.cancel", ""), ("hf.v1.can.fr.de-1", ""),
    ):  # fmt: skip
        assert await refused(gateway, subject, queue), (subject, queue)
    for subject, queue in (
        ("infer.v1.de.>", "ingress"), ("infer.v1.de.*.chat-small.*", "ingress"),
        ("infer.v1.de.*.*.cancel", ""), ("hf.v1.run.de.de-1", ""), ("hf.v1.can.de.de-1", ""),
    ):  # fmt: skip
        assert not await refused(gateway, subject, queue), (subject, queue)
    for subject in ("hf.v1.run.fr.fr-1", "hf.v1.can.fr.fr-1", "_INBOX.fr-1.x", "infer.v1.de.a.b.c"):
        with pytest.raises(HoldfastError) as caught:
            await gateway.request(subject, b"", None, 5.0)
        assert caught.value.code is Code.NOT_PERMITTED, subject
    with pytest.raises(NoRespondersError):
        await gateway.request("hf.v1.run.de.de-9", b"", None, 5.0)


async def test_a_person_asks_under_its_own_name_only(site: Site) -> None:
    rights = permissions.person("auditor-1", "auditor")
    auditor = await site.bus(site.realm.control, "auditor-1", rights)
    for subject in ("hf.v1.api.officer-1.node.list", "hf.v1.des.de-1", "hf.v1.cmd.de-1.drain"):
        with pytest.raises(HoldfastError) as caught:
            await auditor.request(subject, b"", None, 5.0)
        assert caught.value.code is Code.NOT_PERMITTED, subject
    with pytest.raises(NoRespondersError):
        await auditor.request("hf.v1.api.auditor-1.node.list", b"", None, 5.0)
    assert await refused(auditor, "hf.v1.hb.*")
    assert await refused(auditor, "hf.v1.api.*.*.*")


# ---------------------------------------------------------------- jurisdictions


@pytest.fixture
async def france(site: Site) -> AsyncIterator[Broker]:
    """A second jurisdiction's broker, joined by CONTROL alone."""
    link = permissions.leaf(["fr-1", "broker-fr"], "de")
    broker = site.realm.broker("broker-fr", zone="fr", hub=site.hub, link=link)
    async with running(broker):
        await until(lambda: "JetStream using domains" in broker.log())
        yield broker


async def test_a_german_request_is_never_seen_in_france(site: Site, france: Broker) -> None:
    spy = await site.bus(site.realm.inference, "fr-1", ANYTHING, france)
    ear = Ear(spy, b"from france")
    await spy.subscribe(">", ear)
    await spy.subscribe("infer.v1.de.>", ear, "ingress")
    gateway, app = await site.gateway(), await site.app("triage")
    subscription = await gateway.subscribe("infer.v1.de.>", Ear(gateway, b"de"), "ingress")
    for _ in range(20):
        assert (await app.request("infer.a.chat", b"secret")).body == b"de"
    await gateway.safe_leave(subscription)
    with pytest.raises(NoRespondersError):
        await app.request("infer.a.chat", b"secret")
    await spy.barrier()
    assert ear.heard == []


async def test_a_german_application_is_refused_in_france(site: Site, france: Broker) -> None:
    with pytest.raises(HoldfastError) as caught:
        await site.app("triage", france)
    assert caught.value.code is Code.NOT_PERMITTED
    radio = await site.app("radio", france)
    assert radio.state is State.CONNECTED


async def stored_once_interest_crossed(bus: NatsBus, subject: str) -> str:
    async with asyncio.timeout(10):
        while True:
            try:
                return (await bus.stream_publish(subject, b"x", "id")).stream
            except NoRespondersError:
                await asyncio.sleep(0.01)


async def until_answered(bus: NatsBus, subject: str, answer: bytes) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await bus.request(subject, b"")).body == answer
            except NoRespondersError:
                await asyncio.sleep(0.01)
            else:
                return


async def test_documents_and_events_cross_for_their_own_node_only(
    site: Site, france: Broker
) -> None:
    controller = await site.bus(site.realm.control, "controller", permissions.controller())
    await controller.ensure_stream(DESIRED)
    await controller.ensure_stream(
        StreamSpec(name="EVT", subjects=("hf.v1.evt.*.*",), size_bytes_max=1 << 20)
    )
    agent = await site.bus(site.realm.control, "fr-1", permissions.agent("fr-1", "de"), france)
    ear = Ear(agent)
    await agent.subscribe("hf.v1.des.fr-1", ear)
    await controller.stream_publish("hf.v1.des.fr-1", b"document")
    await controller.stream_publish("hf.v1.des.de-1", b"another")
    assert await agent.last_value("de", "DES", "hf.v1.des.fr-1") == b"document"
    assert await controller.last_value("de", "DES", "hf.v1.des.fr-1") == b"document"
    assert await stored_once_interest_crossed(agent, "hf.v1.evt.fr-1.slot") == "EVT"
    await agent.subscribe("hf.v1.cmd.fr-1.*", Ear(agent, b"done"))
    await agent.barrier()
    await until_answered(controller, "hf.v1.cmd.fr-1.drain", b"done")
    # Interest has crossed by now; a push before that is lost, which is why documents are polled.
    ear.heard.clear()
    await controller.stream_publish("hf.v1.des.fr-1", b"pushed")
    await until(lambda: [m.body for m in ear.heard] == [b"pushed"])
    spy = await site.bus(site.realm.control, "fr-2", ANYTHING, france)
    with pytest.raises(HoldfastError):
        await spy.last_value("de", "DES", "hf.v1.des.de-1")
    heard = Ear(controller)
    await controller.subscribe("hf.v1.hb.*", heard)
    async with asyncio.timeout(10):
        while len(heard.heard) < 3:
            await spy.publish("hf.v1.hb.de-1", b"forged")
            await spy.barrier()
            await agent.publish("hf.v1.hb.fr-1", b"true")
            await asyncio.sleep(0.01)
    assert {m.body for m in heard.heard} == {b"true"}
