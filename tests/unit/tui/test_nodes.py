"""``node code`` and ``node enroll`` at a terminal: what is refused before anybody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.tui.desk import Desk


@pytest.mark.parametrize("life", ["1", "0h", "1w", "-5m", "1 h", ""])
def test_a_life_that_is_none(desk: Desk, life: str) -> None:
    said = desk.run("node", "code", "de-9", "--zone", "de", "--ttl", life, "--as", "officer-1")
    assert said.code == 2
    assert "30m, 1h or 2d" in said.err


def test_a_file_that_is_there_is_not_overwritten(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "de-9.code"
    out.write_text("mine")
    words = ("node", "code", "de-9", "--zone", "de", "--out", str(out), "--as", "officer-1")
    said = desk.run(*words, "--json")
    assert (said.code, said.json["error"]["code"]) == (2, "ALREADY_EXISTS")
    assert out.read_text() == "mine"


@pytest.mark.parametrize("verb", ["code", "enroll", "renew", "revoke", "cordon", "drain"])
def test_every_verb_of_nodes_has_help(desk: Desk, verb: str) -> None:
    said = desk.run("node", verb, "--help")
    assert said.code == 0
    assert "--json" in said.out
