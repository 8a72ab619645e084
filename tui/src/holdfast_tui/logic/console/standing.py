"""How a thing stands, as a word and a mark that need no colour."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from holdfast_tui.logic import numbers
from holdfast_tui.logic.console.known import LOST_S

Kind = Literal["plain", "good", "busy", "warn", "bad", "stale", "dim", "head", "bar", "cursor"]

_MARKS: Final[dict[str, tuple[str, Kind]]] = {
    "ok": (" ", "plain"),
    "ready": (" ", "plain"),
    "approved": (" ", "plain"),
    "committed": (" ", "plain"),
    "pending": ("*", "busy"),
    "planned": ("*", "busy"),
    "fetching": ("*", "busy"),
    "loading": ("*", "busy"),
    "probing": ("*", "busy"),
    "draining": ("-", "busy"),
    "stopped": ("-", "dim"),
    "quarantined": ("^", "warn"),
    "late": ("^", "warn"),
    "degraded": ("^", "warn"),
    "unknown": ("?", "stale"),
    "stale": ("?", "stale"),
    "retired": ("-", "dim"),
    "expired": ("-", "dim"),
    "rejected": ("-", "dim"),
    "denied": ("!", "bad"),
    "broken": ("!", "bad"),
    "failed": ("!", "bad"),
    "down": ("x", "bad"),
    "lost": ("x", "bad"),
}


class Standing(NamedTuple):
    """A word for a column, a mark before the row, and what kind of news it is."""

    word: str
    mark: str
    kind: Kind

    @property
    def ok(self) -> bool:
        """Whether it counts as well; what is stale never does."""
        return self.kind == "plain"


def of(state: str) -> Standing:
    """Return how a thing in ``state`` stands; a state of a newer site is shown as a question."""
    mark, kind = _MARKS.get(state, ("?", "stale"))
    return Standing(state.upper(), mark, kind)


def aged(state: str, age_s: float | None, since_s: float) -> Standing:
    """Return how a thing stands that reports by itself, ``since_s`` after its age was told.

    What was well and is not heard any more is stale, in words; what was not well stays so.
    """
    standing = of(state)
    if not standing.ok:
        return standing
    if age_s is None:
        return Standing("n/a", ".", "stale")
    age_now_s = age_s + since_s
    if age_now_s > LOST_S:
        return Standing(f"STALE {numbers.seen(age_now_s)}", "?", "stale")
    return standing


def frozen(standing: Standing) -> Standing:
    """Return how a thing stood before the link was lost: in brackets, and not well."""
    return Standing(f"({standing.word})", "?", "stale")
