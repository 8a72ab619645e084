"""The second opinion: what must hold whatever the policy says, in plain Python.

It can only deny. It shares no code with the policy engine, so that one defect cannot open both; of
the registry it takes ``covers`` and what was listed. Read it from the top: a question that reaches
the end with nothing broken is not denied here.
"""

from __future__ import annotations

from holdfast_policy.logic.labels import LEVEL_MAX, Classification
from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import Decision, Question

HOLDS = "invariants-hold"
_UNBROKEN = Decision(decision="allow", rules=(HOLDS,), sentence="Every invariant holds.")


class Invariants:
    """Denies what breaks an invariant, by the site's registry."""

    def __init__(self, registry: Registry) -> None:
        self._covers = registry.covers
        self._places: frozenset[str] = frozenset(registry.parents)
        self._zones: dict[str, str] = dict(registry.zones.items())

    def decide(self, question: Question) -> Decision:
        """Return a denial with every invariant that is broken, or ``invariants-hold``."""
        broken = self._broken(question)
        if not broken:
            return _UNBROKEN
        broken.sort()
        return Decision(
            decision="deny",
            rules=tuple(f"invariant-{name}" for name in broken),
            sentence=f"The invariant {broken[0]} does not hold.",
        )

    def _broken(self, q: Question) -> list[str]:
        app, label, node = q.app, q.label, q.node
        home = self._zones.get(app.zone)
        broken: list[str] = []
        if home is None or not (
            label.residency <= self._places and node.zones <= self._zones.keys()
        ):
            broken.append("registered")
        if not self._covers(label.residency, node.jurisdiction):
            broken.append("residency")
        if home is None or not self._covers((home,), node.jurisdiction):
            broken.append("territory")
        if app.zone not in node.zones:
            broken.append("zone")
        if q.alias not in app.aliases:
            broken.append("alias")
        if app.denied or node.denied or q.model.denied:
            broken.append("denied")
        if label.classification.level != 0 and not _cleared(label.classification, node.clearances):
            broken.append("clearance")
        # Dates stop what is new. Written so that a time that is no number is too late as well.
        if q.act != "infer" and not 0 <= q.now_s < node.not_after_s:
            broken.append("date")
        return broken


def _cleared(wanted: Classification, clearances: tuple[Classification, ...]) -> bool:
    """Tell whether the highest clearance of the same scheme suffices; beyond the scale none."""
    highest = 0
    for cleared in clearances:
        if cleared.scheme == wanted.scheme and cleared.level > highest:
            highest = cleared.level
    return 0 <= wanted.level <= min(highest, LEVEL_MAX)
