"""What a pass of reconciling looks at, all of it read only."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_controller.logic.desired import Documents
from holdfast_controller.logic.live import Live
from holdfast_controller.logic.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """State, this minute's reports, the documents in force, the time."""

    state: State
    live: Live
    documents: Documents
    now_s: float

    @property
    def now_ms(self) -> int:
        """The time as facts carry it."""
        return int(self.now_s * 1000)
