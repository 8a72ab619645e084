"""What the broker itself makes impossible: other applications, zones, jurisdictions, identities."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from holdfast_protocol.bus import claims
from holdfast_protocol.bus.connection import client_tls
from holdfast_protocol.bus.nats_bus import NatsBus, connect
from holdfast_protocol.bus.port import Message, NoRespondersError, State, StreamSpec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import credentials, permissions, x509
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.identity.permissions import Permissions
from holdfast_protocol.subjects import parse_ingress

from tests.contract.realm import Account, Broker, Realm, now_s, running, until, validity

pytestmark = pytest.mark.real

APPS = [("triage", "de"), ("ledger", "de"), ("radio", "fr")]
ANYTHING = Permissions(publish=(">",), subscribe=(">",))
DESIRED = StreamSpec(name="DES", subjects=("hf.v1.des.*",), size_bytes_max=1 << 20, last_value=True)


class Ear:
    """Remembers what a bus hears."""

    def __init__(self, bus: NatsBus, answer: bytes | None = None) -> None:
        self.heard: list[Message] = []
        self._bus = bus
        self._answer = answer

    async def __call__(self, message: Message) -> None:
        self.heard.append(message)
        if self._answer is not None and message.reply:
            await self._bus.publish(message.reply, self._answer)


class Site:
    """A hub in DE, and connections that end with it."""

    def __init__(self, realm: Realm, hub: Broker, stack: contextlib.AsyncExitStack) -> None:
        self.realm = realm
        self.hub = hub
        self._stack = stack

    async def bus(
        self, account: Account, who: str, rights: Permissions, broker: Broker | None = None
    ) -> NatsBus:
        folder = self.realm.identity(account, who, rights, broker or self.hub)
        return await self._stack.enter_async_context(await connect(folder, name=who))

    async def app(self, name: str, broker: Broker | None = None) -> NatsBus:
        rights = permissions.application(name)
        return await self.bus(self.realm.apps[name], name, rights, broker)

    async def gateway(
        self, node: str = "de-1", zone: str = "de", broker: Broker | None = None
    ) -> NatsBus:
        rights = permissions.gateway(node, [zone], ["de-2"])
        return await self.bus(self.realm.inference, node, rights, broker)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    realm = Realm(tmp_path, APPS)
    hub = realm.broker("broker-de", zone="de")
    async with running(hub), contextlib.AsyncExitStack() as stack:
        yield Site(realm, hub, stack)


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


# ---------------------------------------------------------------- claims and certificates


async def relay(site: Site) -> NatsBus:
    rights = permissions.relay_system("broker-de")
    return await site.bus(site.realm.system, "broker-de", rights)


async def test_a_revocation_ends_the_connection_and_an_old_claim_does_not_bring_it_back(
    site: Site,
) -> None:
    system, app, account = await relay(site), await site.app("triage"), site.realm.apps["triage"]
    issuers = {site.realm.operator_signing.public}
    before = site.realm.account_jwt(account)
    assert await claims.push(system, before, issuers) is False
    folder = next((site.realm.folder / "creds").glob("triage-triage-*"))
    user = credentials.read(folder).key_pair().public
    account.revocations[user] = now_s()
    account.issued_at_s += 1
    after = site.realm.account_jwt(account)
    assert await claims.push(system, after, issuers) is True
    await until(lambda: app.state is State.RECONNECTING)
    with pytest.raises(HoldfastError) as caught:
        await connect(folder, name="again")
    assert caught.value.code is Code.NOT_PERMITTED
    with pytest.raises(HoldfastError) as caught:
        await claims.push(system, before, issuers)
    assert caught.value.code is Code.METADATA_ROLLBACK
    assert await claims.held(system, account.public) == after
    assert account.public in await claims.accounts(system)


async def test_claims_by_others_are_not_pushed(site: Site) -> None:
    system, account = await relay(site), site.realm.apps["triage"]
    account.issued_at_s += 5
    issuers = {site.realm.operator_signing.public}
    for by in (KeyPair.generate(Kind.OPERATOR), site.realm.operator):
        with pytest.raises(HoldfastError) as caught:
            await claims.push(system, site.realm.account_jwt(account, by=by), issuers)
        assert caught.value.code is Code.BAD_SIGNATURE


async def test_a_new_application_is_served_once_its_claim_is_pushed(site: Site) -> None:
    system = await relay(site)
    site.realm.apps["night"] = Account("night")
    site.realm.zones["night"] = "de"
    with pytest.raises(HoldfastError):
        await site.app("night")
    token = site.realm.account_jwt(site.realm.apps["night"])
    assert await claims.push(system, token, {site.realm.operator_signing.public}) is True
    assert (await site.app("night")).state is State.CONNECTED


async def test_a_relay_may_not_delete_or_look_around(site: Site) -> None:
    system = await relay(site)
    for subject in ("$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.PACK"):
        with pytest.raises(HoldfastError) as caught:
            await system.request(subject, b"", None, 5.0)
        assert caught.value.code is Code.NOT_PERMITTED


async def test_a_certificate_of_another_ca_is_refused(site: Site) -> None:
    rogue = x509.new_authority("test site CA", validity())
    folder = site.realm.identity(
        site.realm.apps["triage"], "triage", permissions.application("triage"), site.hub,
        authority=rogue,
    )  # fmt: skip
    with pytest.raises(HoldfastError) as caught:
        await connect(folder, name="rogue", timeout_s=0.5)
    assert caught.value.code is Code.BROKER_DOWN


async def test_a_claim_with_another_key_is_refused(site: Site) -> None:
    folder = site.realm.application("triage", site.hub)
    mine = credentials.read(folder)
    text = credentials.creds_text(mine.user_jwt, KeyPair.generate(Kind.USER).seed())
    credentials.write_private(folder / "nats.creds", text.encode())
    with pytest.raises(HoldfastError) as caught:
        await connect(folder, name="thief")
    assert caught.value.code is Code.NOT_PERMITTED


async def test_older_tls_and_no_tls_are_refused(site: Site) -> None:
    folder = site.realm.application("triage", site.hub)
    old = client_tls(folder)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", site.hub.port, ssl=old)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.hub.port)
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            assert b"PONG" not in await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_broker_that_is_not_there_is_said_in_time(site: Site) -> None:
    folder = site.realm.application("triage", site.hub)
    await site.hub.stop()
    with pytest.raises(HoldfastError) as caught:
        await connect(folder, name="app", timeout_s=0.4)
    assert caught.value.code is Code.BROKER_DOWN
