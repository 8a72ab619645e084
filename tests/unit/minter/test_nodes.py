"""The minter makes a node's identities only from the certificate that officers signed."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_bundles.site import SiteCertificate, propose_deny, propose_node
from holdfast_controller.minter.nodes import CODE_LIFE_S
from holdfast_protocol import subjects
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import jwt, permissions, x509
from holdfast_protocol.identity.jwt import UserBody
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.minting import MintCode, MintedNode, MintNode
from msgspec.structs import replace

from tests.unit.minter.test_minter import NOW_S, World, signed


class Node:
    """A machine with keys, and the certificate that officers may sign for it."""

    def __init__(self) -> None:
        self.csr, self.gateway_csr = (x509.new_csr(x509.new_key()) for _ in range(2))
        self.certificate = SiteCertificate(
            node="de-9",
            jurisdiction="DE",
            zones=("de",),
            nats_public=KeyPair.generate(Kind.USER).public,
            gateway_nats_public=KeyPair.generate(Kind.USER).public,
            x25519_public="ab" * 32,
            tls_spki_sha256=x509.spki_sha256(self.csr),
            limits={},
            not_after_s=int(NOW_S) + 3600,
            gateway_tls_spki_sha256=x509.spki_sha256(self.gateway_csr),
        )

    def ask(self, files: dict[str, bytes]) -> MintNode:
        return MintNode(
            nonce="n", node="de-9", csr=self.csr, gateway_csr=self.gateway_csr, files=files
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def certify(world: World, certificate: SiteCertificate, signers: int = 2) -> None:
    proposal = propose_node(world.standing(), certificate)
    world.roles[proposal.role] = signed(proposal, world.daily[:signers])


def mint(world: World, asked: MintNode, now_s: float = NOW_S) -> MintedNode:
    answer = world.minter.answer(asked, now_s)
    assert isinstance(answer, MintedNode)
    return answer


def refused(world: World, asked: MintNode | MintCode, now_s: float = NOW_S) -> Code:
    with pytest.raises(HoldfastError) as caught:
        world.minter.answer(asked, now_s)
    return caught.value.code


def test_a_certified_node_gets_two_users_with_its_own_rights(world: World) -> None:
    one = Node()
    certify(world, one.certificate)
    minted = mint(world, one.ask(world.files()))
    control, inference = (world.realm.accounts[name] for name in ("control", "inference"))
    agent = jwt.decode(minted.agent_jwt, UserBody, [control.signing.public])
    gateway = jwt.decode(minted.gateway_jwt, UserBody, [inference.signing.public])
    assert agent.subject.public == one.certificate.nats_public
    assert gateway.subject.public == one.certificate.gateway_nats_public
    assert agent.expires_at_s is gateway.expires_at_s is None, "revocation does that work"
    assert isinstance(agent.body, UserBody)
    assert isinstance(gateway.body, UserBody)
    assert agent.body.issuer_account == control.identity.public
    assert agent.body.pub == permissions.agent("de-9", "de").publishing()
    assert gateway.body.issuer_account == inference.identity.public
    rights = permissions.gateway("de-9", ["de"], [permissions.ANY_PEER])
    assert gateway.body.sub == rights.subscribing()
    pairs = ((minted.certificate, one.csr), (minted.gateway_certificate, one.gateway_csr))
    for certificate, csr in pairs:
        assert x509.holder_of(certificate) == "holdfast:node:de-9"
        assert x509.certificate_spki_sha256(certificate) == x509.spki_sha256(csr)


def test_without_a_certificate_nothing_is_signed(world: World) -> None:
    assert refused(world, Node().ask(world.files())) == Code.NOT_APPROVED


def test_one_officer_is_not_enough(world: World) -> None:
    one = Node()
    certify(world, one.certificate, signers=1)
    assert refused(world, one.ask(world.files())) in (Code.NOT_APPROVED, Code.TRUST_STALE)


def test_other_keys_than_the_certificate_names_are_refused(world: World) -> None:
    one, other = Node(), Node()
    certify(world, one.certificate)
    asked = one.ask(world.files())
    assert refused(world, replace(asked, csr=other.csr)) == Code.NOT_APPROVED
    assert refused(world, replace(asked, gateway_csr=other.gateway_csr)) == Code.NOT_APPROVED
    swapped = replace(asked, csr=one.gateway_csr, gateway_csr=one.csr)
    assert refused(world, swapped) == Code.NOT_APPROVED
    assert refused(world, replace(asked, node="de-8")) == Code.NOT_APPROVED


@pytest.mark.parametrize(
    "changes",
    [
        {"jurisdiction": "FR"},
        {"zones": ("de", "fr")},
        {"zones": ("us",)},
        {"not_after_s": int(NOW_S) - 1},
        {"gateway_tls_spki_sha256": ""},
    ],
    ids=["elsewhere", "two-places", "unknown-zone", "past-its-date", "no-gateway-key"],
)
def test_certificates_that_make_no_identity(world: World, changes: dict[str, object]) -> None:
    one = Node()
    certify(world, replace(one.certificate, **changes))
    assert refused(world, one.ask(world.files())) == Code.NOT_APPROVED


def test_a_revoked_node_gets_nothing(world: World) -> None:
    one = Node()
    certify(world, one.certificate)
    proposal = propose_deny(world.standing(), "node:de-9", "stolen")
    world.roles[proposal.role] = signed(proposal, world.daily[:1])
    assert refused(world, one.ask(world.files())) == Code.NOT_APPROVED


def code(**changes: object) -> MintCode:
    asked = MintCode(
        nonce="n0n-ce",
        node="de-9",
        user_public=KeyPair.generate(Kind.USER).public,
        csr=x509.new_csr(x509.new_key()),
        not_after_s=int(NOW_S) + 3600,
    )
    return replace(asked, **changes)


def test_a_codes_user_has_one_subject_and_an_end(world: World) -> None:
    asked = code()
    minted = world.minter.answer(asked, NOW_S)
    control = world.realm.accounts["control"]
    claim = jwt.decode(minted.user_jwt or "", UserBody, [control.signing.public])  # type: ignore[union-attr]  # a code's answer has one
    assert claim.expires_at_s == asked.not_after_s
    assert isinstance(claim.body, UserBody)
    assert claim.body.pub.allow == (subjects.enrolment("n0n-ce"),)
    assert claim.body.sub.allow == ("_INBOX.n0n-ce.>",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"not_after_s": int(NOW_S)}, Code.BAD_REQUEST),
        ({"not_after_s": int(NOW_S) + CODE_LIFE_S + 120}, Code.BAD_REQUEST),
        ({"nonce": ">"}, Code.BAD_NAME),
        ({"user_public": "U"}, Code.BAD_REQUEST),
        ({"csr": b"x"}, Code.BAD_REQUEST),
    ],
    ids=["ended", "too-long", "nonce", "key", "csr"],
)
def test_codes_beyond_the_bounds_are_refused(
    world: World, changes: dict[str, object], expected: Code
) -> None:
    assert refused(world, code(**changes)) == expected
