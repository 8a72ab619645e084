"""Routes against replicas: an alias is answered by what is ready on nodes that are there."""

from __future__ import annotations

from holdfast_controller.logic import facts
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.reconcile.view import View
from holdfast_controller.logic.state import Replica, State


def changes(view: View) -> list[AnyFact]:
    """Return the routes whose targets are no longer those in force, one epoch higher."""
    state = view.state
    by_alias = state.replicas_by_alias()
    result: list[AnyFact] = []
    for alias in sorted({*state.deployments, *state.routes}):
        known = state.routes.get(alias)
        route = _route(
            state, alias, by_alias.get(alias, []), 1 if known is None else known.epoch + 1
        )
        if known is None and not route.targets:
            continue
        if known is None or _content(known) != _content(route):
            result.append(route)
    return result


def _route(state: State, alias: str, replicas: list[Replica], epoch: int) -> facts.RouteChanged:
    deployment = state.deployments.get(alias)
    known = state.routes.get(alias)
    if deployment is not None:
        digest, operations = deployment.wish.digest, deployment.wish.operations
    else:
        digest = "" if known is None else known.digest
        operations = () if known is None else known.operations
    ready = [each for each in replicas if _answers(state, each)]
    return facts.RouteChanged(
        alias=alias,
        epoch=epoch,
        digest=digest,
        operations=operations,
        targets=tuple(
            facts.TargetFact(
                node=each.placed.node,
                zone=each.placed.zone,
                slot=each.placed.slot,
                capacity=each.capacity,
            )
            for each in ready
        ),
    )


def _answers(state: State, replica: Replica) -> bool:
    node = state.nodes.get(replica.placed.node)
    here = node is not None and node.lost_at_ms is None
    return here and replica.state == "ready"


def _content(route: facts.RouteChanged) -> object:
    return (route.digest, route.operations, route.targets)
