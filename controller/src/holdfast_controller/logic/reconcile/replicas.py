"""Replicas against wishes: which must go, which are missing, where the missing ones go."""

from __future__ import annotations

from typing import Literal, NamedTuple

from holdfast_protocol import limits

from holdfast_controller.logic import facts
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.placement import Board, candidates, may_stay, need
from holdfast_controller.logic.reconcile.view import View
from holdfast_controller.logic.state import Deployment, Replica, State

Gone = Literal[
    "undeployed", "replaced", "node-lost", "device-lost", "failed", "denied", "illegal", "drained"
]


def withdrawals(view: View) -> list[AnyFact]:
    """Return the replicas that must go, whether or not others can take their place."""
    if not view.state.replicas:
        return []
    by_alias = view.state.replicas_by_alias()
    result: list[AnyFact] = []
    for _, replica in sorted(view.state.replicas.items()):
        if replica.withdrawn:
            continue
        wished = view.state.deployments.get(replica.placed.alias)
        reason = _unwanted(view, wished, replica)
        if reason is not None:
            result.append(_withdrawn(replica, reason))
    for alias, deployment in sorted(view.state.deployments.items()):
        held = _Held.of(view.state, by_alias.get(alias, []))
        result += _surplus(view.state, deployment.wish, held)
    return result


def placements(view: View, budget: int) -> list[list[AnyFact]]:
    """Return at most ``budget`` placements; one that replaces a replica withdraws it too.

    A replica that is lost or failed goes only once another place was found for it: it may come
    back, and a wish with something is better than one with nothing.
    """
    openings = _openings(view)
    if not openings:
        return []
    board = Board(candidates(view.state, view.live, view.now_s))
    numbers: dict[str, int] = {}
    result: list[list[AnyFact]] = []
    for opening in openings:
        if len(result) >= budget:
            break
        filled = _fill(view, board, opening, numbers)
        result += [filled] if filled else []
    return result


class _Opening(NamedTuple):
    """A replica to be placed, in the place of ``given_up`` where there is one."""

    deployment: Deployment
    zone: str
    given_up: Replica | None


def _fill(view: View, board: Board, opening: _Opening, numbers: dict[str, int]) -> list[AnyFact]:
    """Return the facts of one placement, none if nothing fits."""
    wish, given_up = opening.deployment.wish, opening.given_up
    avoid = opening.deployment.failed_nodes
    if given_up is not None and given_up.state == "failed":
        avoid = (*avoid, given_up.placed.node)
    moving = None if given_up is None else (given_up.placed.node, wish.alias)
    choice = board.take(need(view.state, wish, opening.zone, avoid), moving).choice
    if choice is None:
        return []
    generation = numbers.get(wish.alias, view.state.generations.get(wish.alias, 0)) + 1
    numbers[wish.alias] = generation
    placed = facts.ReplicaPlaced(
        alias=wish.alias,
        zone=opening.zone,
        node=choice.node,
        device=choice.device,
        slot=f"{wish.alias}-{generation}",
        generation=generation,
        digest=wish.digest,
        claim_bytes=choice.claim_bytes,
        free_bytes=choice.free_bytes,
    )
    if given_up is None:
        return [placed]
    return [_withdrawn(given_up, _why(view, given_up)), placed]


def _why(view: View, given_up: Replica) -> Gone:
    node = view.state.nodes.get(given_up.placed.node)
    if node is not None and node.lost_at_ms is not None:
        return "node-lost"
    return "failed" if given_up.state == "failed" else "device-lost"


def _openings(view: View) -> list[_Opening]:
    by_alias = view.state.replicas_by_alias()
    result: list[_Opening] = []
    for alias, deployment in sorted(view.state.deployments.items()):
        model = view.state.models.get(deployment.wish.digest)
        # A model that is approved but not in the store yet has no bytes that a node could fetch.
        if model is None or not model.stored:
            continue
        for zone in deployment.wish.zones:
            here = [e for e in by_alias.get(alias, []) if e.placed.zone == zone]
            # One on a node that is drained answers until another does: it is not moved but doubled.
            staying = _Held.of(view.state, here).staying
            missing = max(0, deployment.wish.replicas - len(staying))
            given_up = [each for each in staying if _given_up(view, each)]
            result += [_Opening(deployment, zone, each) for each in given_up]
            result += [_Opening(deployment, zone, None)] * missing
    return result


def _given_up(view: View, replica: Replica) -> bool:
    node = view.state.nodes.get(replica.placed.node)
    if node is not None and node.lost_at_ms is not None:
        return view.now_ms - node.lost_at_ms >= limits.REPLACE_LOST_AFTER_S * 1000
    if replica.state == "failed":
        return view.now_ms - replica.changed_ms >= limits.REPLACE_FAILED_AFTER_S * 1000
    return _device_lost(view, replica)


def _device_lost(view: View, replica: Replica) -> bool:
    node = view.state.nodes.get(replica.placed.node)
    if node is None or node.seen is None:
        return False
    health = {device.uuid: device.health for device in node.seen.devices}
    return health.get(replica.placed.device, "lost") == "lost"


def _unwanted(view: View, deployment: Deployment | None, replica: Replica) -> Gone | None:
    placed = replica.placed
    if deployment is None or placed.zone not in deployment.wish.zones:
        return "undeployed"
    if deployment.wish.digest != placed.digest:
        return "replaced"
    state = view.state
    model = state.models.get(placed.digest)
    if model is None or state.is_denied(model):
        return "denied"
    node = state.nodes.get(placed.node)
    certificate = None if node is None else node.certificate
    denied = f"node:{placed.node}" in state.denied
    stays = may_stay(need(state, deployment.wish, placed.zone), placed.node, certificate, denied)
    return None if stays else "illegal"


class _Held(NamedTuple):
    """Replicas that stay where they are, and those on nodes that are being drained.

    Those that answer come first, then the older ones.
    """

    staying: list[Replica]
    leaving: list[Replica]

    @classmethod
    def of(cls, state: State, replicas: list[Replica]) -> _Held:
        """Return ``replicas`` parted."""
        ranked = sorted(replicas, key=lambda e: (not _answers(state, e), e.placed.generation))
        parts: tuple[list[Replica], list[Replica]] = ([], [])
        for each in ranked:
            parts[state.duty(each.placed.node) == "draining"].append(each)
        return cls(*parts)

    def within(self, zone: str) -> _Held:
        """Return the part in ``zone``."""
        return _Held(*([each for each in part if each.placed.zone == zone] for part in self))


def _surplus(state: State, wish: facts.DeploymentWished, replicas: _Held) -> list[AnyFact]:
    result: list[AnyFact] = []
    for zone in wish.zones:
        here = replicas.within(zone)
        kept = here.staying[: wish.replicas]
        result += [_withdrawn(each, "undeployed") for each in here.staying[wish.replicas :]]
        waited_for = sum(1 for each in kept if not _answers(state, each))
        owed = waited_for + wish.replicas - len(kept)
        result += [_withdrawn(each, "drained") for each in here.leaving[owed:]]
    return result


def _answers(state: State, replica: Replica) -> bool:
    node = state.nodes.get(replica.placed.node)
    return replica.state == "ready" and node is not None and node.lost_at_ms is None


def _withdrawn(replica: Replica, reason: Gone) -> facts.ReplicaWithdrawn:
    placed = replica.placed
    return facts.ReplicaWithdrawn(
        alias=placed.alias, node=placed.node, slot=placed.slot, reason=reason
    )
