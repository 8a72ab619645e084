"""Nodes that come: each refusal, what officers see, and what the journal keeps of a code."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from holdfast_bundles.site.model import sha256_hex
from holdfast_bundles.site.review import review
from holdfast_controller.logic import io
from holdfast_controller.logic.calls.enrolment import DAY_S
from holdfast_protocol import api, codec, limits
from holdfast_protocol.enrolment import (
    CodeAnswer,
    CreateCode,
    EnrolAnswer,
    EnrolRequest,
    NodeKeys,
    fingerprint,
)
from holdfast_protocol.errors import Code
from holdfast_protocol.identity import x509
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.identity.proof import prove, public_of
from msgspec.structs import replace

from tests.unit.controller.controller_fakes import keys as ceremony
from tests.unit.controller.controller_world import World

NONCE = "n0n-ce"
SECRET = "5e" * 32


class Machine(NamedTuple):
    """A machine with keys of its own and a code in its hands."""

    keys: NodeKeys

    @property
    def fingerprint(self) -> str:
        one = self.keys
        tls = (x509.spki_sha256(one.csr), x509.spki_sha256(one.gateway_csr))
        return fingerprint(
            one.node, (one.nats_public, one.gateway_nats_public, one.x25519_public, *tls)
        )


def machine(node: str = "de-9", zone: str = "de") -> Machine:
    return Machine(
        NodeKeys(
            node=node,
            zone=zone,
            nats_public=KeyPair.generate(Kind.USER).public,
            gateway_nats_public=KeyPair.generate(Kind.USER).public,
            x25519_public="ab" * 32,
            csr=x509.new_csr(x509.new_key()),
            gateway_csr=x509.new_csr(x509.new_key()),
        )
    )


@pytest.fixture
def world() -> World:
    made = World()
    made.pass_time(1)
    return made


def wish(**changes: Any) -> CreateCode:
    return CreateCode(
        **{
            "node": "de-9",
            "zone": "de",
            "nonce": NONCE,
            "secret_public": public_of(SECRET),
            "user_public": KeyPair.generate(Kind.USER).public,
            "csr": x509.new_csr(x509.new_key()),
            **changes,
        }
    )


def coded(world: World, **changes: Any) -> CreateCode:
    """A code that is ready to be used."""
    call = wish(**changes)
    assert world.call("officer-1", "nodes.code", call).state == "minting"
    assert world.call("officer-1", "nodes.code", call).state == "ready"
    return call


def enrol(world: World, one: Machine, nonce: str = NONCE, secret: str = SECRET) -> Any:
    return said(world, nonce, prove(secret, nonce, codec.encode(one.keys)))


def said(world: World, nonce: str, asked: EnrolRequest) -> Any:
    number = len(world.answers) + 1
    world.step(io.EnrolAsked(call=number, nonce=nonce, body=codec.encode(asked)))
    answer = world.answers[number]
    if answer.startswith(b'{"error":{"code"'):
        return codec.decode(answer, api.ErrorAnswer).error
    return codec.decode(answer, EnrolAnswer)


def test_a_code_tells_what_a_node_must_believe(world: World) -> None:
    call = coded(world)
    made: CodeAnswer = world.call("officer-1", "nodes.code", call)
    assert (made.site, made.zone, made.jurisdiction) == ("alpha", "de", "DE")
    assert (made.servers, made.domain) == (("tls://de",), "de")
    assert made.zones == world.core.state.founded().zones
    assert made.root_sha256 == sha256_hex(ceremony().founding.files["root"])
    public = ceremony().desired.public_key().public_bytes_raw()
    assert made.controller_key == public.hex()
    assert made.not_after == pytest.approx(world.now_s + 3600, abs=1)
    # The bootstrap user outlives the code, for a node that waits for officers; no longer.
    ends_s = int(made.not_after) + limits.REQUEST_LIFE_S
    assert made.user_jwt == f"code-{ends_s}"


def test_two_officers_let_a_node_in(world: World) -> None:
    coded(world)
    one = machine()
    waits = enrol(world, one)
    assert (waits.state, waits.needed, waits.fingerprint) == ("pending", 2, one.fingerprint)
    detail = world.call("officer-1", "requests.show", api.RequestQuery(id=waits.request))
    assert (detail.request.kind, detail.request.created_by) == ("node", "officer-1")
    [entry] = review(detail.payload).entries
    shown = dict(entry.fields)
    assert shown["fingerprint"] == one.fingerprint, "computed from the payload alone"
    assert (shown["jurisdiction"], shown["zones"]) == ("DE", "de")
    world.approve(waits.request, 1)
    assert enrol(world, one).state == "pending"
    assert "de-9" not in world.published
    world.approve(waits.request, 2)
    done = enrol(world, one)
    assert (done.state, done.credentials.agent_jwt) == ("ready", "agent")
    assert sha256_hex(done.credentials.root) == sha256_hex(ceremony().founding.files["root"])
    assert "de-9" in world.published, "it has a document from now on"
    world.restart()
    assert enrol(world, one) == done, "the journal remembers"


def test_nothing_secret_is_journalled(world: World) -> None:
    coded(world)
    enrol(world, machine())
    bodies = [
        record.body for commit in world.journal.read_now(0, 1000) for record in commit.records
    ]
    assert any(b"node-asked" in body for body in bodies)
    for word in (SECRET.encode(), b"SEED", b"PRIVATE KEY"):
        assert not any(word in body for body in bodies)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"zone": "us"}, Code.BAD_REQUEST),
        ({"zone": "fr"}, Code.BAD_REQUEST),
        ({"node": "DE.9"}, Code.BAD_NAME),
        ({"node": "de-1"}, Code.ALREADY_EXISTS),
        ({"nonce": "a.b"}, Code.BAD_NAME),
        ({"ttl_s": limits.CODE_TTL_S_MIN - 1}, Code.BAD_REQUEST),
        ({"ttl_s": limits.CODE_TTL_S_MAX + 1}, Code.BAD_REQUEST),
        ({"secret_public": "x" * 64}, Code.BAD_REQUEST),
        ({"user_public": "U" + "A" * 55}, Code.BAD_REQUEST),
        ({"csr": b"csr"}, Code.BAD_REQUEST),
    ],
    ids=str,
)
def test_codes_that_are_not_made(world: World, changes: dict[str, Any], code: Code) -> None:
    assert world.call("officer-1", "nodes.code", wish(**changes)).code == code
    assert not world.core.state.codes


def test_a_nonce_is_one_code(world: World) -> None:
    call = coded(world)
    other = replace(call, node="de-8")
    assert world.call("officer-1", "nodes.code", other).code == Code.ALREADY_EXISTS
    assert world.call("officer-2", "nodes.code", call).code == Code.ALREADY_EXISTS


def test_open_codes_are_bounded_and_expired_ones_forgotten(world: World) -> None:
    one = wish(ttl_s=60)
    for number in range(limits.CODES_OPEN):
        world.call("officer-1", "nodes.code", replace(one, nonce=f"n{number}"))
    last = replace(one, nonce="last")
    assert world.call("officer-1", "nodes.code", last).code == Code.BUSY
    world.pass_time(61, step_s=30)
    assert world.call("officer-1", "nodes.code", last).state == "minting"
    assert set(world.core.state.codes) == {"last"}


def test_what_a_node_may_not_say(world: World) -> None:
    coded(world)
    one = machine()
    assert enrol(world, one, nonce="other").code == Code.CODE_REFUSED
    assert enrol(world, one, secret="11" * 32).code == Code.CODE_REFUSED
    assert enrol(world, machine(zone="fr")).code == Code.CODE_REFUSED
    assert enrol(world, machine(node="de-1")).code == Code.CODE_REFUSED
    good = prove(SECRET, NONCE, codec.encode(one.keys))
    swapped = replace(good, keys=codec.encode(machine().keys))
    assert said(world, NONCE, swapped).code == Code.CODE_REFUSED
    assert said(world, NONCE, replace(good, proof="zz")).code == Code.CODE_REFUSED
    same = Machine(replace(one.keys, gateway_nats_public=one.keys.nats_public))
    assert enrol(world, same).code == Code.BAD_REQUEST
    for broken in ({"csr": b"x"}, {"x25519_public": "xy"}, {"nats_public": "U"}):
        assert enrol(world, Machine(replace(one.keys, **broken))).code == Code.BAD_REQUEST
    assert not any(each.made.kind == "node" for each in world.core.state.requests.values())
    assert enrol(world, one).state == "pending", "what was refused used nothing up"


def test_a_code_is_good_once_and_until_its_end(world: World) -> None:
    coded(world, ttl_s=60)
    coded(world, nonce="late", node="de-8", ttl_s=60)
    one = machine()
    waits = enrol(world, one)
    assert enrol(world, machine()).code == Code.CODE_USED
    world.pass_time(61, step_s=30)
    late = machine("de-8")
    assert enrol(world, late, nonce="late").code == Code.CODE_EXPIRED
    assert enrol(world, one) == waits, "a node that used it in time goes on waiting"


def test_officers_can_say_no(world: World) -> None:
    coded(world)
    one = machine()
    waits = enrol(world, one)
    world.call("officer-2", "requests.reject", api.RejectRequest(id=waits.request))
    assert enrol(world, one).code == Code.NOT_APPROVED


def test_other_keys_for_a_node_in_force_need_its_revocation_first(world: World) -> None:
    assert world.call("officer-1", "nodes.code", wish(node="de-2")).code == Code.ALREADY_EXISTS
    revoked = world.call("officer-1", "nodes.revoke", api.RevokeNode(node="de-2"))
    world.approve(revoked.request, 1)
    coded(world, node="de-2")
    one = machine("de-2")
    waits = enrol(world, one)
    summary = world.core.state.requests[waits.request].made.summary
    assert "in place of its former keys" in summary, "no officer overlooks it"
    world.approve(waits.request, 1, 2)
    assert enrol(world, one).state == "minting", "revoked until officers lift it"
    lifted = world.call("officer-1", "nodes.lift", api.NodeCall(node="de-2"))
    world.approve(lifted.request, 1, 2)
    world.pass_time(limits.RETRY_MAX_S + 1)
    assert enrol(world, one).state == "ready"


def test_a_code_made_before_another_node_took_the_name_is_void(world: World) -> None:
    coded(world)
    coded(world, nonce="second")
    first = enrol(world, machine())
    assert enrol(world, machine(), nonce="second").code == Code.REQUEST_PENDING
    world.approve(first.request, 1, 2)
    assert enrol(world, machine(), nonce="second").code == Code.ALREADY_EXISTS


def test_renewal_moves_the_end_and_nothing_else(world: World) -> None:
    before = world.core.state.nodes["de-1"].certificate
    assert before is not None
    made = world.call("operator-1", "nodes.renew", api.NodeCall(node="de-1"))
    assert made.needed == 2
    again = world.call("operator-1", "nodes.renew", api.NodeCall(node="de-1"))
    assert again.request == made.request
    world.approve(made.request, 1, 2)
    after = world.core.state.nodes["de-1"].certificate
    assert after == replace(before, not_after_s=after.not_after_s if after else 0)
    assert after is not None
    assert after.not_after_s == (int(world.now_s) // DAY_S + 400) * DAY_S
    for node, code in (("de-7", Code.NOT_FOUND), ("X", Code.BAD_NAME)):
        assert world.call("operator-1", "nodes.renew", api.NodeCall(node=node)).code == code


def test_a_silent_minter_is_asked_again(world: World) -> None:
    world.minter = False
    call = wish()
    assert world.call("officer-1", "nodes.code", call).state == "minting"
    world.minter = True
    world.pass_time(limits.RETRY_MAX_S + 1)
    assert world.call("officer-1", "nodes.code", call).state == "ready"
