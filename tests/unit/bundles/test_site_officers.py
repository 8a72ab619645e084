"""Keys change hands: the online key, officers who come and leave."""

from __future__ import annotations

from pathlib import Path

from holdfast_bundles.site import Outcome, generate_key, may_load
from holdfast_bundles.site.metadata import read_role

from tests.unit.bundles.site_world import (
    NOW,
    SITE,
    Person,
    Thief,
    approval_file,
    new_site,
    signed_file,
)

NAME = "acme/llm@1.0"


def test_fast_forward_ends_with_the_online_key(tmp_path: Path) -> None:
    site = new_site()
    site.allow("acme/llm")
    site.publish()
    trust = site.trust(tmp_path)
    thief = Thief(site)
    role, data = approval_file(site, "acme/other", 0)
    thief.list({role: (2**31, data)}, timestamp=2**31, snapshot=2**31)
    assert trust.refresh(thief.fetch, NOW).outcome is Outcome.FRESH
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.REFUSED
    site.rotate(site.people, generate_key())
    site.allow("acme/other")
    site.publish()
    result = trust.refresh(site.fetch, NOW)
    assert (result.outcome, result.reason) == (Outcome.FRESH, "")
    assert trust.view(NOW).models == (NAME, "acme/other@1.0")


def test_a_root_signed_by_the_new_officers_alone_is_refused(tmp_path: Path) -> None:
    site = new_site()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    people = [site.people[0], *[Person(f"new-{n}") for n in (1, 2)]]
    honest = site.repository
    site.rotate(people)
    root = read_role("root", site.repository.files["2.root.json"], SITE)
    alone = signed_file(root.signed, *[p.root for p in people])
    fetch = {**site.repository.files, "2.root.json": alone}.get
    assert trust.refresh(fetch, NOW).outcome is Outcome.REFUSED
    site.publish()
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    assert [o.person for o in trust.view(NOW).officers] == ["officer-1", "new-1", "new-2"]
    assert trust.refresh(honest.read, NOW).outcome is Outcome.REFUSED


def test_who_leaves_takes_what_he_alone_completed_but_stops_nothing(tmp_path: Path) -> None:
    site = new_site()
    digest = site.allow("acme/llm")  # by officers 1 and 2
    site.deny("sha256:" + "1" * 64, who=0)
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    role, data = next((r, d) for r, d in site.repository.in_force().items() if r[:3] == "ok-")
    site.rotate([*site.people[1:], Person("officer-4")])
    site.publish()
    assert trust.refresh(site.fetch, NOW).outcome is Outcome.FRESH
    view = trust.view(NOW)
    assert "1 of 2 keys" in view.broken[role]
    assert view.denied("sha256:" + "1" * 64)
    assert not may_load(view, Outcome.FRESH, NAME, digest, False).allowed
    assert may_load(view, Outcome.FRESH, NAME, digest, True).allowed
    # A further signature on the same bytes, in the same version, heals old and new nodes.
    file = read_role(role, data, SITE)
    cosigned = signed_file(file.signed, *[p.daily for p in site.people[:2]])
    site.repository = site.repository.with_role(role, cosigned)
    site.publish()
    for node in (trust, site.trust(tmp_path / "new")):
        assert node.refresh(site.fetch, NOW).outcome is Outcome.FRESH
        assert may_load(node.view(NOW), Outcome.FRESH, NAME, digest, False).allowed
