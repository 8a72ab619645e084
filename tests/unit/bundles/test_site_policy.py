"""The policy in the site's repository: two officers, rising serials, what a reviewer sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_bundles.site import Proposal, propose_policy, review
from holdfast_bundles.site.names import POLICY_TARGET, bin_of
from holdfast_policy.logic.bundle import PolicyBundle
from holdfast_protocol.errors import Code, HoldfastError

from tests.unit.bundles.site_world import NOW, Site, new_site
from tests.unit.policy.policy_bundles import files, forbid, made

FIRST = made(files(forbid("no-chat")), 3)


def proposed(site: Site, bundle: PolicyBundle) -> Proposal:
    return propose_policy(site.at(), bundle)


def test_two_officers_sign_it_and_a_node_reads_it(tmp_path: Path) -> None:
    site = new_site()
    proposal = proposed(site, FIRST)
    assert (proposal.threshold, proposal.role) == (2, bin_of("ok", POLICY_TARGET))
    with pytest.raises(HoldfastError) as caught:
        site.commit(proposal, 0)
    assert caught.value.code is Code.NOT_APPROVED
    site.commit(proposal, 0, 2)
    site.publish()
    trust = site.trust(tmp_path)
    assert trust.view(NOW).policy() is None
    trust.refresh(site.fetch, NOW)
    view = trust.view(NOW)
    assert view.policy() == FIRST
    assert not view.policy_broken


def test_a_reviewer_sees_serial_dates_rules_and_digest() -> None:
    [entry] = review(proposed(new_site(), FIRST).payload).entries
    shown = dict(entry.fields)
    assert (entry.kind, entry.subject, entry.digest) == ("policy", "current", FIRST.digest)
    assert (shown["serial"], shown["prev_digest"]) == ("3", "-")
    assert shown["effective_from"] == "2027-01-15T08:00:00+00:00"
    assert shown["not_after"] == "2027-04-15T08:00:00+00:00"
    assert shown["forbid no-chat"] == "Because."
    assert "forbid residency" in shown


@pytest.mark.parametrize(
    ("serial", "prev"),
    [(3, FIRST.digest), (2, FIRST.digest), (4, None), (4, "sha256:" + "0" * 64)],
)
def test_a_serial_rises_and_names_the_one_before(serial: int, prev: str | None) -> None:
    site = new_site()
    site.commit(proposed(site, FIRST), 0, 1)
    with pytest.raises(HoldfastError) as caught:
        proposed(site, made(files(), serial, prev))
    assert caught.value.code is Code.POLICY_INVALID
    assert proposed(site, made(files(), 7, FIRST.digest)).version == 2


def test_only_the_bin_of_many_officers_may_hold_it() -> None:
    for prefix in ("ap", "no"):
        role = bin_of(prefix, POLICY_TARGET)
        proposal = proposed(new_site(), FIRST)
        forged = proposal.payload.replace(proposal.role.encode(), role.encode())
        with pytest.raises(HoldfastError):
            review(forged)
