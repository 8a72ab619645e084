"""Small files that must outlive a power cut: content, name and mode."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from holdfast_protocol.identity.credentials import write_private


def test_content_and_name_are_both_synced_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused as older must stay refused after a power cut, so the name counts too."""
    synced: list[str] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        names = sorted(path.name for path in tmp_path.iterdir())
        synced.append(f"folder with {names}" if folder else "file")
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_private(tmp_path / "stamp.json", b"1")
    assert synced == ["file", "folder with ['stamp.json']"]
    assert stat.S_IMODE((tmp_path / "stamp.json").stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_private(tmp_path / "file", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
