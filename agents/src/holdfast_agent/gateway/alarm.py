"""What the gateway does with decisions that no question should lead to: counts, and says so."""

from __future__ import annotations

import logging
from typing import Final

from holdfast_policy.port import Decision, Question

_SAID_MAX: Final = 256

log = logging.getLogger("holdfast.gateway")


class PolicyAlarm:
    """Counts alarms by rule and logs each kind once, so that a flood of requests floods no log."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._said: set[tuple[str, ...]] = set()

    def __call__(self, question: Question, decision: Decision) -> None:
        """Take note of a denial by a reserved rule."""
        for rule in decision.rules:
            self.counts[rule] = self.counts.get(rule, 0) + 1
        kind = (question.app.app, question.node.node, *decision.rules)
        if kind not in self._said and len(self._said) < _SAID_MAX:
            self._said.add(kind)
            log.error(
                "Policy alarm for %s on %s, denied: %s (%s)",
                question.app.app,
                question.node.node,
                decision.sentence,
                ", ".join(decision.rules),
            )
