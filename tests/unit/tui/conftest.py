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
    for name in ("HOLDFAST_AS", "HOLDFAST_SITE"):
        # Set first, so that what a command sets for other members is taken back afterwards.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path / "site", capsys)
