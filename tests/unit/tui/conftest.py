"""What the tests of the command share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.tui.desk import Desk


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    """A desk in a fresh folder, with no settings of whoever runs the tests."""
    monkeypatch.delenv("HOLDFAST_AS", raising=False)
    monkeypatch.delenv("HOLDFAST_SITE", raising=False)
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path / "site", capsys)
