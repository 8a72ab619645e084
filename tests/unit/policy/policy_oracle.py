"""The base policy written down a third time, as a table: what the tests compare with.

It takes the territory of every jurisdiction by walking the listed parents itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import ENGINE_ERROR, Decision, Question

Rule = Callable[[Registry, Question], bool]


class Oracle:
    """Home zone only, within the residency, with nothing denied; by the site's registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def decide(self, question: Question) -> Decision:
        """Return the decision with every rule that denies, or the permit."""
        if not _sane(self._registry, question):
            return Decision(decision="deny", rules=(ENGINE_ERROR,), sentence="")
        broken = sorted(name for name, good in _RULES.items() if not good(self._registry, question))
        permit = "permit-infer" if question.act == "infer" else "permit-new"
        rules = tuple(broken) or (permit,)
        return Decision(decision="deny" if broken else "allow", rules=rules, sentence="")


def lies_in(registry: Registry, where: str, territory: str) -> bool:
    """Tell whether one listed jurisdiction is another one or below it."""
    above = {str(name): parents for name, parents in registry.parents.items()}[where]
    return where == territory or any(lies_in(registry, parent, territory) for parent in above)


def _sane(registry: Registry, q: Question) -> bool:
    places = {*q.label.residency, q.node.jurisdiction}
    zones = {*q.node.zones, q.app.zone}
    return (
        places <= registry.parents.keys()
        and zones <= registry.zones.keys()
        and q.label.classification.level in range(101)
        and (q.act == "infer" or q.now_s >= 0)
    )


def _residency(registry: Registry, q: Question) -> bool:
    return any(lies_in(registry, q.node.jurisdiction, place) for place in q.label.residency)


def _zone_jurisdiction(registry: Registry, q: Question) -> bool:
    where = {str(zone): where for zone, where in registry.zones.items()}[q.app.zone]
    return lies_in(registry, q.node.jurisdiction, where)


def _classification(registry: Registry, q: Question) -> bool:
    wanted = q.label.classification
    return wanted.level == 0 or any(
        cleared.scheme == wanted.scheme and cleared.level >= wanted.level
        for cleared in q.node.clearances
    )


_RULES: Final[dict[str, Rule]] = {
    "alias-granted": lambda _, q: q.alias in q.app.aliases,
    "app-denied": lambda _, q: not q.app.denied,
    "certificate-valid": lambda _, q: q.act == "infer" or q.now_s < q.node.not_after_s,
    "classification": _classification,
    "home-zone": lambda _, q: q.app.zone in q.node.zones,
    "model-denied": lambda _, q: not q.model.denied,
    "node-denied": lambda _, q: not q.node.denied,
    "residency": _residency,
    "zone-jurisdiction": _zone_jurisdiction,
}
