"""How many requests run on each of this node's slots, and who is told when one is free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from holdfast_protocol.messages import LocalSlot


class Slots:
    """Requests in flight by slot; ``on_free`` hears the alias of a slot that got room."""

    def __init__(self) -> None:
        self._in_flight: Counter[str] = Counter()
        self.on_free: Callable[[str], None] = lambda alias: None

    def acquire(self, slot: LocalSlot) -> bool:
        """Take a place on ``slot`` if one is free; give it back by :meth:`release`."""
        if self._in_flight[slot.slot] >= slot.capacity:
            return False
        self._in_flight[slot.slot] += 1
        return True

    def release(self, slot: LocalSlot) -> None:
        """Give a place back."""
        self._in_flight[slot.slot] -= 1
        if not self._in_flight[slot.slot]:
            del self._in_flight[slot.slot]
        self.on_free(slot.alias)

    def in_flight(self, slot: str) -> int:
        """Return how many run on a slot."""
        return self._in_flight[slot]

    def counts(self) -> dict[str, int]:
        """Return how many run, by slot; idle slots are absent."""
        return dict(self._in_flight)
