"""Requests: any number open at once, signed in any order, none ever signed twice."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from holdfast_bundles.site import (
    FrameSpec,
    Outcome,
    Proposal,
    RequestSignature,
    accept,
    allow_target,
    assemble,
    bin_of,
    build_frame,
    check_signature,
    generate_key,
    load_frame,
    missing,
    officer,
    propose_allow,
    propose_app,
    propose_deny,
    propose_node,
    propose_vendor,
    propose_withdraw,
    review,
    sign_payload,
)
from holdfast_bundles.site.model import MANIFEST_INLINE_BYTES
from holdfast_protocol.errors import Code, HoldfastError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.bundles.site_world import (
    GROUNDS,
    NOW,
    SITE,
    ZONES,
    Person,
    Site,
    certificate,
    new_site,
    record,
)


class Desk:
    """Open requests of one site, signed one by one and committed when complete."""

    def __init__(self, site: Site, proposals: list[Proposal]) -> None:
        self.site = site
        self.frame = site.frame
        self.proposals = proposals
        self.have: list[list[RequestSignature]] = [[] for _ in proposals]
        self.done: set[int] = set()

    def sign(self, which: int, who: int) -> None:
        proposal = self.proposals[which]
        signature = sign_payload(proposal.payload, self.site.people[who].daily)
        good = check_signature(self.frame, proposal, signature, self.have[which])
        self.have[which].append(good)

    def commit(self, which: int) -> None:
        proposal = self.proposals[which]
        current = self.site.repository.in_force().get(proposal.role)
        data = accept(self.frame, proposal, self.have[which], current)
        self.site.repository = self.site.repository.with_role(proposal.role, data)
        self.done.add(which)


@pytest.mark.parametrize("order", list(itertools.permutations([(0, 0), (0, 1), (1, 1), (1, 2)])))
def test_two_requests_in_every_order_of_signatures(
    tmp_path: Path, order: tuple[tuple[int, int], ...]
) -> None:
    site = new_site()
    names = ("acme/llm", "acme/embed")
    desk = Desk(site, [propose_allow(site.at(), n, "1.0", b"{}", GROUNDS) for n in names])
    trust = site.trust(tmp_path)
    for which, who in order:
        desk.sign(which, who)
        if len(desk.have[which]) == 2:
            desk.commit(which)
            site.publish()
            assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
            view = trust.view(NOW)
            seen = {n for n, name in enumerate(names) if view.approval(name, "1.0")}
            assert seen == desk.done
    assert desk.done == {0, 1}


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_no_request_ever_needs_a_second_signature(data: st.DataObject) -> None:
    site = new_site()
    at = site.at()
    proposals = [
        propose_allow(at, "acme/llm", "1.0", b"{}", GROUNDS),
        propose_allow(at, "acme/llm", "1.1", b"[]", GROUNDS),
        propose_vendor(at, "acme", b"root"),
        propose_node(at, certificate()),
        propose_app(at, record(), ZONES),
        propose_deny(at, "sha256:" + "0" * 64, "unsafe"),
        propose_deny(at, "app:desk", "left"),
    ]
    desk = Desk(site, proposals)
    steps = data.draw(st.permutations([(n, w) for n in range(len(proposals)) for w in range(3)]))
    for which, who in steps:
        if which in desk.done:
            continue
        before = missing(desk.frame, proposals[which], desk.have[which])
        desk.sign(which, who)
        assert missing(desk.frame, proposals[which], desk.have[which]) == max(0, before - 1)
        if before <= 1 and data.draw(st.booleans()):
            desk.commit(which)
    for which in sorted(set(range(len(proposals))) - desk.done):
        desk.commit(which)
    site.publish()
    with TemporaryDirectory() as folder:
        trust = site.trust(Path(folder))
        assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
        view = trust.view(NOW)
    assert view.models == ("acme/llm@1.0", "acme/llm@1.1")
    assert (view.vendors, view.nodes, view.apps) == (("acme",), ("de-1",), ())
    assert view.denied("sha256:" + "0" * 64)
    assert view.broken == {}


def _refusal(site: Site, proposal: Proposal, signature: RequestSignature) -> Code:
    with pytest.raises(HoldfastError) as refused:
        check_signature(site.frame, proposal, signature, [])
    return refused.value.code


def test_what_a_signature_is_refused_for() -> None:
    site = new_site()
    a = propose_allow(site.at(), "acme/llm", "1.0", b"{}", GROUNDS)
    b = propose_allow(site.at(), "acme/embed", "1.0", b"{}", GROUNDS)
    first = site.people[0]
    on_a = sign_payload(a.payload, first.daily)
    assert check_signature(site.frame, a, on_a, []) == on_a
    with pytest.raises(HoldfastError) as refused:
        check_signature(site.frame, a, on_a, [on_a])
    assert refused.value.code is Code.SIGNED_ALREADY
    assert "officer-1" in refused.value.message

    assert _refusal(site, b, on_a) is Code.OTHER_BYTES
    forged_hash = msgspec.structs.replace(on_a, sha256=b.sha256)
    assert _refusal(site, b, forged_hash) is Code.BAD_SIGNATURE
    truncated = msgspec.structs.replace(on_a, signature=on_a.signature[:-2])
    assert _refusal(site, a, truncated) is Code.BAD_SIGNATURE
    not_hex = msgspec.structs.replace(on_a, signature="zz")
    assert _refusal(site, a, not_hex) is Code.BAD_SIGNATURE
    assert _refusal(site, a, sign_payload(a.payload, generate_key())) is Code.NOT_AN_OFFICER
    assert _refusal(site, a, sign_payload(a.payload, first.root)) is Code.NOT_AN_OFFICER
    stranger = sign_payload(a.payload, generate_key())
    claimed = msgspec.structs.replace(stranger, keyid=on_a.keyid)
    assert _refusal(site, a, claimed) is Code.BAD_SIGNATURE


def test_counting_ignores_what_is_not_valid_and_accept_counts_again() -> None:
    site = new_site()
    proposal = propose_allow(site.at(), "acme/llm", "1.0", b"{}", GROUNDS)
    one = sign_payload(proposal.payload, site.people[0].daily)
    two = sign_payload(proposal.payload, site.people[1].daily)
    false = msgspec.structs.replace(two, signature=one.signature)
    assert missing(site.frame, proposal, []) == 2
    assert missing(site.frame, proposal, [one, one]) == 1
    assert missing(site.frame, proposal, [one, false]) == 1
    for few in ([one], [one, one], [one, false]):
        with pytest.raises(HoldfastError) as refused:
            accept(site.frame, proposal, few, None)
        assert refused.value.code is Code.NOT_APPROVED
    data = accept(site.frame, proposal, [one, two], None)
    with pytest.raises(HoldfastError) as refused:
        accept(site.frame, proposal, [one, two], data)
    assert refused.value.code is Code.REQUEST_CLOSED


def test_a_request_of_another_site_is_not_ours() -> None:
    ours, theirs = new_site(), new_site("beta")
    proposal = propose_allow(theirs.at(), "acme/llm", "1.0", b"{}", GROUNDS)
    signed = [sign_payload(proposal.payload, p.daily) for p in ours.people]
    with pytest.raises(HoldfastError) as refused:
        missing(ours.frame, proposal, signed)
    assert refused.value.code is Code.SITE_BINDING


def test_an_officer_who_left_no_longer_counts_for_an_open_request() -> None:
    site = new_site()
    proposal = propose_allow(site.at(), "acme/llm", "1.0", b"{}", GROUNDS)
    gone = sign_payload(proposal.payload, site.people[0].daily)
    assert missing(site.frame, proposal, [gone]) == 1
    site.rotate([*site.people[1:], Person("officer-4")])
    assert missing(site.frame, proposal, [gone]) == 2


def test_what_may_not_be_proposed() -> None:
    site = new_site()
    site.allow("acme/llm", "1.0", b"{}")
    site.deny("sha256:" + "1" * 64)
    site.commit(propose_app(site.at(), record(purposes=("loans",)), ZONES), 0, 1)
    at = site.at()
    cases: dict[Code, Callable[[], Proposal]] = {
        Code.VERSION_REUSED: lambda: propose_allow(at, "acme/llm", "1.0", b"[]", GROUNDS),
        Code.ALREADY_EXISTS: lambda: propose_deny(at, "sha256:" + "1" * 64, ""),
        Code.BAD_NAME: lambda: propose_deny(at, "sha256:" + "g" * 64, ""),
        Code.BAD_REQUEST: lambda: propose_deny(at, "app:desk", "two\nlines"),
        Code.NOT_FOUND: lambda: propose_withdraw(at, "ok", "apps/other.json"),
        Code.TOO_LARGE: lambda: propose_vendor(at, "acme", b"x" * (512 * 1024 + 1)),
    }
    for code, act in cases.items():
        with pytest.raises(HoldfastError) as refused:
            act()
        assert refused.value.code is code
    # One officer alone could otherwise replace the key of a wide application.
    assert propose_app(at, record(), ZONES).role.startswith("ok-")
    assert propose_app(at, record("other"), ZONES).role.startswith("ap-")


@pytest.mark.parametrize(
    "wide",
    [
        record(residency=("DE", "FR")),
        record(residency=("FR",)),
        record(residency=("DE-BY",)),
        record(classification=1),
        record(classification="ds:0"),
        record(purposes=("loans",)),
    ],
)
def test_anything_wider_than_the_defaults_takes_two(wide: object) -> None:
    assert isinstance(wide, type(record()))
    proposal = propose_app(new_site().at(), wide, ZONES)
    assert (proposal.role[:3], proposal.threshold) == ("ok-", 2)


def test_a_large_manifest_is_approved_by_digest_alone() -> None:
    site = new_site()
    within, beyond = b" " * MANIFEST_INLINE_BYTES, b" " * (MANIFEST_INLINE_BYTES + 1)
    rides = propose_allow(site.at(), "acme/llm", "1.0", within, GROUNDS)
    stays = propose_allow(site.at(), "acme/llm", "1.0", beyond, GROUNDS)
    assert len(rides.payload) > MANIFEST_INLINE_BYTES > len(stays.payload)
    shown = review(stays.payload)
    assert shown.digest == "sha256:" + hashlib.sha256(beyond).hexdigest()


def _collision() -> tuple[str, str, str]:
    """Two versions whose approvals hash to one of the 2**32 bins, by the birthday paradox."""
    seen: dict[str, str] = {}
    for number in range(1_000_000):
        role = bin_of("ok", allow_target("acme/llm", str(number)))
        if role in seen:
            return seen[role], str(number), role
        seen[role] = str(number)
    raise AssertionError("no collision among a million names")


def test_two_things_in_one_bin_wait_for_each_other_and_both_stay(tmp_path: Path) -> None:
    earlier, version, role = _collision()
    site = new_site()
    site.allow("acme/llm", earlier, b"first")
    second = propose_allow(site.at(), "acme/llm", version, b"second", GROUNDS)
    assert (second.role, second.version) == (role, 2)
    assert {e.subject for e in review(second.payload).entries} == {
        f"acme/llm@{earlier}",
        f"acme/llm@{version}",
    }
    site.commit(second, 1, 2)
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    assert len(trust.view(NOW).models) == 2


def test_the_review_comes_from_the_payload_alone() -> None:
    site = new_site()
    proposal = propose_app(site.at(), record("bank", classification="ds:2"), ZONES)
    shown = review(proposal.payload)
    assert (shown.site, shown.kind, shown.subject) == (SITE, "app", "bank")
    assert shown.sha256 == proposal.sha256
    assert dict(shown.entries[0].fields)["classification"] == "ds:2"
    approval = review(propose_allow(site.at(), "acme/llm", "1.0", b"{}", GROUNDS).payload)
    assert dict(approval.entries[0].fields)["licence"] == "Apache-2.0"
    for changed in (
        proposal.payload + b" ",
        proposal.payload.replace(b'"version":1', b'"version": 1'),
        proposal.payload.replace(b'"version":1', b'"version":1,"version":1'),
        b"not json",
    ):
        with pytest.raises(HoldfastError) as refused:
            sign_payload(changed, site.people[0].daily)
        assert refused.value.code is Code.METADATA_MALFORMED
        with pytest.raises(HoldfastError):
            review(changed)
    frame = build_frame(_spec(site.people), NOW)
    with pytest.raises(HoldfastError) as refused:
        review(frame["targets"].payload)
    assert refused.value.code is Code.BAD_REQUEST


def _spec(people: list[Person], threshold: int = 2, online: str | None = None) -> FrameSpec:
    return FrameSpec(
        site=SITE,
        officers=tuple(p.officer for p in people),
        threshold=threshold,
        online_public=online or generate_key().public_hex,
    )


def test_a_ceremony_refuses_what_leaves_no_choice_or_no_reserve() -> None:
    people = new_site().people
    twin = Person("OFFICER-1")
    reused = Person("officer-4")
    reused.officer = officer("officer-4", people[0].root.public_hex, reused.daily.public_hex)
    same = Person("officer-5")
    same.officer = officer("officer-5", same.root.public_hex, same.root.public_hex)
    bad = [
        _spec(people, threshold=1),
        _spec(people, threshold=3),
        _spec(people[:2]),
        _spec([*people, twin]),
        _spec([*people, reused]),
        _spec([*people, same]),
        _spec(people, online=people[0].daily.public_hex),
    ]
    for spec in bad:
        with pytest.raises(HoldfastError) as refused:
            build_frame(spec, NOW)
        assert refused.value.code is Code.CONFIG_INVALID


def test_a_frame_counts_only_with_two_root_keys() -> None:
    site = new_site()
    proposals = build_frame(_spec(site.people), NOW)
    files = {
        role: assemble(one, [sign_payload(one.payload, site.people[0].root)])
        for role, one in proposals.items()
    }
    with pytest.raises(HoldfastError) as refused:
        load_frame(files, SITE)
    assert refused.value.code is Code.BAD_SIGNATURE
    whole = site.repository.in_force()
    for role in ("targets", "approvals", "apps", "revoked"):
        with pytest.raises(HoldfastError) as refused:
            load_frame({**whole, role: files[role]}, SITE)
        assert refused.value.code is Code.BAD_SIGNATURE
        with pytest.raises(HoldfastError) as refused:
            load_frame({k: v for k, v in whole.items() if k != role}, SITE)
        assert refused.value.code is Code.METADATA_MISSING
