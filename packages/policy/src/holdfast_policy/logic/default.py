"""The policy that is built in: what holds before officers bring a policy of their own.

Every rule is a reason to deny, written as "unless it is good"; what no rule denies is allowed. It
may be tightened from outside, never loosened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import Decision, Question

Rule = Callable[[Registry, Question], bool]
ALLOWED: Final = "default-allow"


class DefaultPolicy:
    """Home zone only, within the residency, with nothing denied; by the site's registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def decide(self, question: Question) -> Decision:
        """Return the decision with every rule that denies, or ``default-allow``."""
        broken = sorted(
            name for name, (good, _) in _RULES.items() if not good(self._registry, question)
        )
        if broken:
            return Decision(decision="deny", rules=tuple(broken), sentence=_RULES[broken[0]][1])
        return Decision(
            decision="allow",
            rules=(ALLOWED,),
            sentence="The node is in the application's home zone and within its residency.",
        )


def _residency(registry: Registry, q: Question) -> bool:
    return registry.covers(q.label.residency, q.node.jurisdiction)


def _home_zone(registry: Registry, q: Question) -> bool:
    return q.app.zone in q.node.zones


def _zone_of_jurisdiction(registry: Registry, q: Question) -> bool:
    # A certificate that lists a zone of another country must not carry data into that zone.
    where = registry.jurisdiction_of(q.app.zone)
    return where is not None and registry.covers((where,), q.node.jurisdiction)


def _alias(registry: Registry, q: Question) -> bool:
    return q.alias in q.app.aliases


def _classification(registry: Registry, q: Question) -> bool:
    wanted = q.label.classification
    return wanted.level == 0 or any(
        cleared.scheme == wanted.scheme and cleared.level >= wanted.level
        for cleared in q.node.clearances
    )


def _certificate(registry: Registry, q: Question) -> bool:
    # Dates stop what is new; what runs is stopped by officers only.
    return q.act == "infer" or q.now_s < q.node.not_after_s


def _not_denied(registry: Registry, q: Question) -> bool:
    return not (q.app.denied or q.node.denied or q.model.denied)


_RULES: Final[dict[str, tuple[Rule, str]]] = {
    "alias-granted": (_alias, "The application's record does not name this alias."),
    "certificate-valid": (_certificate, "The node's site certificate has ended."),
    "classification": (_classification, "The node is not cleared for data of this class."),
    "home-zone": (_home_zone, "The node does not serve the application's home zone."),
    "not-denied": (_not_denied, "An officer denied the application, the node or the model."),
    "residency": (_residency, "The node lies outside the residency of the data."),
    "zone-jurisdiction": (_zone_of_jurisdiction, "The node lies outside the zone's jurisdiction."),
}
