"""How busy the peers are, as far as this gateway knows: their last word and what it sent since."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from holdfast_protocol.messages import Count, RouteTarget

FRESH_S: Final = 1.0
# Requests that wait ask a full peer again after this: a slot may be free by then.
FULL_FRESH_S: Final = 0.1


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The executing gateway's word on a forwarded request, with its load for the next choice.

    ``accepted`` means it answers the caller itself; ``full``, ``moved`` and ``refused`` mean that
    nothing was run and another may be tried.
    """

    answer: Literal["accepted", "full", "moved", "refused"]
    in_flight: Count = 0
    capacity: Count = 0


class _Known(NamedTuple):
    in_flight: int
    capacity: int
    at_s: float


class Peers:
    """Loads of (node, slot) pairs."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._known: dict[tuple[str, str], _Known] = {}

    def heard(self, target: RouteTarget, ack: Ack, now_s: float) -> None:
        """Take what the peer said."""
        capacity = ack.capacity or target.capacity
        in_flight = max(ack.in_flight, capacity) if ack.answer == "full" else ack.in_flight
        self._known[target.node, target.slot] = _Known(in_flight, capacity, now_s)

    def choose(
        self, targets: Sequence[RouteTarget], tried: Collection[tuple[str, str]], now_s: float
    ) -> RouteTarget | None:
        """Return the least loaded of ``targets`` that was not tried and is not known to be full.

        Load is the share of slots in use as last heard within ``FRESH_S``, unknown counts as
        idle; equals are chosen by dice, so that gateways do not all pick the same one. None where
        nobody is left to ask.
        """
        loads = [
            (self._load(t, now_s), t)
            for t in targets
            if (t.node, t.slot) not in tried and not self._full(t, now_s)
        ]
        if not loads:
            return None
        least = min(load for load, _ in loads)
        best = sorted((t for load, t in loads if load == least), key=lambda t: (t.node, t.slot))
        return self._dice.choice(best)

    def forget(self, live: Collection[tuple[str, str]]) -> None:
        """Drop what is known of slots that are in no route any more."""
        for key in [key for key in self._known if key not in live]:
            del self._known[key]

    def _load(self, target: RouteTarget, now_s: float) -> float:
        known = self._known.get((target.node, target.slot))
        if known is None or now_s - known.at_s > FRESH_S:
            return 0.0
        return known.in_flight / max(1, known.capacity)

    def _full(self, target: RouteTarget, now_s: float) -> bool:
        known = self._known.get((target.node, target.slot))
        fresh = known is not None and now_s - known.at_s <= FULL_FRESH_S
        return fresh and known is not None and known.in_flight >= known.capacity
