"""A node's absolute report, built from what the core knows; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast_protocol.messages import Device, Report

from holdfast_agent.logic.io import GatewaySeen, HostRead, TrustView
from holdfast_agent.logic.slot import Slot
from holdfast_agent.logic.stamp import Stamp


@dataclass(frozen=True)
class Standing:
    """Who reports, when, and what the node knows of itself apart from devices and slots."""

    node: str
    boot: str
    seq: int
    now_s: float
    engine: str
    isolation: str
    stamp: Stamp
    trust: TrustView | None
    host: HostRead | None
    gateway: GatewaySeen


def build(node: Standing, devices: Iterable[Device], slots: Iterable[Slot]) -> Report:
    """Return the report, ordered so that equal states give equal bytes."""
    host, trust = node.host, node.trust
    return Report(
        node=node.node,
        boot=node.boot,
        seq=node.seq,
        sent=node.now_s,
        epoch=node.stamp.epoch,
        generation=node.stamp.generation,
        jurisdiction=trust.jurisdiction if trust else "",
        zones=trust.zones if trust else (),
        devices=tuple(sorted(devices, key=lambda device: device.uuid)),
        slots=tuple(slot.report() for slot in sorted(slots, key=lambda s: s.placement.slot)),
        trust=trust.outcome if trust else "unknown",
        snapshot=trust.snapshot if trust else 0,
        isolation=node.isolation,
        engine=node.engine,
        gateway="ok" if node.gateway.connected else "down",
        spool=host.spool if host else 0,
        host_memory_total_bytes=host.memory_total_bytes if host else None,
        host_memory_used_bytes=host.memory_used_bytes if host else None,
        disk_free_bytes=host.disk_free_bytes if host else None,
        load_1m=host.load_1m if host else None,
        policy_serial=node.gateway.policy_serial,
    )
