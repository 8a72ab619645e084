"""One pass: look at the whole state, say what has become true. Level-triggered, idempotent.

Nothing here reacts to an event. A pass over a state in which its facts were folded returns
nothing new, so the core repeats passes until one is empty.
"""

from __future__ import annotations

from holdfast_controller.logic import requests
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.reconcile import fleet, imports, replicas, routes
from holdfast_controller.logic.reconcile.view import View


def reconcile(view: View, budget: int) -> list[list[AnyFact]]:
    """Return decisions, each a list of facts that belong together; ``budget`` bounds placements.

    What is seen comes before what is decided: a node that returned in this pass is not replaced
    in it.
    """
    seen = [
        *([fact] for fact in fleet.nodes(view)),
        *([fact] for fact in fleet.slots(view)),
        *([fact] for fact in fleet.brokers(view)),
    ]
    if seen:
        return seen
    decided: list[list[AnyFact]] = [[fact] for fact in requests.expired(view.state, view.now_s)]
    decided += imports.settled(view)
    decided += [[fact] for fact in replicas.withdrawals(view)]
    if decided:
        return decided
    placed = replicas.placements(view, budget)
    return placed or [[fact] for fact in routes.changes(view)]
