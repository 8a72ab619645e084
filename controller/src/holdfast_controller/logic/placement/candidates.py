"""Nodes as placement sees them: what officers signed, what the node says, what room is left.

Room is a ledger, never an estimate alone: each replica counts with the larger of its claim and
what was measured, a withdrawn one until its node no longer reports it, and memory that is not
ours shrinks the room too.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from holdfast_protocol.limits import DEVICE_RESERVE_BYTES
from holdfast_protocol.messages import Report
from holdfast_protocol.views import Duty, NodeStatus

from holdfast_controller.logic import facts
from holdfast_controller.logic.live import Live, node_status
from holdfast_controller.logic.state import Node, Replica, State


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A device and what may still be claimed on it."""

    uuid: str
    kind: Literal["gpu", "cpu"]
    health: str
    total_bytes: int
    free_bytes: int


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A node that might take a replica."""

    node: str
    status: NodeStatus
    certificate: facts.NodeCertified | None
    expired: bool
    denied: bool
    reported_jurisdiction: str
    trust: str
    engine: str
    rooms: tuple[Room, ...]
    duty: Duty = "in-service"
    aliases: frozenset[str]
    """Aliases of which the node holds a replica that is not withdrawn."""


def candidates(state: State, live: Live, now_s: float) -> list[Candidate]:
    """Return every known node as a candidate, by id."""
    replicas = state.replicas_by_node()
    return [
        _candidate(state, node, replicas.get(node.id, []), (live, now_s))
        for node in sorted(state.nodes.values(), key=lambda each: each.id)
    ]


def _candidate(
    state: State, node: Node, replicas: list[Replica], seen_at: tuple[Live, float]
) -> Candidate:
    live, now_s = seen_at
    seen = node.seen
    certificate = node.certificate
    report = live.report(node.id)
    return Candidate(
        node=node.id,
        status=node_status(state, live, node.id, now_s),
        certificate=certificate,
        expired=certificate is not None and certificate.not_after_s <= now_s,
        denied=f"node:{node.id}" in state.denied,
        reported_jurisdiction="" if seen is None else seen.jurisdiction,
        trust="" if seen is None else seen.trust,
        engine="" if seen is None else seen.engine,
        rooms=() if seen is None else _rooms(seen, report, replicas),
        duty=node.duty,
        aliases=frozenset(each.placed.alias for each in replicas if not each.withdrawn),
    )


def _rooms(
    seen: facts.NodeSeen, report: Report | None, replicas: list[Replica]
) -> tuple[Room, ...]:
    measured = {} if report is None else {slot.slot: slot.memory_bytes for slot in report.slots}
    used = {} if report is None else {each.uuid: each.memory_used_bytes for each in report.devices}
    rooms = []
    for device in seen.devices:
        ours = [each for each in replicas if each.placed.device == device.uuid]
        sizes = [measured.get(each.placed.slot) or 0 for each in ours]
        claimed = sum(
            max(each.placed.claim_bytes, size) for each, size in zip(ours, sizes, strict=True)
        )
        foreign = max(0, (used.get(device.uuid) or 0) - _loaded(ours, sizes))
        free = device.memory_total_bytes - DEVICE_RESERVE_BYTES - claimed - foreign
        rooms.append(
            Room(
                uuid=device.uuid,
                kind=device.kind,
                health=device.health,
                total_bytes=device.memory_total_bytes,
                free_bytes=max(0, free),
            )
        )
    return tuple(rooms)


def _loaded(ours: list[Replica], sizes: list[int]) -> int:
    """Return how much of the used memory may be ours.

    A replica that is not measured yet may hold anything up to its claim; counting that as foreign
    would charge it twice.
    """
    return sum(size or each.placed.claim_bytes for each, size in zip(ours, sizes, strict=True))
