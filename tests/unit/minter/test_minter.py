"""The minter signs only what officers signed, whatever the controller says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from holdfast_bundles.site import (
    AppRecord,
    Ed25519Key,
    FrameSpec,
    Standing,
    assemble,
    build_frame,
    generate_key,
    load_frame,
    officer,
    propose_app,
    propose_deny,
    sign_payload,
    site_repository,
    stamp,
)
from holdfast_bundles.site.client import SiteTrust
from holdfast_bundles.site.model import Proposal
from holdfast_bundles.site.online import Previous
from holdfast_controller.minter.ledger import Ledger
from holdfast_controller.minter.mint import Minter
from holdfast_controller.minter.nodes import AccountKey, Keys
from holdfast_lab import realm
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import jwt, x509
from holdfast_protocol.identity.jwt import AccountBody, UserBody
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.minting import MintApplication

SITE = "test-site"
ZONES = {"de": "DE"}
NOW_S = time.time()


class World:
    """Officers, their frame, and a minter that was given the root at the ceremony."""

    def __init__(self, folder: Path) -> None:
        self.roots = [generate_key() for _ in range(3)]
        self.daily = [generate_key() for _ in range(3)]
        self.online = generate_key()
        officers = tuple(
            officer(f"officer-{number}", root.public_hex, day.public_hex)
            for number, (root, day) in enumerate(zip(self.roots, self.daily, strict=True), 1)
        )
        spec = FrameSpec(
            site=SITE, officers=officers, threshold=2, online_public=self.online.public_hex
        )
        self.roles = {
            role: signed(proposal, self.roots)
            for role, proposal in build_frame(spec, NOW_S).items()
        }
        self.realm = realm.found(SITE)
        self.minter = Minter(
            Keys(
                operator_signing=self.realm.operator_signing,
                authority=self.realm.authority,
                control=account_key(self.realm, "control"),
                inference=account_key(self.realm, "inference"),
                domain="de",
            ),
            SiteTrust(folder / "trust", self.roles["root"], SITE),
            Ledger(folder / "state"),
            ZONES,
        )
        self.stamped = 0

    def standing(self) -> Standing:
        return Standing(frame=load_frame(self.roles, SITE), current=self.roles, now_s=NOW_S)

    def grant(self, user: KeyPair, signers: int = 1) -> None:
        record = AppRecord(
            app="triage", zone="de", residency=("DE",), classification=0, purposes=(),
            aliases=("tiny",), user_public=user.public, serial=1,
        )  # fmt: skip
        proposal = propose_app(self.standing(), record, ZONES)
        self.roles[proposal.role] = signed(proposal, self.daily[:signers])

    def revoke(self) -> None:
        proposal = propose_deny(self.standing(), "app:triage", "lost")
        self.roles[proposal.role] = signed(proposal, self.daily[:1])

    def files(self) -> dict[str, bytes]:
        self.stamped += 1
        last = Previous(timestamp_version=self.stamped, snapshot_version=self.stamped)
        repository = site_repository(SITE, self.roles)
        return dict(
            repository.with_stamp(
                stamp(
                    {r: d for r, d in self.roles.items() if r != "root"}
                    | {"root": self.roles["root"]},
                    self.online,
                    NOW_S,
                    last,
                )
            ).files
        )

    def ask(self, user: KeyPair, files: dict[str, bytes] | None = None) -> MintApplication:
        return MintApplication(
            app="triage",
            user_public=user.public,
            csr=x509.new_csr(x509.new_key()),
            files=self.files() if files is None else files,
        )


def account_key(made: realm.Realm, name: realm.AccountName) -> AccountKey:
    account = made.accounts[name]
    return AccountKey(account=account.identity.public, signing=account.signing)


def signed(proposal: Proposal, keys: list[Ed25519Key]) -> bytes:
    return assemble(proposal, [sign_payload(proposal.payload, key) for key in keys])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refused(world: World, asked: MintApplication) -> Code:
    with pytest.raises(HoldfastError) as caught:
        world.minter.application(asked, NOW_S)
    return caught.value.code


def test_a_granted_user_gets_claims_of_the_operator(world: World) -> None:
    user = KeyPair.generate(Kind.USER)
    world.grant(user)
    minted = world.minter.application(world.ask(user), NOW_S)
    account = jwt.decode(minted.account_jwt, AccountBody, [world.realm.operator_signing.public])
    assert account.subject.public == minted.account
    assert minted.user_jwt is not None
    assert minted.certificate is not None
    assert isinstance(account.body, AccountBody)
    issuers = [key for key in account.body.signing_keys if isinstance(key, str)]
    claim = jwt.decode(minted.user_jwt, UserBody, issuers)
    assert claim.subject.public == user.public
    assert x509.holder_of(minted.certificate) == "holdfast:app:triage"


def test_the_same_question_has_the_same_answer(world: World) -> None:
    user = KeyPair.generate(Kind.USER)
    world.grant(user)
    first = world.minter.application(world.ask(user), NOW_S)
    assert world.minter.application(world.ask(user), NOW_S + 5) == first


def test_without_a_record_nothing_is_signed(world: World) -> None:
    assert refused(world, world.ask(KeyPair.generate(Kind.USER))) is Code.NOT_APPROVED


def test_another_key_than_the_record_names_is_refused(world: World) -> None:
    world.grant(KeyPair.generate(Kind.USER))
    assert refused(world, world.ask(KeyPair.generate(Kind.USER))) is Code.NOT_APPROVED


def test_a_record_nobody_signed_is_refused(world: World) -> None:
    user = KeyPair.generate(Kind.USER)
    world.grant(user, signers=0)
    assert refused(world, world.ask(user)) in (Code.NOT_APPROVED, Code.TRUST_STALE)


def test_files_of_another_site_are_refused(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    user = KeyPair.generate(Kind.USER)
    other.grant(user)
    assert refused(world, world.ask(user, other.files())) is Code.TRUST_STALE


def test_a_revoked_application_has_no_user_and_a_later_claim(world: World) -> None:
    user = KeyPair.generate(Kind.USER)
    world.grant(user)
    before = world.minter.application(world.ask(user), NOW_S)
    world.revoke()
    after = world.minter.application(world.ask(user), NOW_S)
    assert after.user_jwt is None
    issuers = [world.realm.operator_signing.public]
    old = jwt.decode(before.account_jwt, AccountBody, issuers)
    new = jwt.decode(after.account_jwt, AccountBody, issuers)
    jwt.check_successor(new, old)
    assert isinstance(new.body, AccountBody)
    assert user.public in new.body.revocations


def test_a_new_key_revokes_the_old_one(world: World) -> None:
    old, new = KeyPair.generate(Kind.USER), KeyPair.generate(Kind.USER)
    world.grant(old)
    world.minter.application(world.ask(old), NOW_S)
    standing = world.standing()
    record = AppRecord(
        app="triage", zone="de", residency=("DE",), classification=0, purposes=(),
        aliases=("tiny",), user_public=new.public, serial=2,
    )  # fmt: skip
    proposal = propose_app(standing, record, ZONES)
    world.roles[proposal.role] = signed(proposal, world.daily[:1])
    minted = world.minter.application(world.ask(new), NOW_S)
    claim = jwt.decode(minted.account_jwt, AccountBody, [world.realm.operator_signing.public])
    assert isinstance(claim.body, AccountBody)
    assert set(claim.body.revocations) == {old.public}
