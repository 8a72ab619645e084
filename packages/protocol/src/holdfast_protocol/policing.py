"""The API's bodies about the policy: what is in force, why, and what another one changes."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["allow", "deny"]


class PolicyRule(msgspec.Struct, frozen=True, kw_only=True):
    """One policy of a bundle: its id, ``permit`` or ``forbid``, and why."""

    id: str
    effect: str
    reason: str


class PolicyNode(msgspec.Struct, frozen=True, kw_only=True):
    """Which policy a node decides by; ``behind`` until it is the one in force."""

    id: str
    serial: int
    behind: bool


class PolicyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force; serial 0, without digest and dates, is the product's own policy.

    Dates are Unix time. ``state`` is ``expired`` once ``not_after`` has passed: grants and new
    models stop, what runs goes on.
    """

    serial: int
    digest: str | None
    prev_digest: str | None
    effective_from: int | None
    not_after: int | None
    state: Literal["in-force", "expired"]
    rules: tuple[PolicyRule, ...]
    nodes: tuple[PolicyNode, ...]


class ExplainPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """May ``app`` have ``alias`` answered on ``node``? The rest narrows, as a request's headers."""

    app: str
    alias: str
    node: str
    residency: str | None = None
    classification: str | None = None
    purpose: str | None = None


class PolicyDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The decision by the policy in force, the rules that determined it, one sentence."""

    decision: Verdict
    rules: tuple[str, ...]
    sentence: str
    serial: int


class TryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What would change under this bundle (its canonical bytes)?"""

    bundle: bytes


class ProposePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Bring this bundle (its canonical bytes) into force.

    ``acknowledge`` names every flip from deny to allow that is meant.
    """

    bundle: bytes
    acknowledge: tuple[str, ...] = ()


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that would change; ``id`` is ``APP/ALIAS/NODE``. ``widens``: deny to allow."""

    id: str
    before: Verdict
    after: Verdict
    widens: bool
    rules: tuple[str, ...]


class WhatIfAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Every decision that would change among ``asked``: live placements times granted aliases."""

    serial: int
    digest: str
    asked: int
    flips: tuple[Flip, ...]
