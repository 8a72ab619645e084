"""A controller whose journal is older than what was published stays out until it is whole again."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_controller.adapters.fence import Fence
from holdfast_protocol.errors import Code, HoldfastError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "highwater" / "fence.json"


def test_without_a_fence_any_journal_may_start(path: Path) -> None:
    Fence(path).check(0)


def test_restarts_never_wear_the_fence_off(path: Path) -> None:
    Fence(path).close(41, "de-1 has a newer document.")
    for _ in range(20):
        with pytest.raises(HoldfastError) as caught:
            Fence(path).check(41)
        assert caught.value.code is Code.JOURNAL_ROLLBACK
        assert "de-1 has a newer document." in caught.value.message


def test_a_longer_journal_opens_it_for_good(path: Path) -> None:
    Fence(path).close(41, "older")
    Fence(path).check(42)
    Fence(path).check(0)


def test_a_damaged_fence_is_closed(path: Path) -> None:
    Fence(path).close(41, "older")
    path.write_bytes(b"{")
    with pytest.raises(HoldfastError) as caught:
        Fence(path).check(10_000)
    assert caught.value.code is Code.JOURNAL_ROLLBACK
