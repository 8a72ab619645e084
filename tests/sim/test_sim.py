"""Whole sites by seed: every rule of the world holds in every history."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.history import Verdict, run

ROOT = Path(__file__).parents[2]
CHUNK = 20
CHUNKS = 8


def explained(verdict: Verdict) -> str:
    """Return what to read when a history failed, and how to see it again."""
    return "\n".join(
        (
            f"seed {verdict.seed} broke: {verdict.rule}: {verdict.detail}",
            f"again: make sim SEED={verdict.seed}",
            *verdict.tail,
        )
    )


def known_seeds() -> list[int]:
    lines = (ROOT / "tests/sim/regressions.txt").read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("first", [chunk * CHUNK for chunk in range(CHUNKS)])
def test_every_rule_holds(first: int) -> None:
    for seed in range(first, first + CHUNK):
        verdict = run(seed)
        assert verdict.rule is None, explained(verdict)


@pytest.mark.parametrize("seed", known_seeds())
def test_what_once_broke_holds(seed: int) -> None:
    verdict = run(seed)
    assert verdict.rule is None, explained(verdict)


def test_a_seed_is_one_history_in_every_process() -> None:
    traces = set()
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.sim", "--seed", "3", "--runs", "2", "--steps"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        traces.add(tuple(line for line in done.stdout.splitlines() if " trace " in line))
    assert len(traces) == 1
    assert len(traces.pop()) == 2
