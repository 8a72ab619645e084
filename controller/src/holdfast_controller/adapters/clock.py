"""Unix time that never jumps: the wall clock at the start, carried on by the monotonic one."""

from __future__ import annotations

import time

from holdfast_protocol.limits import CLOCK_JUMP_S


class SteadyClock:
    """Small steps of the wall clock are followed; a jump is not, until the next start.

    A jump would make every node look silent, or sign "as of now" for another time.
    """

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def now_s(self) -> float:
        """Return Unix seconds."""
        offset_s = time.time() - time.monotonic()
        if abs(offset_s - self._offset_s) < CLOCK_JUMP_S:
            self._offset_s = offset_s
        return time.monotonic() + self._offset_s

    def jumped_s(self) -> float:
        """Return how far the wall clock is from this one."""
        return time.time() - time.monotonic() - self._offset_s
