"""What the controller shows of the site: answers of the listing calls."""

from __future__ import annotations

from typing import Literal

import msgspec

NodeStatus = Literal["ok", "late", "down", "quarantined", "retired"]
DeploymentStatus = Literal["pending", "loading", "ready", "broken"]
ModelStatus = Literal["quarantined", "approved", "denied"]
Duty = Literal["in-service", "cordoned", "draining"]
"""What operators let a node do: all, nothing new, or nothing once others have its replicas."""


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A node as the controller sees it; ``age_s`` since its last report, None if never.

    ``reason`` says why it is ``retired``, or what operators let it do no longer.
    """

    id: str
    jurisdiction: str
    zones: tuple[str, ...]
    state: NodeStatus
    age_s: float | None
    generation: int
    desired_generation: int
    trust: str
    snapshot: int
    gateway: str
    engine: str
    isolation: str
    slots_ready: int
    slots_total: int
    host_memory_total_bytes: int | None
    host_memory_used_bytes: int | None
    policy_serial: int = 0
    """Of the policy that its gateway decides by; 0 is the product's own."""
    duty: Duty = "in-service"
    reason: str | None = None


class NodesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    nodes: tuple[NodeView, ...]


class GpuView(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU; ``state`` is ``ok`` for a healthy one, else ``degraded lost unknown stale``."""

    uuid: str
    node: str
    name: str
    memory_total_bytes: int
    memory_used_bytes: int | None
    claimed_bytes: int
    utilization_percent: int | None
    temperature_c: int | None
    power_mw: int | None
    state: str
    simulated: bool
    age_s: float | None


class GpusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    gpus: tuple[GpuView, ...]


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: str
    digest: str
    state: ModelStatus
    size_bytes: int
    license: str
    operations: tuple[str, ...]
    parents: tuple[str, ...]
    reason: str | None = None
    """Why it is denied, in the officer's words."""


class ModelsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    models: tuple[ModelView, ...]


class ReplicaView(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    device: str
    generation: int
    state: str
    zone: str
    code: str | None
    message: str | None
    in_flight: int
    bytes_done: int | None
    bytes_total: int | None


class DeploymentView(msgspec.Struct, frozen=True, kw_only=True):
    """An alias and its replicas; ``ready`` once it answers."""

    alias: str
    model: str
    version: str
    digest: str
    state: DeploymentStatus
    zones: tuple[str, ...]
    replicas_wanted: int
    replicas: tuple[ReplicaView, ...]
    reason: str | None
    """Why it is not ready, one sentence."""


class DeploymentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    deployments: tuple[DeploymentView, ...]


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the journal, for people."""

    seq: int
    at: float
    kind: str
    subject: str
    text: str
    leaf: str


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Records with ``seq`` above ``after``, oldest first, at most ``limit`` (1 to 1000).

    With ``after`` None: the newest ``limit``.
    """

    after: int | None = None
    limit: int = 100
    subject: str | None = None


class EventsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    events: tuple[EventView, ...]


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The site in one look; denominators always beside the counts."""

    site: str
    controller: str
    zone: str
    epoch: int
    commit: int
    records: int
    root: str
    nodes_ok: int
    nodes_total: int
    gpus_ok: int
    gpus_total: int
    deployments_ready: int
    deployments_total: int
    requests_pending: int
    models_approved: int
    snapshot: int
    findings: tuple[str, ...]
    """Sentences on what is not well; empty when all is well."""
