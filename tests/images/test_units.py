"""The systemd units promise what the README of the images says, and stay below their bars."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "images" / "units").glob("*.service"))
PROMISED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "CapabilityBoundingSet": "",
    "RestrictSUIDSGID": "yes",
    "LimitCORE": "0",
    "UMask": "0077",
    "Restart": "always",
}


def directives(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def thresholds() -> dict[str, float]:
    table = (ROOT / "images" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(holdfast-[a-z]+)` \|.*\| ([0-9.]+) \|$", table, re.MULTILINE)
    return {f"{name}.service": float(most) for name, most in rows}


def test_every_unit_is_in_the_table() -> None:
    assert {unit.name for unit in UNITS} == set(thresholds())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_keeps_its_promises(unit: Path) -> None:
    found = directives(unit)
    for name, value in PROMISED.items():
        assert found.get(name) == [value], name
    assert found["User"] == [unit.stem]
    assert found["StateDirectoryMode"][0] in {"0700", "0750"}
    assert not any("Environment" in name for name in found), "secrets are never in an environment"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_program_that_exists(unit: Path) -> None:
    scripts = {"broker-with-key"}
    for member in [*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("*/pyproject.toml")]:
        scripts |= set(tomllib.loads(member.read_text())["project"].get("scripts", {}))
    started = Path(directives(unit)["ExecStart"][0].split()[0]).name
    assert started in scripts


def test_each_user_is_declared() -> None:
    declared = (ROOT / "images" / "units" / "holdfast.sysusers").read_text(encoding="utf-8")
    for unit in UNITS:
        found = directives(unit)
        names = found["User"] + found.get("SupplementaryGroups", [])
        assert all(re.search(rf"^[ug] {name}\b", declared, re.MULTILINE) for name in names)


@pytest.mark.parametrize("name", ["minter", "importer"])
def test_what_reads_media_or_holds_keys_has_no_network(name: str) -> None:
    found = directives(ROOT / "images" / "units" / f"holdfast-{name}.service")
    assert found["PrivateNetwork"] == ["yes"]
    assert found["RestrictAddressFamilies"] == ["AF_UNIX"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_exposure_stays_below_its_threshold(unit: Path) -> None:
    tool = shutil.which("systemd-analyze")
    assert tool, "systemd-analyze is missing; make dev installs it (Debian package systemd)"
    shown = subprocess.run(
        [tool, "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=30, check=False,
    ).stdout  # fmt: skip
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
    assert exposure, shown[-500:]
    assert float(exposure[1]) <= thresholds()[unit.name]
