"""What the site's lists say, as cells of text: one place for commands and console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from holdfast_protocol.api import AppView, ExplainAnswer, RequestView
from holdfast_protocol.views import (
    DeploymentView,
    EventView,
    GpuView,
    ModelView,
    NodeView,
    ReplicaView,
    StatusAnswer,
)

from holdfast_tui.logic import numbers
from holdfast_tui.logic.table import pairs, table
from holdfast_tui.logic.text import NOT_KNOWN, clean


class Listing(NamedTuple):
    """A table's heading and rows; ``empty`` says what to do where there are none."""

    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    empty: str

    def lines(self) -> list[str]:
        """Return the table as plain lines."""
        return table(self.heads, self.rows) if self.rows else [self.empty]


def nodes(views: Sequence[NodeView]) -> Listing:
    """Every node, one line each."""
    return Listing(
        _heads("NODE JURISDICTION STATE >AGE GATEWAY >READY TRUST >MEMORY ISOLATION WHY"),
        [
            (
                one.id,
                one.jurisdiction,
                one.state,
                numbers.age(one.age_s),
                one.gateway or NOT_KNOWN,
                f"{one.slots_ready}/{one.slots_total}",
                one.trust or NOT_KNOWN,
                numbers.used(one.host_memory_used_bytes, one.host_memory_total_bytes),
                one.isolation or NOT_KNOWN,
                one.reason or "-",
            )
            for one in views
        ],
        "No nodes yet. A node appears once it is certified: holdfast lab up brings three.",
    )


def gpu_name(one: GpuView) -> str:
    """Return the GPU's name; one that is simulated says so."""
    said = "simulated" in one.name.lower() or not one.simulated
    return one.name if said else f"{one.name} (simulated)"


def gpus(views: Sequence[GpuView]) -> Listing:
    """Every GPU, one line each."""
    return Listing(
        _heads("NODE NAME STATE >MEMORY >CLAIMED >UTIL >TEMP >POWER >AGE UUID"),
        [
            (
                one.node,
                gpu_name(one),
                one.state,
                numbers.used(one.memory_used_bytes, one.memory_total_bytes),
                numbers.size(one.claimed_bytes),
                numbers.percent(one.utilization_percent),
                numbers.celsius(one.temperature_c),
                numbers.watts(one.power_mw),
                numbers.age(one.age_s),
                one.uuid,
            )
            for one in views
        ],
        "No GPUs. Nodes without them serve on their CPU: holdfast nodes.",
    )


def models(views: Sequence[ModelView]) -> Listing:
    """Every model, one line each."""
    return Listing(
        ("MODEL", "STATE", ">SIZE", "LICENCE", "DOES", "DIGEST"),
        [
            (
                f"{one.name}@{one.version}",
                one.state,
                numbers.size(one.size_bytes),
                one.license,
                " ".join(one.operations) or NOT_KNOWN,
                one.digest,
            )
            for one in views
        ],
        "No models yet. Insert the stick, then: holdfast import PATH.",
    )


def deployments(views: Sequence[DeploymentView]) -> Listing:
    """Every replica of every alias; an alias without replicas has a line too."""
    rows: list[tuple[str, ...]] = []
    for one in views:
        head = (one.alias, f"{one.model}@{one.version}", one.state)
        if not one.replicas:
            zones = " ".join(one.zones)
            rows.append((*head, f"0/{one.replicas_wanted}", zones, "-", "-", one.reason or ""))
        for replica in one.replicas:
            here = f"{_serving(one)}/{one.replicas_wanted}"
            place = (replica.zone, replica.node, _replica_state(replica))
            rows.append((*head, here, *place, replica.message or one.reason or ""))
    return Listing(
        ("ALIAS", "MODEL", "STATE", ">READY", "ZONE", "NODE", "REPLICA", "WHY"),
        rows,
        "No deployments yet. Next: holdfast deploy V/MODEL@N --alias ALIAS.",
    )


def requests(views: Sequence[RequestView]) -> Listing:
    """Every request, one line each."""
    return Listing(
        ("ID", "KIND", "STATE", ">SIGNED", "BY", "MADE", "WHAT"),
        [
            (
                one.id,
                one.kind,
                one.state,
                f"{one.approvals}/{one.needed}",
                " ".join(one.signed_by) or "-",
                f"{one.created_by} {numbers.moment(one.created)}",
                one.summary,
            )
            for one in views
        ],
        "No requests. They appear when something is imported, trusted or granted.",
    )


def events(views: Sequence[EventView]) -> Listing:
    """Records of the journal, oldest first."""
    return Listing(
        (">SEQ", "AT", "KIND", "SUBJECT", "WHAT"),
        [(str(one.seq), numbers.moment(one.at), one.kind, one.subject, one.text) for one in views],
        "No records yet.",
    )


def event_line(one: EventView) -> str:
    """Return one record as a line of its own, for following."""
    return clean(f"{one.seq:>6}  {numbers.moment(one.at)}  {one.kind}  {one.subject}  {one.text}")


def apps(views: Sequence[AppView]) -> Listing:
    """Every application, one line each."""
    return Listing(
        ("APPLICATION", "ZONE", "STATE", "ALIASES", "RESIDENCY", "CLASSIFICATION", "PURPOSES"),
        [
            (
                one.name,
                one.zone,
                one.state,
                " ".join(one.aliases),
                " ".join(one.residency),
                one.classification,
                " ".join(one.purposes) or "-",
            )
            for one in views
        ],
        "No applications. Next: holdfast app create NAME --zone ZONE --aliases A,B.",
    )


def explanation(answer: ExplainAnswer) -> list[str]:
    """Where replicas go and why not elsewhere."""
    lines = [clean(answer.sentence)]
    if answer.placements:
        lines += table(
            ("NODE", "ZONE", "DEVICE", ">CLAIM"),
            [(p.node, p.zone, p.device, numbers.size(p.claim_bytes)) for p in answer.placements],
        )
    if answer.rejections:
        lines += ["Not elsewhere:"]
        lines += table(
            ("NODE", "CONSTRAINT", "WHY"),
            [(r.node, r.constraint, r.sentence) for r in answer.rejections],
        )
    return lines


def status(answer: StatusAnswer) -> list[str]:
    """The site in one look."""
    lines = pairs(
        [
            ("site", f"{answer.site}, zone {answer.zone}, epoch {answer.epoch}"),
            ("controller", f"{answer.controller}, commit {answer.commit}"),
            ("journal", f"{answer.records} records, root {answer.root[:32]}"),
            ("nodes", f"{answer.nodes_ok} of {answer.nodes_total} ok"),
            ("gpus", f"{answer.gpus_ok} of {answer.gpus_total} ok"),
            ("deployments", f"{answer.deployments_ready} of {answer.deployments_total} ready"),
            ("models", f"{answer.models_approved} approved"),
            ("requests", f"{answer.requests_pending} waiting for officers"),
            ("trust", f"snapshot {answer.snapshot}"),
        ]
    )
    if not answer.findings:
        return [*lines, "", "All is well."]
    return [*lines, "", "Not well:", *(f"  {clean(finding)}" for finding in answer.findings)]


def trust(answer: StatusAnswer, views: Sequence[NodeView]) -> list[str]:
    """What each node believes of the site's trust, beside what was published."""
    rows = [
        (one.id, one.trust or NOT_KNOWN, str(one.snapshot), _lag(answer.snapshot, one.snapshot))
        for one in views
    ]
    head = [f"Published: snapshot {answer.snapshot}."]
    return [*head, *table(("NODE", "TRUST", ">SNAPSHOT", "STANDING"), rows)] if rows else head


def _heads(words: str) -> tuple[str, ...]:
    return tuple(words.split())


def _lag(published: int, held: int) -> str:
    return "current" if held >= published else f"{published - held} behind"


def _serving(one: DeploymentView) -> int:
    return sum(1 for replica in one.replicas if replica.state == "ready")


def _replica_state(replica: ReplicaView) -> str:
    done = numbers.progress(replica.bytes_done, replica.bytes_total)
    words = [replica.state, done if replica.state != "ready" else "", replica.code or ""]
    return " ".join(word for word in words if word)
