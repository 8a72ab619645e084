"""A policy on real programs: checked, signed by two officers, followed by every gateway, lifted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import APP
from tests.integration.site import Site, until
from tests.integration.test_healing import answers, well

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("site"), pytest.mark.timeout(300)]

CASES = [
    {"app": APP, "zone": "de", "alias": "other", "node": "de-1", "jurisdiction": "DE",
     "expect": "allow", "rule": "permit-infer"},
    {"app": APP, "zone": "de", "alias": "other", "node": "fr-1", "jurisdiction": "FR",
     "residency": ["DE"], "expect": "deny", "rule": "residency"},
]  # fmt: skip
NO_TINY = f"""
@id("no-tiny")
@reason("Triage may not use tiny.")
forbid (principal == Holdfast::App::"{APP}", action, resource is Holdfast::Placement)
unless {{ context.alias != "tiny" }};
"""


@pytest.fixture(autouse=True)
def as_found(site: Site) -> Iterator[None]:
    """The site is well before, and answers again afterwards, also after a failure."""
    until("well before", lambda: well(site) and answers(site))
    yield
    for one in site.look("requests")["requests"]:
        if one["kind"] == "policy" and one["state"] == "pending":
            site.ok("reject", one["id"], who="officer-1")
    if not answers(site):
        lift(site)
    until("well after", lambda: well(site) and answers(site), deadline_s=90)


def packed(site: Site, more: str) -> str:
    """Write a bundle that follows the policy in force; return its folder."""
    shown = site.ok("policy", "show")
    folder = site.folder / f"policy-{shown['serial'] + 1}-{len(more)}"
    folder.mkdir(exist_ok=True)
    (folder / "site.cedar").write_text(more or "// Nothing beside the base policies.\n")
    (folder / "golden.json").write_text(
        json.dumps({"zones": {"de": "DE", "fr": "FR"}, "cases": CASES})
    )
    prev = ["--prev", shown["digest"]] if shown["digest"] else []
    site.ok(
        "policy", "pack", str(folder), "--serial", str(shown["serial"] + 1),
        "--until", "2027-10-01", *prev,
    )  # fmt: skip
    checked = site.ok("policy", "check", str(folder))
    assert checked["ok"], checked
    return str(folder)


def lift(site: Site) -> int:
    """Bring a policy into force that adds nothing; return its serial."""
    folder = packed(site, "")
    flips = site.ok("policy", "what-if", folder)["flips"]
    named = ",".join(flip["id"] for flip in flips if flip["widens"])
    made = site.ok("policy", "propose", folder, "--acknowledge", named, who="officer-1")
    site.approve(made["request"], "officer-1", "officer-2")
    serial: int = site.ok("policy", "show")["serial"]
    return serial


def everywhere(site: Site, serial: int) -> bool:
    """Tell whether every node decides by policy ``serial``."""
    nodes: list[dict[str, Any]] = site.ok("policy", "show")["nodes"]
    return all(one["serial"] == serial and not one["behind"] for one in nodes)


def explained(site: Site, **more: str) -> Any:
    node = site.replicas("tiny")[0]["node"]
    words = [word for name, value in more.items() for word in (f"--{name}", value)]
    return site.ok("policy", "explain", "--app", APP, "--alias", "tiny", "--node", node, *words)


def test_two_officers_forbid_an_alias_and_the_next_policy_lifts_it(site: Site) -> None:
    before = site.ok("policy", "show")["serial"]
    assert explained(site)["decision"] == "allow"
    folder = packed(site, NO_TINY)
    tried = site.ok("policy", "what-if", folder)
    assert [(f["before"], f["after"], f["rules"]) for f in tried["flips"]] == [
        ("allow", "deny", ["no-tiny"])
    ]
    site.refused("NOT_PERMITTED", 3, "policy", "propose", folder, who="operator-1")
    made = site.ok("policy", "propose", folder, who="officer-1")
    shown = site.command("requests", "show", made["request"], who="officer-2")
    assert "no-tiny" in shown.out
    assert "Triage may not use tiny." in shown.out
    site.approve(made["request"], "officer-1")
    assert answers(site), "one officer is not enough"
    site.approve(made["request"], "officer-3")
    until("every gateway follows", lambda: everywhere(site, before + 1))
    denied = explained(site)
    assert (denied["decision"], denied["rules"]) == ("deny", ["no-tiny"])
    site.refused("NO_LEGAL_PLACEMENT", 3, "infer", "tiny", "hello", who=APP)

    lifting = packed(site, "")
    site.refused("POLICY_WIDENS", 3, "policy", "propose", lifting, who="officer-1")
    assert lift(site) == before + 2
    until("every gateway follows", lambda: everywhere(site, before + 2))
    assert explained(site)["decision"] == "allow"
    assert explained(site, residency="FR")["rules"] == ["label-refused"]
    until("it answers again", lambda: answers(site))
    events = [one["text"] for one in site.ok("events", "--limit", "1000")["events"]]
    assert [text for text in events if text.startswith(f"Policy {before + 1} is in force")]


def test_what_is_no_policy_is_told_without_a_site(site: Site, tmp_path: Path) -> None:
    folder = Path(packed(site, NO_TINY))
    text = (folder / "site.cedar").read_text()
    (folder / "site.cedar").write_text(text.replace("context.alias", "context.alais"))
    done = site.command("--site", str(tmp_path / "none"), "policy", "check", str(folder), "--json")
    assert (done.code, done.json()["ok"], done.json()["code"]) == (4, False, "POLICY_INVALID")
