"""Applications: asked for, granted by one or two officers, minted, confirmed, revoked."""

from __future__ import annotations

import pytest
from holdfast_protocol import api, codec
from holdfast_protocol.errors import Code
from holdfast_protocol.messages import DesiredClaims
from holdfast_protocol.signed import SignedDocument
from msgspec.structs import replace

from tests.unit.controller.controller_world import World

DESK = api.CreateApp(
    name="desk", zone="de", aliases=("chat",), user_public="U" + "A" * 55, csr=b"csr"
)


@pytest.fixture
def world() -> World:
    made = World()
    made.pass_time(1)
    return made


def claims(world: World, broker: str) -> dict[str, str]:
    """Return the account JWTs in the document of ``broker``, by application."""
    signed = codec.decode(world.published[broker][2], SignedDocument)
    document = codec.decode(signed.payload, DesiredClaims)
    return {account.app: account.jwt for account in document.accounts}


def granted(world: World, who: tuple[int, ...] = (1,)) -> World:
    made = world.call("operator-1", "apps.create", DESK)
    world.approve(made.request, *who)
    return world


def state(world: World, name: str = "desk") -> str:
    found: str = world.call("operator-1", "apps.claim", api.AppQuery(name=name)).state
    return found


def test_one_officer_suffices_within_the_defaults_and_the_broker_s_word_makes_it_ready(
    world: World,
) -> None:
    made = world.call("operator-1", "apps.create", DESK)
    assert made.needed == 1
    assert state(world) == "pending"
    world.approve(made.request, 1)
    assert state(world) == "minting"
    assert claims(world, "broker-de") == {"desk": "jwt-desk-0"}
    assert claims(world, "broker-fr") == {}, "an account never crosses a border"
    world.relay("de", "desk")
    credentials = world.call("operator-1", "apps.claim", api.AppQuery(name="desk"))
    assert (credentials.state, credentials.user_jwt) == ("ready", "user-desk")
    assert (credentials.servers, credentials.inbox_prefix) == (("tls://de",), "_INBOX.desk")
    [grant] = world.desired("de-1").grants
    assert (grant.app, grant.zone, grant.aliases) == ("desk", "de", ("chat",))
    assert world.desired("fr-1").grants == ()


@pytest.mark.parametrize(
    "wider",
    [
        {"residency": ("DE", "FR")},
        {"residency": ("FR",)},
        {"classification": "1"},
        {"classification": "vs:0"},
        {"purposes": ("billing",)},
    ],
    ids=str,
)
def test_wider_than_the_defaults_takes_two(world: World, wider: dict[str, object]) -> None:
    made = world.call("operator-1", "apps.create", replace(DESK, **wider))
    assert made.needed == 2
    world.approve(made.request, 1)
    assert state(world) == "pending"
    world.approve(made.request, 2)
    assert state(world) == "minting"


def test_naming_the_zone_s_own_jurisdiction_is_the_default(world: World) -> None:
    made = world.call("operator-1", "apps.create", replace(DESK, residency=("DE",)))
    assert made.needed == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "Desk"}, Code.BAD_NAME),
        ({"zone": "it"}, Code.BAD_REQUEST),
        ({"aliases": ()}, Code.BAD_REQUEST),
        ({"aliases": ("Chat",)}, Code.BAD_NAME),
        ({"residency": ("germany",)}, Code.BAD_NAME),
        ({"csr": b"x" * 17_000}, Code.TOO_LARGE),
    ],
    ids=str,
)
def test_what_cannot_be_granted_is_refused_at_once(
    world: World, change: dict[str, object], code: Code
) -> None:
    assert world.call("operator-1", "apps.create", replace(DESK, **change)).code == code
    assert world.core.state.requests == {}


def test_the_same_again_is_the_same_request_and_another_key_is_not(world: World) -> None:
    made = world.call("operator-1", "apps.create", DESK)
    assert world.call("operator-1", "apps.create", DESK).request == made.request
    other = replace(DESK, user_public="U" + "B" * 55)
    assert world.call("operator-1", "apps.create", other).code == Code.ALREADY_EXISTS


def test_a_rejected_application_leaves_its_name(world: World) -> None:
    made = world.call("operator-1", "apps.create", DESK)
    world.call("officer-1", "requests.reject", api.RejectRequest(id=made.request))
    assert world.call("auditor-1", "apps.list").apps == ()
    missing = world.call("operator-1", "apps.claim", api.AppQuery(name="desk"))
    assert missing.code == Code.NOT_FOUND
    assert world.call("operator-1", "apps.create", DESK).request != made.request


def test_a_minter_that_is_away_is_asked_again(world: World) -> None:
    world.minter = False
    granted(world)
    world.pass_time(3)
    assert state(world) == "minting"
    assert claims(world, "broker-de") == {}
    world.restart()
    world.minter = True
    world.pass_time(40)
    assert claims(world, "broker-de") == {"desk": "jwt-desk-0"}


def test_revoking_takes_the_grant_at_once_and_the_account_is_signed_anew(world: World) -> None:
    granted(world).relay("de", "desk")
    made = world.call("officer-1", "apps.revoke", api.AppQuery(name="desk"))
    assert made.needed == 1
    assert world.call("officer-2", "apps.revoke", api.AppQuery(name="desk")).request == made.request
    world.approve(made.request, 2)
    assert state(world) == "revoked"
    assert world.desired("de-1").grants == ()
    assert claims(world, "broker-de") == {"desk": "jwt-desk-1"}
    assert world.call("operator-1", "apps.create", DESK).code == Code.ALREADY_EXISTS
    restarted = world.journal.tail.commit
    world.restart()
    assert state(world) == "revoked"
    assert world.journal.tail.commit == restarted + 1, "only the start itself is new"
