"""The README's tour, typed line by line in an empty folder; its two commands exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.site import SCRIPTS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.real, pytest.mark.xdist_group("tour"), pytest.mark.timeout(180)]


def tour() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- tour -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert block, "the README has no tour"
    return block[1].splitlines()


def test_the_tour_is_true(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("HOLDFAST_SITE", None)
    environment.pop("HOLDFAST_AS", None)
    lines = tour()
    assert len(lines) > 20
    up = False
    try:
        for line in lines:
            words = shlex.split(line)
            program = sys.executable if words[0] == "python" else str(SCRIPTS / words[0])
            up = up or words[:3] == ["holdfast", "lab", "up"]
            done = subprocess.run(
                [program, *words[1:]], cwd=tmp_path, env=environment, capture_output=True,
                text=True, timeout=90, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, line
    finally:
        if up:
            subprocess.run(
                [str(SCRIPTS / "holdfast"), "lab", "down"],
                cwd=tmp_path, env=environment, timeout=60, check=False,
            )  # fmt: skip


def test_the_two_commands_are_targets() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "dev", "check", "bench", "sim", "help"} <= set(targets)
