"""What is known this minute and never journalled: the latest reports, and who was asked what.

Losing it costs nothing: reports come again each second, and every question may be asked twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from holdfast_protocol import limits
from holdfast_protocol.importer import Importing
from holdfast_protocol.messages import RelayReport, Report
from holdfast_protocol.views import NodeStatus

from holdfast_controller.logic import facts
from holdfast_controller.logic.state import State


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A node's last report, what it says of the node, and when it came by the controller's clock.

    While a node says the same of itself, ``seen`` stays the same object.
    """

    report: Report
    seen: facts.NodeSeen
    at_s: float


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question under way (until ``until_s``), or one to be repeated only from ``until_s`` on."""

    until_s: float
    waiting: bool
    tries: int = 1


@dataclass(slots=True)
class Live:
    """Owned by the core, as the state is."""

    started_s: float = 0.0
    heard: dict[str, Heard] = field(default_factory=dict)
    relays: dict[str, RelayReport] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    progress: dict[str, Importing] = field(default_factory=dict)
    """By import: the importer's last word."""

    def hear(self, report: Report, now_s: float) -> bool:
        """Keep ``report`` if it is newer than the last one; tell whether it calls for a decision.

        Two thousand nodes report each second, and almost all of it is numbers.
        """
        known = self.heard.get(report.node)
        if known is not None and known.report.boot == report.boot:
            if report.seq <= known.report.seq:
                return False
        # Of a boot before; but a node whose clock was wrong until now sends "earlier" too, and the
        # boot that is silent is not the one that runs.
        elif (
            known is not None
            and report.sent < known.report.sent
            and now_s - known.at_s <= limits.NODE_LATE_AFTER_S
        ):
            return False
        seen = seen_of(report)
        if known is not None and known.seen == seen:
            seen = known.seen
        self.heard[report.node] = Heard(report=report, seen=seen, at_s=now_s)
        return (
            known is None
            or seen is not known.seen
            or now_s - known.at_s > limits.NODE_LATE_AFTER_S
            or _progress(report) != _progress(known.report)
        )

    def age_s(self, node: str, now_s: float) -> float | None:
        """Return the seconds since the node's last report, None if none came since the start."""
        known = self.heard.get(node)
        return None if known is None else max(0.0, now_s - known.at_s)

    def report(self, node: str) -> Report | None:
        """Return the node's last report since the start, or None."""
        known = self.heard.get(node)
        return None if known is None else known.report

    def may_ask(self, key: str, now_s: float) -> bool:
        """Tell whether the question ``key`` may be asked (again)."""
        known = self.asked.get(key)
        return known is None or now_s >= known.until_s

    def ask(self, key: str, now_s: float, deadline_s: float) -> None:
        """Note that ``key`` was asked and is answered within ``deadline_s`` or not at all."""
        known = self.asked.get(key)
        tries = 1 if known is None else known.tries + 1
        self.asked[key] = Asked(until_s=now_s + deadline_s, waiting=True, tries=tries)

    def put_off(self, key: str, now_s: float) -> None:
        """Note that ``key`` did not succeed; it is asked again later, ever less often."""
        known = self.asked.get(key)
        tries = 1 if known is None else known.tries
        wait_s = min(limits.RETRY_MAX_S, limits.RETRY_MIN_S * 2 ** min(tries, 10))
        self.asked[key] = Asked(until_s=now_s + wait_s, waiting=False, tries=tries)

    def answered(self, key: str) -> None:
        """Forget the question ``key``."""
        self.asked.pop(key, None)


def seen_of(report: Report) -> facts.NodeSeen:
    """Return what a node says of itself, without the numbers."""
    return facts.NodeSeen(
        node=report.node,
        boot=report.boot,
        jurisdiction=report.jurisdiction,
        zones=tuple(report.zones),
        devices=tuple(
            facts.DeviceFact(
                uuid=device.uuid,
                kind=device.kind,
                name=device.name,
                memory_total_bytes=device.memory_total_bytes,
                health=device.health,
                compute_capability=device.compute_capability,
                simulated=device.simulated,
            )
            for device in sorted(report.devices, key=lambda each: each.uuid)
        ),
        engine=report.engine,
        isolation=report.isolation,
        gateway=report.gateway,
        trust=report.trust,
    )


def _progress(report: Report) -> object:
    slots = [
        (each.slot, each.generation, each.state, each.code, each.message, each.capacity)
        for each in report.slots
    ]
    return (report.epoch, report.generation, slots)


def node_status(state: State, live: Live, node: str, now_s: float) -> NodeStatus:
    """Return how a node is: by its silence, and as the journal says until it was heard again."""
    known = state.nodes.get(node)
    if f"node:{node}" in state.denied:
        return "retired"
    age_s = live.age_s(node, now_s)
    lost = known is None or known.seen is None or known.lost_at_ms is not None
    if age_s is None:
        waited_s = now_s - live.started_s
        return "down" if lost or waited_s > limits.NODE_DOWN_AFTER_S else "late"
    if age_s > limits.NODE_DOWN_AFTER_S:
        return "down"
    return "late" if age_s > limits.NODE_LATE_AFTER_S else "ok"
