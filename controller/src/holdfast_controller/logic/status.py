"""The site in one look, and what is not well in it."""

from __future__ import annotations

import msgspec
from holdfast_bundles.site.lives import CLOCK_SLACK_S
from holdfast_protocol import limits, views

from holdfast_controller.journal.port import Tail
from holdfast_controller.logic import policy
from holdfast_controller.logic.live import node_status
from holdfast_controller.logic.reconcile import View
from holdfast_controller.logic.views import deployment_status, gpus, models


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """Where the controller stands: its name and the journal's end."""

    controller: str
    tail: Tail


def status(view: View, seat: Seat) -> views.StatusAnswer:
    """Return counts with their denominators, and one sentence for each thing that is not well."""
    state = view.state
    site = state.founded()
    ok = [node for node in state.nodes if _is_ok(view, node)]
    cards = gpus(view).gpus
    ready = [
        alias
        for alias, each in state.deployments.items()
        if deployment_status(view, each) == "ready"
    ]
    return views.StatusAnswer(
        site=site.name,
        controller=seat.controller,
        zone=site.zone,
        epoch=state.epoch,
        commit=seat.tail.commit,
        records=seat.tail.seq,
        root=seat.tail.root.hex(),
        nodes_ok=len(ok),
        nodes_total=len(state.nodes),
        gpus_ok=sum(1 for each in cards if each.state == "ok"),
        gpus_total=len(cards),
        deployments_ready=len(ready),
        deployments_total=len(state.deployments),
        requests_pending=sum(1 for each in state.requests.values() if each.state == "pending"),
        models_approved=sum(1 for each in models(view).models if each.state == "approved"),
        snapshot=0 if state.stamp is None else state.stamp.snapshot,
        findings=tuple(findings(view, seat.tail)),
    )


def findings(view: View, tail: Tail) -> list[str]:
    """Return what is not well, one sentence each, in a fixed order."""
    state = view.state
    result = []
    for node in sorted(state.nodes):
        how = node_status(state, view.live, node, view.now_s)
        if how in ("down", "late"):
            result.append(f"Node {node} is {how}.")
        if how == "retired":
            result.append(f"Node {node} is revoked: {state.denied[f'node:{node}'].rstrip('.')}.")
        report = view.live.report(node)
        if report is not None and (report.epoch, report.generation) > (state.epoch, tail.commit):
            result.append(
                f"Node {node} accepted document {report.epoch}.{report.generation}, which this "
                f"journal never made: the journal is older than it was."
            )
        serial = policy.serial(state)
        if report is not None and how == "ok" and report.policy_serial != serial:
            result.append(f"Node {node} decides by policy {report.policy_serial}, not {serial}.")
        seen = state.nodes[node].seen
        if seen is not None and how == "ok" and seen.trust not in ("fresh", "offline_ok"):
            result.append(f"The site trust of {node} is {seen.trust}.")
    result += [
        f"GPU {card.uuid} of {card.node} is {card.state}."
        for card in gpus(view).gpus
        if card.state not in ("ok", "stale")
    ]
    result += _unconfirmed(view)
    for alias, each in sorted(state.deployments.items()):
        how_far = deployment_status(view, each)
        if how_far != "ready":
            result.append(f"Deployment {alias} is {how_far}.")
    result += policy.findings(state, view.now_s)
    stamp = state.stamp
    if stamp is None or view.now_s - stamp.at_ms / 1000 > 3 * limits.STAMP_EVERY_S:
        result.append("The site's trust has not been stamped for three hours.")
    elif stamp.at_ms / 1000 > view.now_s + CLOCK_SLACK_S:
        result.append("The controller's clock is behind its own last stamp; set it.")
    return result


def _unconfirmed(view: View) -> list[str]:
    """Return what officers stopped and no node has confirmed: loud until it is proven."""
    state = view.state
    result = []
    for (node, slot), replica in sorted(state.replicas.items()):
        model = state.models.get(replica.placed.digest)
        stopped = model is None or state.is_denied(model) or f"node:{node}" in state.denied
        if replica.withdrawn and stopped:
            result.append(f"{node} has not confirmed that {slot} stopped.")
    return result


def _is_ok(view: View, node: str) -> bool:
    return node_status(view.state, view.live, node, view.now_s) == "ok"
