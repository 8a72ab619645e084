"""Facts of nodes."""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast_controller.logic.facts.base import Fact

Health = Literal["ok", "degraded", "lost", "unknown"]


class DeviceFact(msgspec.Struct, frozen=True, kw_only=True):
    """What a device is; its numbers are not facts."""

    uuid: str
    kind: Literal["gpu", "cpu"]
    name: str
    memory_total_bytes: int
    health: Health
    compute_capability: str | None = None
    simulated: bool = False


class NodeSeen(Fact, frozen=True, kw_only=True, tag="node-seen"):
    """A node reported something new about itself; absolute."""

    node: str
    boot: str
    jurisdiction: str
    zones: tuple[str, ...]
    devices: tuple[DeviceFact, ...]
    engine: str
    isolation: str
    gateway: str
    trust: str


class NodeLost(Fact, frozen=True, kw_only=True, tag="node-lost"):
    """A node has not reported since ``silent_since_ms``."""

    node: str
    at_ms: int
    silent_since_ms: int


class NodeReturned(Fact, frozen=True, kw_only=True, tag="node-returned"):
    """A lost node reports again."""

    node: str


class NodeCordoned(Fact, frozen=True, kw_only=True, tag="node-cordoned"):
    """Nothing new goes to a node; with ``drain`` what it serves shall be served elsewhere."""

    node: str
    drain: bool


class NodeUncordoned(Fact, frozen=True, kw_only=True, tag="node-uncordoned"):
    """A node takes new replicas again."""

    node: str


class EventRecorded(Fact, frozen=True, kw_only=True, tag="event-recorded"):
    """What an agent said must not be lost, once per (node, boot, number)."""

    node: str
    boot: str
    number: int
    kind: str
    about: str
    code: str | None
    message: str
    at_ms: int
