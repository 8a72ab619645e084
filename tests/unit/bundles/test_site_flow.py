"""The thin path: officers approve, the controller stamps, a node believes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_bundles.site import (
    Outcome,
    load_view,
    may_load,
    propose_app,
    propose_node,
    propose_vendor,
    propose_withdraw,
    read_key,
    review,
    write_key,
)
from holdfast_protocol.errors import Code, HoldfastError

from tests.unit.bundles.site_world import (
    DAY,
    NOW,
    SITE,
    ZONES,
    certificate,
    new_site,
    record,
    tree,
)


def test_an_approved_model_reaches_a_node(tmp_path: Path) -> None:
    site = new_site()
    digest = site.allow("acme/llm", "1.0", b'{"layers":[]}')
    site.publish()
    trust = site.trust(tmp_path)
    result = trust.refresh(site.fetch, NOW)
    assert (result.outcome, result.reason) == (Outcome.FRESH, "")
    view = trust.view(NOW)
    approved = view.approval("acme/llm", "1.0")
    assert approved is not None
    assert approved.digest == digest
    assert approved.manifest == b'{"layers":[]}'
    assert approved.approval.licence == "Apache-2.0"
    assert not approved.expired
    assert view.models == ("acme/llm@1.0",)
    assert view.approval("acme/llm", "2.0") is None
    assert may_load(view, result.outcome, "acme/llm@1.0", digest, False).allowed


def test_all_documents_arrive_as_signed(tmp_path: Path) -> None:
    site = new_site()
    site.commit(propose_vendor(site.at(), "acme", b'{"signed": {}}  '), 0, 2)
    site.commit(propose_node(site.at(), certificate()), 1, 2)
    site.commit(propose_app(site.at(), record(), ZONES), 1)
    wide = record("bank", residency=("DE", "FR"), classification="ds:2", purposes=("loans",))
    site.commit(propose_app(site.at(), wide, ZONES), 0, 1)
    site.publish()
    trust = site.trust(tmp_path)
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    view = trust.view(NOW)
    assert view.vendor_root("acme") == b'{"signed": {}}  '
    assert view.vendor_root("other") is None
    assert view.site_certificate("de-1") == certificate()
    assert view.app_record("desk", ZONES) == record()
    assert view.app_record("bank", ZONES) == wide
    assert (view.vendors, view.nodes, view.apps) == (("acme",), ("de-1",), ("bank", "desk"))
    assert wide.level == 2
    assert [o.person for o in view.officers] == ["officer-1", "officer-2", "officer-3"]


def test_one_officer_denies_and_two_lift(tmp_path: Path) -> None:
    site = new_site()
    digest = site.allow("acme/llm")
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    site.deny(digest, who=2)
    site.publish()
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    view = trust.view(NOW)
    assert view.denied(digest)
    verdict = may_load(view, Outcome.FRESH, "acme/llm@1.0", digest, True)
    assert (verdict.allowed, verdict.stop, verdict.code) == (False, True, Code.DENIED_MODEL)

    lift = propose_withdraw(site.at(), "no", f"deny/sha256/{digest.removeprefix('sha256:')}")
    assert (lift.version, lift.threshold) == (2, 2)
    with pytest.raises(HoldfastError) as refused:
        site.commit(lift, 0)
    assert refused.value.code is Code.NOT_APPROVED
    site.commit(lift, 0, 1)
    site.publish()
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    assert not trust.view(NOW).denied(digest)


@pytest.mark.parametrize("what", ["app:desk", "node:de-1"])
def test_revoking_a_record_or_a_certificate_takes_one_officer(tmp_path: Path, what: str) -> None:
    site = new_site()
    site.commit(propose_node(site.at(), certificate()), 0, 1)
    site.commit(propose_app(site.at(), record(), ZONES), 1)
    site.deny(what)
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    view = trust.view(NOW)
    assert (view.app_record("desk", ZONES) is None) == (what == "app:desk")
    assert (view.site_certificate("de-1") is None) == (what == "node:de-1")
    assert ("desk" in view.apps, "de-1" in view.nodes) == (what != "app:desk", what != "node:de-1")


def test_a_withdrawn_approval_is_no_approval_and_no_restart(tmp_path: Path) -> None:
    site = new_site()
    digest = site.allow("acme/llm")
    target = "allow/acme/llm/1.0/manifest.json"
    withdraw = propose_withdraw(site.at(), "ok", target)
    assert review(withdraw.payload).kind == "withdraw"
    site.commit(withdraw, 1, 2)
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    view = trust.view(NOW)
    assert view.approval("acme/llm", "1.0") is None
    verdict = may_load(view, Outcome.FRESH, "acme/llm@1.0", digest, True)
    assert (verdict.allowed, verdict.stop) == (False, False)


def test_a_gateway_reads_the_folder_without_writing(tmp_path: Path) -> None:
    site = new_site()
    site.commit(propose_app(site.at(), record(), ZONES), 1)
    site.publish()
    site.trust(tmp_path).refresh(site.fetch, NOW)
    before = sorted((str(p), p.lstat().st_mtime_ns) for p in tmp_path.rglob("*"))
    for folder in [p for p in tmp_path.rglob("*") if p.is_dir()]:
        folder.chmod(0o500)
    view = load_view(tmp_path, site.pinned, SITE, NOW)
    assert view.app_record("desk", ZONES) == record()
    assert view.health is Outcome.OFFLINE_OK
    assert sorted((str(p), p.lstat().st_mtime_ns) for p in tmp_path.rglob("*")) == before
    for folder in [p for p in tmp_path.rglob("*") if p.is_dir()]:
        folder.chmod(0o700)


def test_an_unchanged_refresh_moves_the_timestamp_alone(tmp_path: Path) -> None:
    site = new_site()
    site.allow("acme/llm")
    site.publish()
    trust = site.trust(tmp_path)
    assert trust.refresh(site.fetch, NOW).changed
    before = tree(tmp_path)
    site.asked.clear()
    result = trust.refresh(site.fetch, NOW + 60)
    assert (result.outcome, result.changed) == (Outcome.FRESH, False)
    assert site.asked == ["2.root.json", "timestamp.json"]
    assert tree(tmp_path) == before


def test_the_snapshot_is_kept_until_something_changes_or_half_its_life() -> None:
    site = new_site()
    first = site.repository
    site.publish(NOW + 60)
    site.publish(NOW + 14 * DAY)
    assert (site.last.snapshot_version, site.last.timestamp_version) == (1, 3)
    site.publish(NOW + 16 * DAY)
    assert (site.last.snapshot_version, site.last.timestamp_version) == (2, 4)
    site.allow("acme/llm")
    site.publish(NOW + 16 * DAY)
    assert site.last.snapshot_version == 3
    assert site.repository.read("1.snapshot.json") is None
    assert site.repository.read("2.snapshot.json") is not None
    assert first.read("2.root.json") is None


def test_key_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    site = new_site()
    path = tmp_path / "daily.key"
    write_key(path, site.people[0].daily)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path).public.keyid == site.people[0].officer.daily_keyid
    with pytest.raises(HoldfastError) as refused:
        write_key(path, site.people[1].daily)
    assert refused.value.code is Code.ALREADY_EXISTS
    path.chmod(0o640)
    with pytest.raises(HoldfastError) as refused:
        read_key(path)
    assert refused.value.code is Code.CONFIG_INVALID
