"""What a one-time code's user can do at a real broker: say who it is, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from holdfast_protocol import subjects
from holdfast_protocol.bus.nats_bus import NatsBus, connect
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import accounts, jwt, permissions

from tests.contract.bussite import ANYTHING, Ear, Site, opened
from tests.contract.realm import now_s

pytestmark = pytest.mark.real

NONCE = "n0n-ce"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(tmp_path) as made:
        yield made


async def newcomer(site: Site) -> NatsBus:
    return await site.bus(site.realm.control, NONCE, permissions.bootstrap(NONCE))


async def test_it_may_say_who_it_is_and_hears_the_answer(site: Site) -> None:
    controller = await site.bus(site.realm.control, "controller", permissions.controller())
    ear = Ear(controller, b"pending")
    await controller.subscribe(subjects.ALL_ENROLMENTS, ear)
    node = await newcomer(site)
    assert (await node.request(subjects.enrolment(NONCE), b"keys")).body == b"pending"
    assert subjects.is_inbox_of(ear.heard[0].reply, NONCE)


@pytest.mark.parametrize(
    "subject",
    [
        "hf.v1.enr.other", "hf.v1.enr", "hf.v1.hb.de-1", "hf.v1.evt.de-1.x", "hf.v1.tuf.de-1",
        "hf.v1.api.officer-1.nodes.code", "hf.v1.des.de-1", "hf.v1.cmd.de-1.stop",
        "$JS.API.STREAM.CREATE.X", "$JS.API.INFO", "$SYS.REQ.CLAIMS.UPDATE", "_INBOX.other.x",
        "infer.v1.de.a.b.chat",
    ],
)  # fmt: skip
async def test_it_may_publish_nothing_else(site: Site, subject: str) -> None:
    listener = await site.bus(site.realm.control, "listener", ANYTHING)
    ear = Ear(listener)
    await listener.subscribe(">", ear)
    node = await newcomer(site)
    with pytest.raises(HoldfastError) as caught:
        await node.request(subject, b"?", timeout_s=5.0)
    assert caught.value.code is Code.NOT_PERMITTED
    await listener.barrier()
    assert not [one for one in ear.heard if one.subject == subject]


@pytest.mark.parametrize(
    "subject", [">", "hf.v1.>", "hf.v1.enr.*", "hf.v1.enr.other", "hf.v1.des.*", "_INBOX.>"]
)
async def test_it_may_hear_nothing_else(site: Site, subject: str) -> None:
    node = await newcomer(site)
    with pytest.raises(HoldfastError) as caught:
        await node.subscribe(subject, Ear(node))
    assert caught.value.code is Code.NOT_PERMITTED


async def test_the_broker_refuses_it_after_its_end(site: Site, tmp_path: Path) -> None:
    realm = site.realm
    folder = realm.identity(realm.control, NONCE, permissions.bootstrap(NONCE), site.hub)
    body = accounts.user(permissions.bootstrap(NONCE), realm.control.public)
    token, pair = realm.user(realm.control, NONCE, permissions.bootstrap(NONCE))
    ended = jwt.issue(
        realm.control.signing,
        jwt.Subject(
            public=pair.public, name=NONCE, issued_at_s=now_s() - 60, expires_at_s=now_s() - 30
        ),
        body,
    )
    assert token != ended
    (folder / "nats.creds").write_text(
        f"-----BEGIN NATS USER JWT-----\n{ended}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{pair.seed()}\n------END USER NKEY SEED------\n"
    )
    with pytest.raises(HoldfastError) as caught:
        await connect(folder, name="late", timeout_s=5.0)
    assert caught.value.code is Code.NOT_PERMITTED
