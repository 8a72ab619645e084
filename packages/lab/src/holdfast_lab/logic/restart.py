"""When a program that ended is started again: at once, then after longer and longer pauses."""

from __future__ import annotations

from typing import Final

PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 5.0
STEADY_S: Final = 30.0
"""A program that ran this long is forgiven what came before."""


def pause_s(failures: int) -> float:
    """Return how long to wait before start number ``failures`` after a steady run."""
    return float(min(PAUSE_FIRST_S * 2 ** max(failures - 1, 0), PAUSE_MAX_S))


def failures_after(failures: int, ran_s: float) -> int:
    """Return the count of failures in a row after a run of ``ran_s`` seconds has ended."""
    return 1 if ran_s >= STEADY_S else failures + 1


def ending(returncode: int) -> str:
    """Say in words how a program ended."""
    if returncode < 0:
        return f"was killed by signal {-returncode}"
    return f"ended with exit code {returncode}"
