"""What the console last heard of the site, and how old that is.

Times are of this machine's monotonic clock, at receipt: a sender's clock says nothing about age.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from holdfast_protocol.api import RequestView
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import NODE_DOWN_AFTER_S, NODE_LATE_AFTER_S
from holdfast_protocol.views import (
    DeploymentView,
    EventView,
    GpuView,
    ModelView,
    NodeView,
    StatusAnswer,
)

from holdfast_tui.logic import numbers

EVENTS_KEPT: Final = 2000
LATE_S: Final = NODE_LATE_AFTER_S
LOST_S: Final = NODE_DOWN_AFTER_S

LinkState = Literal["never", "ok", "late", "lost"]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One whole look at the site; ``events`` are only those after the last look."""

    status: StatusAnswer
    nodes: tuple[NodeView, ...]
    gpus: tuple[GpuView, ...]
    models: tuple[ModelView, ...]
    deployments: tuple[DeploymentView, ...]
    requests: tuple[RequestView, ...]
    events: tuple[EventView, ...]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The last look; ``problem`` says why there is no newer one. ``version`` rises with both."""

    picture: Picture | None = None
    heard_s: float | None = None
    problem: str | None = None
    version: int = 0


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what is shown is the site as it is; ``age_s`` since it was."""

    state: LinkState
    age_s: float | None

    @property
    def frozen(self) -> bool:
        """Whether nothing that is shown may count as true now."""
        return self.state in ("never", "lost")

    @property
    def words(self) -> str:
        """The link in words."""
        match self.state:
            case "never":
                return "LINK never"
            case "lost":
                return f"LINK LOST {numbers.seen(self.age_s)}"
            case _:
                return f"LINK {self.state} {numbers.seen(self.age_s)}"


def heard(known: Known, picture: Picture, now_s: float) -> Known:
    """Return what is known after a look; its events join those kept."""
    before = () if known.picture is None else known.picture.events
    last = before[-1].seq if before else 0
    later = tuple(event for event in picture.events if event.seq > last)
    kept = (before + later)[-EVENTS_KEPT:]
    return Known(
        picture=msgspec.structs.replace(picture, events=kept),
        heard_s=now_s,
        version=known.version + 1,
    )


def failed(known: Known, error: HoldfastError) -> Known:
    """Return what is known after a look that failed: the same, and why."""
    return msgspec.structs.replace(
        known, problem=f"{error.code}: {error.message}", version=known.version + 1
    )


def link(known: Known, now_s: float) -> Link:
    """Return how the link is; one failed look alone loses nothing, silence does."""
    if known.heard_s is None:
        return Link(state="never", age_s=None)
    age_s = max(0.0, now_s - known.heard_s)
    if age_s > LOST_S:
        return Link(state="lost", age_s=age_s)
    return Link(state="late" if age_s > LATE_S else "ok", age_s=age_s)
