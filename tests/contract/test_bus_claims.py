"""Claims and certificates: who is let in, who is thrown out, and what a relay may push."""

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
from holdfast_protocol.bus.port import State
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import credentials, permissions, x509
from holdfast_protocol.identity.nkeys import KeyPair, Kind

from tests.contract.bussite import Site, opened
from tests.contract.realm import Account, now_s, until, validity

pytestmark = pytest.mark.real


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(tmp_path) as made:
        yield made


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
