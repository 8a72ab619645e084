"""The policy's verbs: what needs no site works without one; the guide's example is a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from holdfast_protocol.policing import (
    Flip,
    PolicyAnswer,
    PolicyDecision,
    PolicyNode,
    PolicyRule,
    WhatIfAnswer,
)
from holdfast_tui.logic import policies

from tests.unit.tui.desk import Desk

EXAMPLE = Path(__file__).resolve().parents[3] / "docs/examples/policy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example that a test may change."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "policy"))


def test_the_guides_example_is_well(desk: Desk) -> None:
    said = desk.run("policy", "check", str(EXAMPLE), "--json")
    assert (said.code, said.json["ok"], said.json["problems"]) == (0, True, [])
    assert (said.json["serial"], said.json["cases"]) == (1, 5)
    assert {"triage-small-models", "health-data-at-home", "residency"} <= set(said.json["rules"])
    assert "Policy 1 is well" in desk.run("policy", "check", str(EXAMPLE)).out


def test_a_changed_file_and_a_changed_base_are_told(desk: Desk, folder: Path) -> None:
    base = folder / "base.cedar"
    base.write_text(base.read_text().replace("resource in context.label.residency", "true"))
    said = desk.run("policy", "check", str(folder), "--json")
    assert (said.code, said.json["code"]) == (4, "POLICY_INVALID")
    assert "not what the manifest says" in said.json["problems"][0]
    packed = desk.run("policy", "pack", str(folder), "--serial", "2", "--until", "2027-06-30")
    assert packed.code == 0
    said = desk.run("policy", "check", str(folder))
    assert said.code == 4
    assert "The base policy residency is missing or changed." in said.out


def test_pack_writes_the_manifest_and_the_products_part(desk: Desk, folder: Path) -> None:
    for name in ("manifest.json", "base.cedar", "schema.cedarschema"):
        (folder / name).unlink()
    said = desk.run(
        "policy", "pack", str(folder), "--serial", "7", "--from", "2027-01-01",
        "--until", "2027-06-30", "--prev", "sha256:" + "0" * 64, "--json",
    )  # fmt: skip
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["serial"], manifest["effective_from_s"]) == (7, 1798761600)
    assert manifest["not_after_s"] == 1814400000, "the whole last day"
    checked = desk.run("policy", "check", str(folder), "--json").json
    assert (checked["ok"], checked["digest"]) == (True, said.json["digest"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("check", "no-such-folder"), 2),
        (("pack", ".", "--serial", "0", "--until", "2027-01-01"), 2),
        (("pack", "no-such-folder", "--serial", "1", "--until", "2027-01-01"), 2),
        (("pack", ".", "--serial", "1", "--until", "tomorrow"), 2),
        (("propose", "no-such-folder"), 2),
        (("what-if", "no-such-folder"), 2),
        (("explain", "--app", "a"), 2),
    ],
)
def test_what_is_asked_wrongly_is_told(desk: Desk, words: tuple[str, ...], code: int) -> None:
    said = desk.run("policy", *words)
    assert said.code == code
    assert said.err


def test_a_folder_without_a_manifest_says_how_to_get_one(desk: Desk, folder: Path) -> None:
    (folder / "manifest.json").unlink()
    said = desk.run("policy", "check", str(folder))
    assert (said.code, "holdfast policy pack" in said.err) == (2, True)


def test_what_people_read() -> None:
    rule = PolicyRule(id="no-chat", effect="forbid", reason="Not\x1b here.")
    answer = PolicyAnswer(
        serial=2, digest="sha256:ab", prev_digest=None, effective_from=1_800_000_000,
        not_after=1_800_086_400, state="expired", rules=(rule,),
        nodes=(PolicyNode(id="de-1", serial=1, behind=True),),
    )  # fmt: skip
    lines = "\n".join(policies.standing(answer))
    assert "2, expired" in lines
    assert "Not\\x1b here." in lines
    assert "behind" in lines
    own = PolicyAnswer(
        serial=0, digest=None, prev_digest=None, effective_from=None, not_after=None,
        state="in-force", rules=(), nodes=(),
    )  # fmt: skip
    assert "the product's own" in "\n".join(policies.standing(own))
    flip = Flip(id="a/b/c", before="deny", after="allow", widens=True, rules=("permit-infer",))
    tried = WhatIfAnswer(serial=2, digest="sha256:ab", asked=3, flips=(flip,))
    assert "ACKNOWLEDGE" in "\n".join(policies.flips(tried))
    none = WhatIfAnswer(serial=2, digest="sha256:ab", asked=3, flips=())
    assert policies.flips(none) == ["Policy 2: 0 of 3 decisions would change."]
    said = PolicyDecision(decision="deny", rules=("a", "b"), sentence="No.", serial=2)
    assert policies.decision(said) == ["deny: No.", "by a, b of policy 2"]
