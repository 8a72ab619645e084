"""Facts of deployments, replicas and routes."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast_controller.logic.facts.base import Fact


class DeploymentWished(Fact, frozen=True, kw_only=True, tag="deployment-wished"):
    """Somebody wants an alias to be answered by a model: ``replicas`` in each zone."""

    alias: str
    name: str
    version: str
    digest: str
    zones: tuple[str, ...]
    replicas: int
    engine: str
    context_length: int
    parallel: int
    threads: int
    operations: tuple[str, ...]
    claim_bytes: int
    by: str


class DeploymentWithdrawn(Fact, frozen=True, kw_only=True, tag="deployment-withdrawn"):
    """Nobody wants the alias any more."""

    alias: str
    by: str


class ReplicaPlaced(Fact, frozen=True, kw_only=True, tag="replica-placed"):
    """A node shall serve a replica; ``free_bytes`` is what the decision rested on."""

    alias: str
    zone: str
    node: str
    device: str
    slot: str
    generation: int
    digest: str
    claim_bytes: int
    free_bytes: int


class ReplicaWithdrawn(Fact, frozen=True, kw_only=True, tag="replica-withdrawn"):
    """A node shall serve a replica no longer; its memory counts until it is seen gone."""

    alias: str
    node: str
    slot: str
    reason: Literal[
        "undeployed", "replaced", "node-lost", "device-lost", "failed", "denied", "illegal",
        "drained",
    ]  # fmt: skip


class ReplicaGone(Fact, frozen=True, kw_only=True, tag="replica-gone"):
    """A withdrawn replica's node no longer reports it."""

    node: str
    slot: str


class SlotChanged(Fact, frozen=True, kw_only=True, tag="slot-changed"):
    """A replica reached another state, as its node reports."""

    node: str
    slot: str
    state: Literal[
        "planned", "fetching", "loading", "probing", "ready", "draining", "stopped", "failed"
    ]
    at_ms: int
    code: str | None = None
    message: str | None = None
    capacity: int = 0


class TargetFact(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that may answer."""

    node: str
    zone: str
    slot: str
    capacity: int


class RouteChanged(Fact, frozen=True, kw_only=True, tag="route-changed"):
    """An alias is answered by these replicas; no target means by nobody."""

    alias: str
    epoch: int
    digest: str
    operations: tuple[str, ...]
    targets: tuple[TargetFact, ...]
