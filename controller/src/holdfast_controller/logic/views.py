"""What the controller shows of the site: pure views of the state and of this minute's reports."""

from __future__ import annotations

from typing import assert_never

from holdfast_protocol import views
from holdfast_protocol.messages import Device, Report

from holdfast_controller.logic import facts
from holdfast_controller.logic.live import node_status
from holdfast_controller.logic.placement import candidates, choose, need
from holdfast_controller.logic.reconcile import View
from holdfast_controller.logic.state import Deployment, Model, Node, Replica, State


def nodes(view: View) -> views.NodesAnswer:
    """Return every node that officers certified, by id."""
    return views.NodesAnswer(
        nodes=tuple(_node(view, node) for _, node in sorted(view.state.nodes.items()))
    )


def _node(view: View, node: Node) -> views.NodeView:
    report = view.live.report(node.id)
    signed, seen = node.certificate, node.seen
    replicas = [each for each in view.state.replicas_on(node.id) if not each.withdrawn]
    return views.NodeView(
        id=node.id,
        jurisdiction="" if signed is None else signed.jurisdiction,
        zones=() if signed is None else signed.zones,
        state=node_status(view.state, view.live, node.id, view.now_s),
        age_s=view.live.age_s(node.id, view.now_s),
        generation=0 if report is None else report.generation,
        desired_generation=view.documents.generation(node.id),
        trust="UNKNOWN" if seen is None else seen.trust,
        snapshot=0 if report is None else report.snapshot,
        gateway="down" if seen is None else seen.gateway,
        engine="" if seen is None else seen.engine,
        isolation="" if seen is None else seen.isolation,
        slots_ready=sum(1 for each in replicas if each.state == "ready"),
        slots_total=len(replicas),
        host_memory_total_bytes=None if report is None else report.host_memory_total_bytes,
        host_memory_used_bytes=None if report is None else report.host_memory_used_bytes,
        policy_serial=0 if report is None else report.policy_serial,
        duty=node.duty,
        reason=_why_out(view.state, node),
    )


def _why_out(state: State, node: Node) -> str | None:
    revoked = state.denied.get(f"node:{node.id}")
    if revoked is not None:
        return f"An officer revoked it: {revoked.rstrip('.')}."
    match node.duty:
        case "in-service":
            return None
        case "cordoned":
            return "Cordoned: nothing new goes there."
        case "draining":
            held = len(state.replicas_on(node.id))
            there = "1 replica is" if held == 1 else f"{held} replicas are"
            return f"Draining: {there} still there." if held else "Drained: empty."
        case _:
            assert_never(node.duty)


def gpus(view: View) -> views.GpusAnswer:
    """Return every GPU, by node and UUID; numbers only where a report came since the start."""
    result = []
    for node_id, node in sorted(view.state.nodes.items()):
        if node.seen is None:
            continue
        report = view.live.report(node_id)
        result += [
            _gpu(view, node_id, device, report)
            for device in node.seen.devices
            if device.kind == "gpu"
        ]
    return views.GpusAnswer(gpus=tuple(result))


def _gpu(
    view: View, node_id: str, device: facts.DeviceFact, report: Report | None
) -> views.GpuView:
    fresh = node_status(view.state, view.live, node_id, view.now_s) in ("ok", "late")
    now = _now(device.uuid, report)
    return views.GpuView(
        uuid=device.uuid,
        node=node_id,
        name=device.name,
        memory_total_bytes=device.memory_total_bytes,
        memory_used_bytes=None if now is None else now.memory_used_bytes,
        claimed_bytes=sum(
            each.placed.claim_bytes
            for each in view.state.replicas_on(node_id)
            if each.placed.device == device.uuid
        ),
        utilization_percent=None if now is None else now.utilization_percent,
        temperature_c=None if now is None else now.temperature_c,
        power_mw=None if now is None else now.power_mw,
        state=device.health if fresh else "stale",
        simulated=device.simulated,
        age_s=view.live.age_s(node_id, view.now_s),
    )


def _now(uuid: str, report: Report | None) -> Device | None:
    devices = () if report is None else report.devices
    return next((each for each in devices if each.uuid == uuid), None)


def models(view: View) -> views.ModelsAnswer:
    """Return every model in quarantine or in the store, by name and version."""
    return views.ModelsAnswer(
        models=tuple(
            _model(view, model)
            for model in sorted(
                view.state.models.values(),
                key=lambda each: (each.facts.name, each.facts.version, each.facts.digest),
            )
        )
    )


def _model(view: View, model: Model) -> views.ModelView:
    about = model.facts
    status: views.ModelStatus = "quarantined"
    if model.allowed:
        status = "approved"
    if view.state.is_denied(model):
        status = "denied"
    return views.ModelView(
        name=about.name,
        version=about.version,
        digest=about.digest,
        state=status,
        size_bytes=about.size_bytes,
        license=about.license,
        operations=about.operations,
        parents=about.parents,
        reason=view.state.denial_of(model),
    )


def deployments(view: View) -> views.DeploymentsAnswer:
    """Return every deployment with its replicas, by alias."""
    return views.DeploymentsAnswer(
        deployments=tuple(
            _deployment(view, each) for _, each in sorted(view.state.deployments.items())
        )
    )


def _deployment(view: View, deployment: Deployment) -> views.DeploymentView:
    wish = deployment.wish
    replicas = view.state.replicas_of(wish.alias)
    status = deployment_status(view, deployment)
    return views.DeploymentView(
        alias=wish.alias,
        model=wish.name,
        version=wish.version,
        digest=wish.digest,
        state=status,
        zones=wish.zones,
        replicas_wanted=wish.replicas * len(wish.zones),
        replicas=tuple(_replica(view, each) for each in replicas),
        reason=None if status == "ready" else _reason(view, deployment, replicas),
    )


def deployment_status(view: View, deployment: Deployment) -> views.DeploymentStatus:
    """Return ``ready`` once the alias answers somewhere, else how far it is."""
    alias = deployment.wish.alias
    if _denial(view, deployment) is not None:
        return "broken"
    route = view.state.routes.get(alias)
    if route is not None and route.targets and route.digest == deployment.wish.digest:
        return "ready"
    replicas = view.state.replicas_of(alias)
    if not replicas:
        return "pending"
    if all(_broken(view, each) for each in replicas):
        return "broken"
    return "loading" if any(each.state != "planned" for each in replicas) else "pending"


def _denial(view: View, deployment: Deployment) -> str | None:
    model = view.state.models.get(deployment.wish.digest)
    return None if model is None else view.state.denial_of(model)


def _broken(view: View, replica: Replica) -> bool:
    node = view.state.nodes.get(replica.placed.node)
    lost = node is None or node.lost_at_ms is not None
    return lost or replica.state == "failed"


def _replica(view: View, replica: Replica) -> views.ReplicaView:
    placed = replica.placed
    report = view.live.report(placed.node)
    slots = () if report is None else report.slots
    said = next((each for each in slots if each.slot == placed.slot), None)
    node = view.state.nodes.get(placed.node)
    lost = node is not None and node.lost_at_ms is not None
    return views.ReplicaView(
        node=placed.node,
        device=placed.device,
        generation=placed.generation,
        state="lost" if lost else replica.state,
        zone=placed.zone,
        code=replica.code,
        message=replica.message,
        in_flight=0 if said is None or lost else said.in_flight,
        bytes_done=None if said is None else said.bytes_done,
        bytes_total=None if said is None else said.bytes_total,
    )


def _reason(view: View, deployment: Deployment, replicas: list[Replica]) -> str | None:
    wish = deployment.wish
    denial = _denial(view, deployment)
    if denial is not None:
        return f"{wish.name}@{wish.version} is denied: {denial.rstrip('.')}."
    for each in replicas:
        if each.state == "failed":
            said = each.message or each.code or "it gave no reason"
            return f"{each.placed.slot} failed on {each.placed.node}: {said}"
    for zone in wish.zones:
        if any(each.placed.zone == zone for each in replicas):
            continue
        decision = choose(
            need(view.state, wish, zone, deployment.failed_nodes),
            candidates(view.state, view.live, view.now_s),
        )
        if decision.choice is None:
            why = [each.sentence for each in decision.rejections] or ["The site has no nodes."]
            return f"No node takes it in {zone}. {' '.join(why)}"
    states = sorted({each.state for each in replicas})
    return f"Its replicas are {', '.join(states)}." if states else "It waits to be placed."
