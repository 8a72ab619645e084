"""The fail-closed shell around Cedar: whatever goes wrong in there is a denial.

This is the one place that may catch everything, because the alternative to a denial would be an
exception whose handler somewhere above might not know that it has to deny.
"""

from __future__ import annotations

from typing import Protocol

from holdfast_protocol.limits import DECISIONS_KEPT

from holdfast_policy.port import ENGINE_ERROR, Decision, Question


class Asked(Protocol):
    """An engine: decides, or raises."""

    def ask(self, question: Question) -> Decision:
        """Return a clean decision; raises anything where there is none."""
        ...


class CedarPolicy:
    """One engine's decisions, remembered, and its failures as denials by ``engine-error``.

    What is remembered belongs to one engine, so to one policy text and one registry: both new
    policies and a new registry come as a new engine with nothing remembered. The rest of the key
    is every fact that a policy can see. Only requests are remembered, since nothing of theirs
    depends on the time, and only clean decisions.
    """

    def __init__(self, engine: Asked) -> None:
        self._engine = engine
        self._known: dict[object, Decision] = {}

    def decide(self, question: Question) -> Decision:
        """Return the decision; whatever fails is a denial, never an exception."""
        try:
            return self._decide(question)
        except Exception as error:
            return _undecided(error)
        except BaseException as error:
            # A panic of the native code comes as a class of its own beside Exception.
            if type(error).__module__ != "pyo3_runtime":
                raise
            return _undecided(error)

    def _decide(self, question: Question) -> Decision:
        if question.act != "infer":
            return self._engine.ask(question)
        key = (question.label, question.alias, question.app, question.node, question.model)
        known = self._known.get(key)
        if known is None:
            known = self._engine.ask(question)
            if len(self._known) >= DECISIONS_KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = known
        return known


def _undecided(error: BaseException) -> Decision:
    return Decision(
        decision="deny",
        rules=(ENGINE_ERROR,),
        sentence=f"The policy engine could not decide: {ascii(str(error))[1:-1][:300]}.",
    )
