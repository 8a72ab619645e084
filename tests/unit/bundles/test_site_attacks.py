"""What a thief with the online key, a lone officer or a bad file can do: deny, never approve."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_bundles.site import (
    Outcome,
    SiteTrust,
    app_target,
    bin_of,
    deny_target,
    generate_key,
    may_load,
    node_target,
    propose_app,
    propose_node,
)
from holdfast_bundles.site.model import document_of
from holdfast_bundles.site.tufapi import Metadata, MetaFile, Targets
from holdfast_protocol.errors import Code, HoldfastError
from tuf.api.exceptions import UnsignedMetadataError

from tests.unit.bundles.site_world import (
    DAY,
    NOW,
    ZONES,
    Thief,
    approval_file,
    bin_file,
    certificate,
    new_site,
    record,
    tree,
)

NAME = "acme/llm@1.0"


@pytest.mark.parametrize("role", ["targets", "approvals", "apps", "revoked"])
def test_an_approval_served_as_a_frame_file(tmp_path: Path, role: str) -> None:
    site = new_site()
    site.deny("app:desk")
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    _, approval = approval_file(site, "acme/llm", 0, 1)
    before = tree(tmp_path)
    thief = Thief(site)
    thief.list({role: (1, approval)}, timestamp=9, snapshot=9)
    assert trust.refresh(thief.fetch, NOW).outcome is Outcome.REFUSED
    assert tree(tmp_path) == before
    assert trust.view(NOW).denied_target("deny/app/desk")
    # The binding alone would do; so would the keys alone.
    file: Metadata[Targets] = Metadata.from_bytes(approval)
    with pytest.raises(UnsignedMetadataError):
        site.frame.targets.verify_delegate("approvals", file.signed_bytes, file.signatures)


def test_an_approval_served_as_a_denial_denies(tmp_path: Path) -> None:
    site = new_site()
    digest = site.allow("acme/llm")
    site.deny(digest)
    site.publish()
    role = bin_of("no", deny_target(digest))
    thief = Thief(site)
    thief.list({role: (1, approval_file(site, "acme/other", 0, 1)[1])})
    trust = site.trust(tmp_path)
    assert trust.refresh(thief.fetch, NOW).outcome is Outcome.FRESH
    assert role in trust.view(NOW).broken
    assert trust.view(NOW).denied(digest)


def test_an_approval_under_another_name_approves_nothing(tmp_path: Path) -> None:
    site = new_site()
    role, data = approval_file(site, "acme/llm", 0, 1)
    thief = Thief(site)
    thief.list({"ok-00000001": (1, data)})
    trust = site.trust(tmp_path)
    assert trust.refresh(thief.fetch, NOW).outcome is Outcome.FRESH
    assert trust.view(NOW).models == ()
    assert set(trust.view(NOW).broken) == {"ok-00000001"}
    thief.list({"ok-00000001": (1, data), role: (1, data)}, 3, 3)
    assert trust.refresh(thief.fetch, NOW).outcome is Outcome.FRESH
    assert trust.view(NOW).models == (NAME,)


@pytest.mark.parametrize("who", [(), (0,), (0, 0)])
def test_an_approval_by_fewer_than_two(tmp_path: Path, who: tuple[int, ...]) -> None:
    site = new_site()
    role, data = approval_file(site, "acme/llm", *who)
    thief = Thief(site)
    thief.list({role: (1, data)})
    trust = site.trust(tmp_path)
    assert trust.refresh(thief.fetch, NOW).outcome is Outcome.FRESH
    assert trust.view(NOW).models == ()


def test_an_approval_of_another_site(tmp_path: Path) -> None:
    site, other = new_site(), new_site("beta")
    role, data = approval_file(other, "acme/llm", 0, 1)
    thief = Thief(site)
    thief.list({role: (1, data)})
    trust = site.trust(tmp_path)
    trust.refresh(thief.fetch, NOW)
    assert role in trust.view(NOW).broken
    assert trust.view(NOW).models == ()
    with pytest.raises(HoldfastError) as refused:
        SiteTrust(tmp_path / "b", site.pinned, "beta")
    assert refused.value.code is Code.SITE_BINDING


@pytest.mark.parametrize(
    "wide",
    [record(residency=("DE", "FR")), record(classification=1), record(purposes=("loans",))],
)
def test_a_wide_record_with_one_signature(tmp_path: Path, wide: object) -> None:
    assert isinstance(wide, type(record()))
    site = new_site()
    role = bin_of("ap", app_target("desk"))
    one = site.people[0].daily
    data = bin_file(role, {app_target("desk"): document_of(wide)}, one)
    site.repository = site.repository.with_role(role, data)
    site.publish()
    trust = site.trust(tmp_path)
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    assert trust.view(NOW).app_record("desk", ZONES) is None
    honest = new_site()
    honest.commit(propose_app(honest.at(), record(), ZONES), 0)
    honest.publish()
    trust = honest.trust(tmp_path / "honest")
    trust.refresh(honest.fetch, NOW)
    assert trust.view(NOW).app_record("desk", ZONES) == record()
    assert trust.view(NOW).app_record("desk", {"de": "FR"}) is None
    assert trust.view(NOW).app_record("desk", {}) is None


def test_one_officer_cannot_replace_a_wide_record(tmp_path: Path) -> None:
    site = new_site()
    wide = record(purposes=("loans",))
    site.commit(propose_app(site.at(), wide, ZONES), 0, 1)
    role = bin_of("ap", app_target("desk"))
    newer = document_of(record(serial=99))
    site.repository = site.repository.with_role(
        role, bin_file(role, {app_target("desk"): newer}, site.people[2].daily)
    )
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    assert trust.view(NOW).app_record("desk", ZONES) == wide


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("ap", node_target("de-1")),
        ("ap", "allow/acme/llm/1.0/manifest.json"),
        ("no", node_target("de-1")),
        ("ok", deny_target("app:desk")),
        ("ok", "policy/x.json"),
        ("ok", "allow/acme/../1.0/manifest.json"),
        ("ok", "nodes/../de-1.json"),
    ],
)
def test_a_bin_holds_only_its_own_kind(tmp_path: Path, prefix: str, path: str) -> None:
    site = new_site()
    assert prefix in ("ok", "ap", "no")
    role = bin_of(prefix, path)  # type: ignore[arg-type]  # checked in the line above
    data = bin_file(role, {path: document_of(certificate())}, *[p.daily for p in site.people])
    thief = Thief(site)
    thief.list({role: (1, data)})
    trust = site.trust(tmp_path)
    assert trust.refresh(thief.fetch, NOW).outcome is Outcome.FRESH
    view = trust.view(NOW)
    assert role in view.broken
    assert (view.nodes, view.models) == ((), ())


def test_a_certificate_about_another_node(tmp_path: Path) -> None:
    site = new_site()
    path = node_target("de-2")
    role = bin_of("ok", path)
    data = bin_file(role, {path: document_of(certificate("de-1"))}, *[p.daily for p in site.people])
    site.repository = site.repository.with_role(role, data)
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    assert trust.view(NOW).site_certificate("de-2") is None


def test_a_denial_lifted_by_one_stays(tmp_path: Path) -> None:
    site = new_site()
    digest = site.allow("acme/llm")
    site.deny(digest)
    site.publish()
    role = bin_of("no", deny_target(digest))
    lifted = bin_file(role, {}, site.people[1].daily, version=2)
    site.repository = site.repository.with_role(role, lifted)
    site.publish()
    new = site.trust(tmp_path)  # no memory of the denial: python-tuf alone would say it is lifted
    assert new.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    view = new.view(NOW)
    assert view.denied(digest)
    assert may_load(view, Outcome.FRESH, NAME, digest, True).stop


def test_a_listed_denial_that_is_not_there_denies(tmp_path: Path) -> None:
    site = new_site()
    digest = site.allow("acme/llm")
    site.deny(digest)
    site.publish()
    role = bin_of("no", deny_target(digest))
    name = f"1.{role}.json"
    for served in (None, b"", b"{}", b"x" * (1 << 20) + b"x"):
        trust = site.trust(tmp_path / str(len(served or b"no")))
        fetch = {**site.repository.files, name: served}.get
        assert trust.refresh(fetch, NOW).outcome is Outcome.FRESH
        assert trust.view(NOW).denied(digest)
        assert not trust.view(NOW).denied("sha256:" + "0" * 64)
        assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
        assert trust.view(NOW).broken == {}


def test_a_refused_refresh_does_not_poison_the_next(tmp_path: Path) -> None:
    site = new_site()
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    before = tree(tmp_path)
    thief = Thief(site)
    _, approval = approval_file(site, "acme/llm", 0, 1)
    thief.list({"targets": (2, approval)}, timestamp=3, snapshot=2)
    assert trust.refresh(thief.fetch, NOW).outcome is Outcome.REFUSED
    assert tree(tmp_path) == before
    # The honest stamp has the version that the thief used up.
    site.allow("acme/llm")
    site.publish()
    assert site.last.timestamp_version == 3
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    assert trust.view(NOW).models == (NAME,)


def test_a_snapshot_without_a_denial_is_refused(tmp_path: Path) -> None:
    site = new_site()
    clean = Thief(site)
    clean.list({}, timestamp=9, snapshot=9)
    digest = site.allow("acme/llm")
    site.deny(digest)
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    assert trust.refresh(clean.fetch, NOW).outcome is Outcome.REFUSED
    (tmp_path / "current").unlink()
    result = trust.refresh(clean.fetch, NOW)
    assert (result.outcome, "not listed" in result.reason) == (Outcome.REFUSED, True)


def test_an_older_version_of_a_bin_is_refused_by_marks(tmp_path: Path) -> None:
    site = new_site()
    site.commit(propose_node(site.at(), certificate()), 0, 1)
    role = bin_of("ok", node_target("de-1"))
    old = site.repository.in_force()[role]
    newer = certificate(not_after_s=int(NOW) + DAY)
    site.commit(propose_node(site.at(), newer), 0, 1)
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    (tmp_path / "current").unlink()
    thief = Thief(site)
    thief.list({role: (1, old)}, timestamp=9, snapshot=9)
    assert trust.refresh(thief.fetch, NOW).outcome is Outcome.REFUSED
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    assert trust.view(NOW).site_certificate("de-1") == newer


def test_names_that_are_no_bins_are_not_fetched(tmp_path: Path) -> None:
    site = new_site()
    thief = Thief(site)
    odd = ["ok-+1234567", "ok- 1234567", "ok-1_234567", "ok-ABCDEF01", "ok-0x123456", "../x"]
    thief.list({})
    meta = {f"{n}.json": MetaFile(1) for n in odd}
    for role in ("targets", "approvals", "apps", "revoked"):
        data = site.repository.in_force()[role]
        meta[f"{role}.json"] = MetaFile.from_data(1, data, ["sha256"])
    thief.stamp(meta, 2, 2)
    asked: list[str] = []

    def fetch(name: str) -> bytes | None:
        asked.append(name)
        return thief.fetch(name)

    trust = site.trust(tmp_path)
    assert trust.refresh(fetch, NOW).outcome is Outcome.FRESH
    assert trust.view(NOW).broken == {}
    assert not [name for name in asked if "ok-" in name or ".." in name]


def test_a_listed_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    site = new_site()
    thief = Thief(site)
    roles = ("targets", "approvals", "apps", "revoked")
    thief.stamp({f"{role}.json": MetaFile(1) for role in roles}, 2, 2)
    result = site.trust(tmp_path).refresh(thief.fetch, NOW)
    assert (result.outcome, result.file) == (Outcome.REFUSED, "targets")


@pytest.mark.parametrize("role", ["approvals", "apps", "revoked"])
def test_a_frame_file_missing_from_the_snapshot_is_refused(tmp_path: Path, role: str) -> None:
    site = new_site()
    thief = Thief(site)
    files = site.repository.in_force()
    listed = {"targets", "approvals", "apps", "revoked"} - {role}
    thief.stamp({f"{r}.json": MetaFile.from_data(1, files[r], ["sha256"]) for r in listed}, 2, 2)
    assert site.trust(tmp_path).refresh(thief.fetch, NOW).outcome is Outcome.REFUSED


def test_a_stamp_from_the_future_is_refused_and_not_stored(tmp_path: Path) -> None:
    site = new_site()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    before = tree(tmp_path)
    honest = site.repository
    site.publish(NOW + 601)
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.REFUSED
    assert tree(tmp_path) == before
    site.repository = honest
    site.publish(NOW + 600)
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH


@pytest.mark.parametrize("who", ["stranger", "root key", "other site", "approval"])
def test_what_is_no_denial_is_not_taken_from_a_stick(tmp_path: Path, who: str) -> None:
    site = new_site()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    target = deny_target("app:desk")
    role = bin_of("no", target)
    document = b'{"reason":"","what":"app:desk"}'
    daily = site.people[0].daily
    files = {
        "stranger": bin_file(role, {target: document}, generate_key()),
        "root key": bin_file(role, {target: document}, site.people[0].root),
        "other site": bin_file(role, {target: document}, daily, site="beta"),
        "approval": approval_file(site, "acme/llm", 0, 1)[1],
    }
    with pytest.raises(HoldfastError) as refused:
        trust.accept_denial(files[who])
    assert refused.value.code in (Code.BAD_SIGNATURE, Code.SITE_BINDING)
    assert not trust.view(NOW).denied_target(target)
    trust.accept_denial(bin_file(role, {target: document}, daily))
    assert trust.view(NOW).denied_target(target)
