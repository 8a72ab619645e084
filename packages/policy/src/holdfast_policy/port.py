"""The policy port: one question, one decision that says by which rules.

Whoever answers fails closed: what it cannot decide is a denial. Questions carry facts that the
asker verified itself; a policy never looks anything up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, Protocol

import msgspec

from holdfast_policy.logic.labels import Classification, Label

Act = Literal["infer", "grant", "place"]

ENGINE_ERROR: Final = "engine-error"
"""The rule of a denial because the policy engine could not decide."""
DISAGREEMENT: Final = "disagreement"
"""The rule of a denial because the engine allowed what an invariant forbids."""
POLICY_UNKNOWN: Final = "policy-unknown"
"""The rule of a denial because the policy in force cannot be read."""
RESERVED_RULES: Final = frozenset({ENGINE_ERROR, DISAGREEMENT, POLICY_UNKNOWN})


class AppFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an application's signed record says, and whether an officer denied it."""

    app: str
    zone: str
    aliases: frozenset[str]
    denied: bool = False


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node's signed site certificate says, and whether an officer denied it.

    ``clearances`` are the most secret data it may see, one per scheme; without one for a scheme
    it may see nothing of it above level 0.
    """

    node: str
    jurisdiction: str
    zones: frozenset[str]
    not_after_s: int
    clearances: tuple[Classification, ...] = ()
    denied: bool = False


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which model would answer, and whether an officer denied it."""

    digest: str
    denied: bool = False


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """May ``app`` have ``alias`` answered on ``node`` by ``model``, for data labelled ``label``?

    ``infer`` is a request; ``grant`` and ``place`` begin something new, for which dates count.
    ``now_s`` is Unix time.
    """

    act: Act
    app: AppFacts
    alias: str
    label: Label
    node: NodeFacts
    model: ModelFacts
    now_s: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, the ids of the rules that determined it (sorted), and one sentence."""

    decision: Literal["allow", "deny"]
    rules: tuple[str, ...]
    sentence: str

    @property
    def allowed(self) -> bool:
        return self.decision == "allow"


class Policy(Protocol):
    """Decides questions."""

    def decide(self, question: Question) -> Decision:
        """Return the decision; never raises for a question that is well formed."""
        ...


Alarm = Callable[[Question, Decision], None]
"""Told of a question and its denial by a reserved rule; counts and tells people. May not raise."""
