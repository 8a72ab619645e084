"""The ground a history stands on: one clock on a heap, one dice, one trace, one weather.

Nothing here sleeps or asks the machine: a seed gives the same history in every process.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.sim.ceremony import START_S

TAIL_LINES: Final = 40


class BrokenError(AssertionError):
    """A rule of the world does not hold; ``rule`` names it in a few words."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


class Trace:
    """Every line of a history as one hash, and the last of them in words."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def note(self, now_s: float, text: str) -> None:
        """Add a line."""
        line = f"{now_s - START_S:9.3f} {text}"
        self.tail.append(line)
        self._hash.update(line.encode())

    @property
    def digest(self) -> str:
        """The hash of all lines so far, in hex."""
        return self._hash.hexdigest()


@dataclass
class Weather:
    """How bad things are; calm weather loses nothing and delays little."""

    loss: float = 0.0
    repeat: float = 0.0
    delay_s: float = 0.02
    doubt: float = 0.0
    """How often an append stays without an answer."""
    crash: float = 0.0
    """How often a program dies at one of its crash points."""
    failure: float = 0.0
    """How often a fetch or a load fails."""


@dataclass
class Ground:
    """Clock, heap, dice, trace and weather of one history."""

    dice: Random
    trace: Trace = field(default_factory=Trace)
    weather: Weather = field(default_factory=Weather)
    now_s: float = START_S
    steps: int = 0
    _heap: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Have ``call`` made in ``delay_s``; of equal times the first asked comes first."""
        self._count += 1
        heapq.heappush(self._heap, (self.now_s + delay_s, self._count, call))

    def run_until(self, end_s: float) -> None:
        """Make every call that is due until ``end_s``."""
        while self._heap and self._heap[0][0] <= end_s:
            self.now_s, _, call = heapq.heappop(self._heap)
            self.steps += 1
            call()
        self.now_s = end_s

    def note(self, text: str) -> None:
        """Add a line to the trace, with the time."""
        self.trace.note(self.now_s, text)

    def chance(self, probability: float) -> bool:
        """Throw the dice; a chance of zero throws nothing."""
        return probability > 0.0 and self.dice.random() < probability
