"""One slot of a node: a placement and what has become of it.

States follow the design's swap machine as far as it is built: planned, fetching, loading,
probing, ready, draining, stopped, and failed with the time of the next attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast_protocol.messages import LocalSlot, Placement, SlotReport, SlotState
from msgspec.structs import replace

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
DRAIN_S = 30.0
DRAIN_LEAST_S = 1.5
"""The gateway counts once a second: an older count may miss what it took just before."""
STOP_GRACE_S = 5.0
MESSAGE_LENGTH = 1000
BUSY: frozenset[SlotState] = frozenset({"fetching", "loading", "probing"})
HOLDS_MEMORY: frozenset[SlotState] = frozenset({"loading", "probing", "ready", "draining"})


@dataclass
class Slot:
    """Owned by the core alone."""

    placement: Placement
    state: SlotState = "planned"
    attempt: int = 0
    fetched: bool = False
    stopping: bool = False
    failures: int = 0
    restarts: int = 0
    retry_at_s: float = 0.0
    drain_from_s: float = 0.0
    drain_until_s: float = 0.0
    code: str | None = None
    message: str | None = None
    socket: str | None = None
    memory_bytes: int | None = None
    load_seconds: float | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    in_flight: int = field(default=0)

    def takes(self, placement: Placement) -> bool:
        """Take a new ticket and new sources of the same replica; tell whether it is the same.

        Under the name of a slot that runs, another model would be judged by its own approval and
        denial while the old one goes on answering: such a slot ends first.
        """
        same = replace(self.placement, ticket=b"", blobs_urls=()) == replace(
            placement, ticket=b"", blobs_urls=()
        )
        if same:
            self.placement = placement
        return same

    def fail(self, now_s: float, code: str, message: str) -> None:
        """Enter ``failed`` and set the time of the next attempt: 1 s, doubling, at most 60 s."""
        self.failures += 1
        self.state = "failed"
        self.code, self.message = code, message[:MESSAGE_LENGTH]
        self.socket = None
        self.in_flight = 0
        delay_s = min(BACKOFF_FIRST_S * 2 ** (self.failures - 1), BACKOFF_MAX_S)
        self.retry_at_s = now_s + delay_s

    def serve(self, socket: str, memory_bytes: int | None, load_seconds: float) -> None:
        """Enter ``ready``: an engine answers on ``socket``; what failed before is forgotten."""
        self.state, self.socket = "ready", socket
        self.memory_bytes, self.load_seconds = memory_bytes, load_seconds
        self.code = self.message = None
        self.failures = 0

    def drain(self, now_s: float) -> None:
        """Take no more requests; what is in flight has until the deadline."""
        self.state = "draining"
        self.drain_from_s = now_s
        self.drain_until_s = now_s + DRAIN_S

    def drained(self, now_s: float) -> bool:
        """Whether the engine may be stopped: nothing in flight by a fresh count, or too late."""
        counted = now_s >= self.drain_from_s + DRAIN_LEAST_S and self.in_flight == 0
        return counted or now_s >= self.drain_until_s

    def report(self) -> SlotReport:
        """What the node says of the slot."""
        return SlotReport(
            slot=self.placement.slot,
            alias=self.placement.alias,
            manifest_digest=self.placement.manifest_digest,
            generation=self.placement.generation,
            device=self.placement.device,
            state=self.state,
            code=self.code,
            message=self.message,
            in_flight=self.in_flight,
            capacity=self.placement.settings.parallel,
            restarts=self.restarts,
            memory_bytes=self.memory_bytes,
            load_seconds=self.load_seconds,
            bytes_done=self.bytes_done,
            bytes_total=self.bytes_total,
        )

    def local(self) -> LocalSlot | None:
        """What the gateway may use: only while an engine answers."""
        if self.socket is None or self.state not in ("ready", "draining"):
            return None
        return LocalSlot(
            slot=self.placement.slot,
            alias=self.placement.alias,
            digest=self.placement.manifest_digest,
            generation=self.placement.generation,
            zone=self.placement.zone,
            socket=self.socket,
            operations=self.placement.operations,
            capacity=self.placement.settings.parallel,
            accept=self.state == "ready",
        )
