"""Two opinions, one decision: allowed is only what both allow."""

from __future__ import annotations

from holdfast_policy.port import DISAGREEMENT, ENGINE_ERROR, Alarm, Decision, Policy, Question


class CombinedPolicy:
    """The policy engine's decision, checked by the invariants, which can only deny.

    ``alarm`` is told of every decision that no question should lead to: the engine failed
    (``engine-error``), or it allowed what an invariant forbids (``disagreement``).
    """

    def __init__(self, engine: Policy, invariants: Policy, alarm: Alarm) -> None:
        self._engine = engine
        self._invariants = invariants
        self._alarm = alarm

    def decide(self, question: Question) -> Decision:
        """Return the engine's decision, or a denial where the invariants do not hold."""
        decision = self._engine.decide(question)
        if decision.allowed:
            # Asked afresh each time: what the engine remembers is checked too.
            second = self._invariants.decide(question)
            if second.allowed:
                return decision
            decision = Decision(
                decision="deny",
                rules=tuple(sorted((DISAGREEMENT, *second.rules))),
                sentence=f"The policy engine allows what must not be: {second.sentence}",
            )
        elif ENGINE_ERROR not in decision.rules:
            return decision
        self._alarm(question, decision)
        return decision
