"""The second opinion: what must hold whatever the policy says, in plain Python.

It can only deny. It shares no code with the policy engine, so that one defect cannot open both;
of the registry it takes ``covers`` and the zones as they were listed. Read it from the top: a
question that reaches the end unbroken is not denied here.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import Decision, Question

HOLDS = "invariants-hold"


class Invariants:
    """Denies what breaks an invariant, by the site's registry."""

    def __init__(self, registry: Registry) -> None:
        self._covers = registry.covers
        self._zones: dict[str, str] = dict(registry.zones.items())

    def decide(self, question: Question) -> Decision:
        """Return a denial with every invariant that is broken, or ``invariants-hold``."""
        broken = sorted(self._broken(question))
        if not broken:
            return _UNBROKEN
        return Decision(
            decision="deny",
            rules=tuple(f"invariant-{name}" for name in broken),
            sentence=f"The invariant {broken[0]} does not hold.",
        )

    def _broken(self, q: Question) -> Iterator[str]:
        where, covers = q.node.jurisdiction, self._covers
        home = self._zones.get(q.app.zone)
        wanted = q.label.classification

        # Nothing unknown: an id that covers not even itself is not registered.
        for place in q.label.residency:
            if not covers((place,), place):
                yield "registered"
        if home is None or not q.node.zones <= self._zones.keys():
            yield "registered"

        if not covers(q.label.residency, where):
            yield "residency"
        if home is None or not covers((home,), where):
            yield "territory"
        if q.app.zone not in q.node.zones:
            yield "zone"
        if q.alias not in q.app.aliases:
            yield "alias"
        if q.app.denied or q.node.denied or q.model.denied:
            yield "denied"

        if wanted.level < 0 or wanted.level > 100:
            yield "level"
        elif wanted.level > 0:
            highest = 0
            for cleared in q.node.clearances:
                if cleared.scheme == wanted.scheme and cleared.level > highest:
                    highest = cleared.level
            if highest < wanted.level:
                yield "clearance"

        # Dates stop what is new. Written so that a time that is no number is too late as well.
        if q.act != "infer" and not 0 <= q.now_s < q.node.not_after_s:
            yield "date"


_UNBROKEN = Decision(decision="allow", rules=(HOLDS,), sentence="Every invariant holds.")
