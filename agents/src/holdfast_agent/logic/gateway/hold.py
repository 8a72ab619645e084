"""The bounded, deadline-aware queue of requests that wait for a free slot, first come first served.

One queue per alias. Who cannot be answered before its deadline is refused at once rather than
kept: it would only keep others waiting.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Final, Generic, TypeVar

from holdfast_protocol.limits import HOLD_PER_SLOT

T = TypeVar("T")

_WEIGHT: Final = 0.2
_RETRY_MS_MIN: Final = 50
_RETRY_MS_MAX: Final = 5_000


class Pace:
    """How long a request of an alias takes, averaged; seconds."""

    def __init__(self) -> None:
        self._mean_s: float | None = None

    def took(self, seconds: float) -> None:
        """Take one more measurement into the average."""
        mean = seconds if self._mean_s is None else self._mean_s
        self._mean_s = mean + _WEIGHT * (seconds - mean)

    def wait_s(self, ahead: int, slots: int) -> float:
        """Return about how long the next waits behind ``ahead`` others; 0 where unknown."""
        if self._mean_s is None or slots <= 0:
            return 0.0
        return self._mean_s * (ahead + 1) / slots

    def retry_ms(self, ahead: int, slots: int, dice: random.Random) -> int:
        """Return when to try again: about when a slot is free, with jitter."""
        base = max(_RETRY_MS_MIN, int(self.wait_s(ahead, slots) * 1000))
        return min(_RETRY_MS_MAX, int(base * (1 + dice.random())))


class Hold(Generic[T]):
    """Who waits, in order; at most ``HOLD_PER_SLOT`` for each slot of the site."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def head(self) -> T | None:
        """Whose turn it is."""
        return self._waiting[0] if self._waiting else None

    def admits(self, slots: int, wait_s: float, left_s: float) -> bool:
        """Tell whether one more may wait: there is room, and it can still be answered."""
        return len(self._waiting) < HOLD_PER_SLOT * slots and wait_s < left_s

    def join(self, who: T) -> None:
        """Wait at the end; ask :meth:`admits` first."""
        self._waiting.append(who)

    def leave(self, who: T) -> None:
        """Wait no longer, from whatever place."""
        self._waiting.remove(who)
