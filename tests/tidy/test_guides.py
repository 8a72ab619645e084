"""The guides' tables are the program's tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from holdfast_protocol import subjects

from tools.docs import tables

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(tables.PAGES))
def test_guide_is_what_the_program_says(name: str) -> None:
    written = (tables.GUIDES / name).read_text(encoding="utf-8")
    assert written == tables.PAGES[name](), "run: .venv/bin/python tools/docs/tables.py"


def test_subjects_are_built_in_one_file() -> None:
    literal = re.compile(r"[\"'](hf\.v1\.|infer\.v1\.)")
    for source in [*ROOT.glob("packages/*/src/**/*.py"), *ROOT.glob("*/src/**/*.py")]:
        if source.name in {"subjects.py", "accounts.py"}:
            continue  # accounts.py writes the exports of the broker, from the same tokens
        found = literal.search(source.read_text(encoding="utf-8"))
        assert found is None, f"{source}: {found}"


def test_every_subject_builder_is_documented() -> None:
    planes = {subject.split(".")[2] for subject in subjects.DOCUMENTED if subject.startswith("hf")}
    built = {
        subjects.desired("n"), subjects.command("n", "v"), subjects.event("n", "k"),
        subjects.telemetry("n", "k"), subjects.heartbeat("n"), subjects.tuf("n"),
        subjects.api("w", "r", "v"), subjects.run("z", "n"), subjects.cancel_relay("z", "n"),
        subjects.enrolment("x"),
    }  # fmt: skip
    assert {subject.split(".")[2] for subject in built} <= planes


def test_documents_name_no_workplace() -> None:
    words = ("/work/", "../shared", "helper session", "issue #")
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], path
