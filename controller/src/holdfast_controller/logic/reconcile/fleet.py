"""What nodes, slots and brokers have become, by their absolute reports and by their silence."""

from __future__ import annotations

from holdfast_protocol import limits
from holdfast_protocol.messages import Report, SlotReport

from holdfast_controller.logic import facts
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.reconcile.view import View
from holdfast_controller.logic.state import Node, Replica

_TEXT_LENGTH = 300


def nodes(view: View) -> list[AnyFact]:
    """Return the nodes that changed, were lost or returned."""
    result: list[AnyFact] = []
    for node_id, node in sorted(view.state.nodes.items()):
        if node.certificate is not None:
            result += _node(view, node_id, node)
    return result


def slots(view: View) -> list[AnyFact]:
    """Return the replicas that reached another state, and withdrawn ones that are gone."""
    result: list[AnyFact] = []
    for node, replicas in view.state.replicas_by_node().items():
        report = view.live.report(node)
        if report is None:
            continue
        said = {each.slot: each for each in report.slots}
        for replica in replicas:
            slot = replica.placed.slot
            if slot in said:
                changed = _slot(view, node, replica, said[slot])
                result += [] if changed is None else [changed]
            elif replica.withdrawn and _obeyed(view, report, slot):
                result.append(facts.ReplicaGone(node=node, slot=slot))
    return result


def brokers(view: View) -> list[AnyFact]:
    """Return the brokers whose accounts are no longer those confirmed last."""
    result: list[AnyFact] = []
    # Only the site's brokers: a node may say whatever it likes under its own name.
    names = {each.name for each in view.documents.issuer.brokers}
    for broker, report in sorted(view.live.relays.items()):
        if broker not in names:
            continue
        known = view.state.confirmed.get(broker)
        accounts = tuple(sorted(set(report.accounts)))
        if known is None or known.accounts != accounts:
            result.append(
                facts.ClaimsConfirmed(
                    broker=broker, accounts=accounts, generation=report.generation
                )
            )
    return result


def _node(view: View, node_id: str, node: Node) -> list[AnyFact]:
    heard = view.live.heard.get(node_id)
    age_s = view.live.age_s(node_id, view.now_s)
    if age_s is None or heard is None or age_s > limits.NODE_DOWN_AFTER_S:
        return _silent(view, node_id, node, age_s)
    result: list[AnyFact] = []
    # Almost always it is the very object that was folded: see Live.hear.
    if node.seen is not heard.seen and node.seen != heard.seen:
        result.append(heard.seen)
    if node.lost_at_ms is not None:
        result.append(facts.NodeReturned(node=node_id))
    return result


def _silent(view: View, node_id: str, node: Node, age_s: float | None) -> list[AnyFact]:
    silent_s = view.now_s - view.live.started_s if age_s is None else age_s
    known = node.seen is not None and node.lost_at_ms is None
    if not known or silent_s <= limits.NODE_DOWN_AFTER_S:
        return []
    since_ms = int((view.now_s - silent_s) * 1000)
    return [facts.NodeLost(node=node_id, at_ms=view.now_ms, silent_since_ms=since_ms)]


def _slot(view: View, node: str, replica: Replica, said: SlotReport) -> AnyFact | None:
    if said.generation != replica.placed.generation:
        return None
    message = None if said.message is None else said.message[:_TEXT_LENGTH]
    capacity = said.capacity if said.state == "ready" else 0
    new = (said.state, said.code, message, capacity)
    if new == (replica.state, replica.code, replica.message, replica.capacity):
        return None
    return facts.SlotChanged(
        node=node,
        slot=said.slot,
        state=said.state,
        at_ms=view.now_ms,
        code=said.code,
        message=message,
        capacity=capacity,
    )


def _obeyed(view: View, report: Report, slot: str) -> bool:
    """Tell whether the node accepted the document in force, which no longer has the slot."""
    document = view.documents.current.get(report.node)
    return (
        document is not None
        and not document.holds(slot)
        and (report.epoch, report.generation) == (document.epoch, document.generation)
    )
