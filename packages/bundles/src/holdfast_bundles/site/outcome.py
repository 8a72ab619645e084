"""What a refresh or a look at the cache came to; ``judgement.py`` says what it permits."""

from __future__ import annotations

import enum

import msgspec


class Outcome(enum.StrEnum):
    """One word for the state of a node's trust."""

    FRESH = "fresh"
    """Reached, verified, in date."""
    OFFLINE_OK = "offline_ok"
    """Not reached; the cache is intact and in date."""
    STALE = "stale"
    """Not reached; the cache is intact and a date in it has passed."""
    EXPIRED = "expired"
    """Reached, and what is served has passed its date."""
    REFUSED = "refused"
    """Reached, and what is served was refused; the cache is untouched. A security alarm."""
    DAMAGED = "damaged"
    """The cache cannot be verified, or is older than its marks; the next contact heals it."""
    CLOCK_BEHIND = "clock_behind"
    """This machine's clock is behind what has been signed already."""


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one refresh: the outcome, the file it is about, why, what is held now."""

    outcome: Outcome
    file: str | None = None
    reason: str = ""
    snapshot_version: int = 0
    changed: bool = False
