"""The table of outcomes: what each state of trust permits, and that dates never stop what runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_bundles.site import (
    Marks,
    Outcome,
    SiteTrust,
    SiteView,
    load_view,
    may_load,
    propose_app,
    propose_withdraw,
)
from holdfast_bundles.site.cache import locked
from holdfast_protocol.errors import Code, HoldfastError

from tests.unit.bundles.site_world import (
    DAY,
    HOUR,
    NOW,
    SITE,
    ZONES,
    Person,
    Site,
    Thief,
    new_site,
    record,
    tree,
)

NAME = "acme/llm@1.0"


class Node:
    """A node that believed the site at ``NOW`` and had accepted its one model."""

    def __init__(self, directory: Path) -> None:
        self.site = new_site()
        self.directory = directory
        self.digest = self.site.allow("acme/llm")
        self.site.publish()
        self.trust = self.site.trust(directory)
        assert self.trust.refresh(self.site.fetch, NOW).outcome is Outcome.FRESH

    def new_and_restart(self, outcome: Outcome, now_s: float) -> tuple[bool, bool]:
        view = self.trust.view(now_s)
        verdicts = [may_load(view, outcome, NAME, self.digest, old) for old in (False, True)]
        assert not any(v.stop for v in verdicts)
        return verdicts[0].allowed, verdicts[1].allowed


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize(
    ("later_s", "outcome"),
    [
        (HOUR, Outcome.OFFLINE_OK),
        (23 * HOUR, Outcome.OFFLINE_OK),
        (25 * HOUR, Outcome.STALE),
        (7 * DAY, Outcome.STALE),
        (31 * DAY, Outcome.STALE),
        (401 * DAY, Outcome.STALE),
        (1200 * DAY, Outcome.STALE),
        (-5, Outcome.OFFLINE_OK),
        (-HOUR, Outcome.CLOCK_BEHIND),
        (-400 * DAY, Outcome.CLOCK_BEHIND),
    ],
)
def test_without_the_controller(node: Node, later_s: int, outcome: Outcome) -> None:
    node.site.reachable = False
    assert node.trust.refresh(node.site.fetch, NOW + later_s).outcome is outcome
    assert node.trust.view(NOW + later_s).health is outcome
    fine = outcome is Outcome.OFFLINE_OK
    assert node.new_and_restart(outcome, NOW + later_s) == (fine, True)


def test_a_clock_far_ahead_leaves_no_scar(node: Node) -> None:
    assert node.trust.refresh(node.site.fetch, NOW + 400 * DAY).outcome is Outcome.EXPIRED
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.FRESH


@pytest.mark.parametrize(
    ("later_s", "file"),
    [(25 * HOUR, "timestamp"), (31 * DAY, "timestamp"), (1200 * DAY, "root")],
)
def test_a_controller_that_does_not_stamp(node: Node, later_s: int, file: str) -> None:
    result = node.trust.refresh(node.site.fetch, NOW + later_s)
    assert (result.outcome, result.file) == (Outcome.EXPIRED, file)
    assert node.new_and_restart(result.outcome, NOW + later_s) == (False, True)
    if later_s < 31 * DAY:
        node.site.publish(NOW + later_s)
        assert node.trust.refresh(node.site.fetch, NOW + later_s).outcome is Outcome.FRESH


def test_a_frame_that_ran_out_is_named(node: Node) -> None:
    later_s = NOW + 401 * DAY
    node.site.publish(later_s)
    result = node.trust.refresh(node.site.fetch, later_s)
    assert (result.outcome, result.file) == (Outcome.EXPIRED, "targets")
    assert node.new_and_restart(result.outcome, later_s) == (False, True)


def test_python_tuf_sees_an_expired_stamp_by_the_wall_clock(tmp_path: Path) -> None:
    site = new_site()
    site.publish(NOW - 2 * DAY)
    result = site.trust(tmp_path).refresh(site.fetch, NOW)
    assert (result.outcome, result.file) == (Outcome.EXPIRED, "timestamp")


def test_after_a_refusal_the_intact_cache_is_judged(node: Node) -> None:
    before = tree(node.directory)
    thief = Thief(node.site)
    thief.files["timestamp.json"] = b"{}"
    result = node.trust.refresh(thief.fetch, NOW + HOUR)
    assert result.outcome is Outcome.REFUSED
    assert tree(node.directory) == before
    assert node.new_and_restart(result.outcome, NOW + HOUR) == (True, True)
    assert node.new_and_restart(result.outcome, NOW + 25 * HOUR) == (False, True)


def test_an_os_error_of_the_fetch_means_unreachable(node: Node) -> None:
    def hang(name: str) -> bytes | None:
        raise TimeoutError(name)

    assert node.trust.refresh(hang, NOW + HOUR).outcome is Outcome.OFFLINE_OK


@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", ".snapshot.json", "no-"])
def test_a_line_that_breaks_at_any_file_changes_nothing(node: Node, name: str) -> None:
    node.site.deny(node.digest)
    node.site.publish()
    before = tree(node.directory)

    def broken(asked: str) -> bytes | None:
        if name in asked:
            raise ConnectionResetError
        return node.site.fetch(asked)

    assert node.trust.refresh(broken, NOW).outcome is Outcome.OFFLINE_OK
    assert tree(node.directory) == before
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.FRESH
    assert node.trust.view(NOW).denied(node.digest)


CACHED = ["timestamp", "snapshot", "targets", "approvals", "apps", "revoked"]


@pytest.mark.parametrize("role", CACHED)
def test_a_zero_length_file_is_damage_that_heals(node: Node, role: str) -> None:
    (node.directory / "current" / f"{role}.json").write_bytes(b"")
    node.site.reachable = False
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.DAMAGED
    assert node.new_and_restart(Outcome.DAMAGED, NOW) == (False, True)
    node.site.reachable = True
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.FRESH
    assert node.new_and_restart(Outcome.FRESH, NOW) == (True, True)


def test_a_zero_length_approval_stops_new_loads_alone_and_heals(node: Node) -> None:
    [path] = (node.directory / "current").glob("ok-*.json")
    path.write_bytes(b"")
    assert node.new_and_restart(Outcome.FRESH, NOW) == (False, True)
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.FRESH
    assert node.new_and_restart(Outcome.FRESH, NOW) == (True, True)


def test_a_zero_length_denial_still_denies(node: Node) -> None:
    node.site.deny(node.digest)
    node.site.publish()
    node.trust.refresh(node.site.fetch, NOW)
    [path] = (node.directory / "current").glob("no-*.json")
    path.write_bytes(b"")
    assert node.trust.view(NOW).denied(node.digest)


def test_damage_does_not_lift_a_denial(node: Node) -> None:
    node.site.deny(node.digest)
    node.site.publish()
    node.trust.refresh(node.site.fetch, NOW)
    (node.directory / "current" / "timestamp.json").write_bytes(b"")
    view = node.trust.view(NOW)
    assert view.health is Outcome.DAMAGED
    verdict = may_load(view, Outcome.DAMAGED, NAME, node.digest, True)
    assert (verdict.allowed, verdict.stop) == (False, True)


def test_a_wiped_cache_does_not_reopen_rollback(node: Node) -> None:
    old = dict(node.site.repository.files)
    node.site.deny(node.digest)
    node.site.publish()
    node.trust.refresh(node.site.fetch, NOW)
    (node.directory / "current").unlink()
    result = node.trust.refresh(old.get, NOW)
    assert (result.outcome, "older" in result.reason) == (Outcome.REFUSED, True)
    assert node.trust.view(NOW).denied(node.digest)
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.FRESH


def test_an_old_repository_is_refused_with_the_cache_too(node: Node) -> None:
    old = dict(node.site.repository.files)
    node.site.publish(NOW + 60)
    node.trust.refresh(node.site.fetch, NOW + 60)
    node.site.allow("acme/embed")
    node.site.publish(NOW + 120)
    node.trust.refresh(node.site.fetch, NOW + 120)
    assert node.trust.refresh(old.get, NOW + 180).outcome is Outcome.REFUSED
    assert node.trust.view(NOW + 180).approval("acme/embed", "1.0") is not None


def test_a_crash_between_marks_and_link_permits_no_new_load_and_heals(node: Node) -> None:
    link = node.directory / "current"
    before = link.readlink()
    node.site.deny(node.digest)
    node.site.publish()
    node.trust.refresh(node.site.fetch, NOW)
    link.unlink()
    link.symlink_to(before)
    view = SiteTrust(node.directory, node.site.pinned, SITE).view(NOW)
    assert view.health is Outcome.DAMAGED
    assert view.denied(node.digest)
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.FRESH
    assert node.trust.view(NOW).health is Outcome.OFFLINE_OK


def test_leftovers_of_a_crash_are_cleared(node: Node) -> None:
    (node.directory / "scratch").mkdir()
    (node.directory / "tree-9").mkdir()
    node.site.publish(NOW + 60)
    assert node.trust.refresh(node.site.fetch, NOW + 60).outcome is Outcome.FRESH
    left = sorted(p.name for p in node.directory.iterdir())
    assert left == ["current", "lock", "marks.json", "tree-1", "tree-2"]


def test_marks_that_cannot_be_read(node: Node) -> None:
    (node.directory / "marks.json").write_bytes(b"")
    assert node.trust.view(NOW).health is Outcome.OFFLINE_OK
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.FRESH
    (node.directory / "marks.json").write_bytes(b"")
    (node.directory / "current").unlink()
    result = node.trust.refresh(node.site.fetch, NOW)
    assert (result.outcome, "enrol" in result.reason) == (Outcome.DAMAGED, True)


def test_a_new_node_holds_what_enrolment_gave_it(tmp_path: Path) -> None:
    site = new_site()
    old = dict(site.repository.files)
    digest = site.allow("acme/llm")
    denial = site.deny(digest)
    site.publish()
    role = next(r for r in site.repository.in_force() if r.startswith("no-"))
    marks = Marks(
        site=SITE,
        online=tuple(site.frame.root.roles["timestamp"].keyids),
        timestamp=2,
        snapshot=2,
        roles={role: 1},
        denied=(f"deny/sha256/{digest.removeprefix('sha256:')}",),
    )
    trust = site.trust(tmp_path)
    trust.seed(marks)
    assert trust.view(NOW).denied(digest)
    assert trust.refresh(old.get, NOW).outcome is Outcome.REFUSED
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    with pytest.raises(HoldfastError) as refused:
        trust.seed(marks)
    assert refused.value.code is Code.ALREADY_EXISTS
    assert denial


def test_a_folder_has_one_writer(node: Node) -> None:
    with locked(node.directory), pytest.raises(HoldfastError) as refused:
        node.trust.refresh(node.site.fetch, NOW)
    assert refused.value.code is Code.BUSY


def test_an_expired_approval_stops_new_loads_alone(node: Node) -> None:
    later_s = NOW + 399 * DAY
    node.site.publish(later_s)
    node.trust.refresh(node.site.fetch, later_s)
    assert node.new_and_restart(Outcome.FRESH, later_s) == (True, True)
    # A later frame outlives the approval, so that the approval's date is the only one passed.
    late_s = NOW + 401 * DAY
    view = node.trust.view(late_s)
    assert view.chain is not None
    approved = view.approval("acme/llm", "1.0")
    assert approved is not None
    assert approved.expired
    assert may_load(_healthy(view), Outcome.FRESH, NAME, node.digest, False).code is (
        Code.METADATA_EXPIRED
    )
    assert may_load(_healthy(view), Outcome.FRESH, NAME, node.digest, True).allowed


def _healthy(view: SiteView) -> SiteView:
    return SiteView(
        site=view.site,
        now_s=view.now_s,
        health=Outcome.OFFLINE_OK,
        reason="",
        chain=view.chain,
        denials=view.denials,
    )


def test_the_table(node: Node) -> None:
    other = "sha256:" + "9" * 64
    view = node.trust.view(NOW)
    rows = {
        Outcome.FRESH: None,
        Outcome.OFFLINE_OK: None,
        Outcome.REFUSED: None,
        Outcome.STALE: Code.TRUST_STALE,
        Outcome.EXPIRED: Code.TRUST_STALE,
        Outcome.DAMAGED: Code.TRUST_STALE,
        Outcome.CLOCK_BEHIND: Code.CLOCK_BEHIND,
    }
    assert set(rows) == set(Outcome)
    for outcome, code in rows.items():
        new = may_load(view, outcome, NAME, node.digest, False)
        assert (new.allowed, new.code) == (code is None, code)
        assert may_load(view, outcome, NAME, node.digest, True).allowed
        for accepted in (False, True):
            assert not may_load(view, outcome, NAME, other, accepted).allowed
            assert not may_load(view, outcome, "acme/none@1.0", other, accepted).allowed
    node.site.deny("sha256:" + "7" * 64)
    node.site.publish()
    node.trust.refresh(node.site.fetch, NOW)
    denied = node.trust.view(NOW)
    for outcome in Outcome:
        blob = may_load(denied, outcome, NAME, node.digest, True, ("sha256:" + "7" * 64,))
        assert (blob.allowed, blob.stop, blob.code) == (False, True, Code.DENIED_MODEL)


def test_a_new_load_is_judged_by_the_time_of_the_view_too(node: Node) -> None:
    assert node.new_and_restart(Outcome.FRESH, NOW + 25 * HOUR) == (False, True)


def test_a_denial_that_comes_by_stick_needs_no_controller(node: Node) -> None:
    elsewhere = new_site()
    elsewhere.allow("acme/llm")
    data = elsewhere.deny(node.digest, who=1)
    node.site.reachable = False
    node.trust.accept_denial(data)
    assert node.trust.view(NOW + 30 * DAY).denied(node.digest)
    assert load_view(node.directory, node.site.pinned, SITE, NOW).denied(node.digest)
    # A controller that does not know it yet takes nothing away, one that does takes it over.
    node.site.reachable = True
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.FRESH
    assert node.trust.view(NOW).denied(node.digest)
    role = next(r for r in elsewhere.repository.in_force() if r.startswith("no-"))
    node.site.repository = node.site.repository.with_role(role, data)
    node.site.publish()
    node.trust.refresh(node.site.fetch, NOW)
    assert list((node.directory / "denials").iterdir()) == []
    assert node.trust.view(NOW).denied(node.digest)
    target = f"deny/sha256/{node.digest.removeprefix('sha256:')}"
    node.site.commit(propose_withdraw(node.site.at(), "no", target), 0, 2)
    node.site.publish()
    node.trust.refresh(node.site.fetch, NOW)
    assert not node.trust.view(NOW).denied(node.digest)


def test_a_denial_whose_officer_left_still_denies(node: Node) -> None:
    elsewhere = new_site()
    node.trust.accept_denial(elsewhere.deny(node.digest, who=0))
    node.site.rotate([*node.site.people[1:], Person("officer-4")])
    node.site.publish()
    assert node.trust.refresh(node.site.fetch, NOW).outcome is Outcome.FRESH
    assert node.trust.view(NOW).denied(node.digest)


def test_before_the_first_contact(tmp_path: Path) -> None:
    site = new_site()
    trust = site.trust(tmp_path / "trust")
    view = trust.view(NOW)
    assert (view.health, view.models, view.snapshot_version) == (Outcome.DAMAGED, (), 0)
    site.reachable = False
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.DAMAGED
    with pytest.raises(HoldfastError) as refused:
        trust.accept_denial(site.deny("app:desk"))
    assert refused.value.code is Code.METADATA_MISSING


def test_records_outlive_every_date(tmp_path: Path) -> None:
    site: Site = new_site()
    site.commit(propose_app(site.at(), record(), ZONES), 0)
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    view = trust.view(NOW + 1200 * DAY)
    assert view.health is Outcome.STALE
    assert view.app_record("desk", ZONES) == record()
