"""What goes into the agent's core and what comes out: two closed unions.

The core is a synchronous step; the shell turns the world into inputs and effects into deeds. Each
effect that takes time is answered by exactly one input with the same slot and attempt, so that an
answer to an abandoned attempt is recognised and dropped.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from holdfast_protocol.messages import Device, GatewayState, NodeEvent, Placement, Report


class TrustView(Protocol):
    """What the node knows of the site's trust, verified; a value, without I/O."""

    @property
    def outcome(self) -> str:
        """Outcome of the refresh that led here: fresh, offline_ok, stale, …"""
        ...

    @property
    def snapshot(self) -> int:
        """Version of the snapshot that stands behind it."""
        ...

    @property
    def jurisdiction(self) -> str:
        """Where this node's site certificate says it stands; empty without one."""
        ...

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones of this node's site certificate."""
        ...

    def refusal(self, placement: Placement, accepted: bool) -> tuple[str, str] | None:
        """Why ``placement`` may not load (code, sentence); None when it may.

        ``accepted``: this node loaded that digest before, which a restart may do offline.
        """
        ...

    def denied(self, placement: Placement) -> bool:
        """Whether an officer denied it: then also what runs must stop."""
        ...


# ---------------------------------------------------------------- inputs


class DesiredArrived(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a signed desired document, from anywhere."""

    document: bytes


class DesiredStored(msgspec.Struct, frozen=True, kw_only=True):
    """The document with this digest is safe on disk."""

    digest: str


class DesiredNotStored(msgspec.Struct, frozen=True, kw_only=True):
    """The disk does not take the document; it comes again with the next look at the stream."""


class TrustRefreshed(msgspec.Struct, frozen=True, kw_only=True):
    view: TrustView


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """All files of the slot's model are on this node, verified against their digests."""

    slot: str
    attempt: int


class FetchProgressed(msgspec.Struct, frozen=True, kw_only=True):
    slot: str
    attempt: int
    bytes_done: int
    bytes_total: int


class EngineReady(msgspec.Struct, frozen=True, kw_only=True):
    """The engine answers on ``socket`` and every golden probe passed."""

    slot: str
    attempt: int
    socket: str
    memory_bytes: int | None
    load_seconds: float


class EngineProbing(msgspec.Struct, frozen=True, kw_only=True):
    """The engine is up; its golden probes run."""

    slot: str
    attempt: int


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """Fetching, loading, probing or running ended with an error."""

    slot: str
    attempt: int
    code: str
    message: str


class EngineStopped(msgspec.Struct, frozen=True, kw_only=True):
    """No process of the slot is left."""

    slot: str
    attempt: int


class DevicesRead(msgspec.Struct, frozen=True, kw_only=True):
    devices: tuple[Device, ...]


class HostRead(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the machine itself."""

    memory_total_bytes: int | None
    memory_used_bytes: int | None
    disk_free_bytes: int | None
    load_1m: float | None
    spool: int


class GatewaySeen(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the gateway is connected, its requests in flight by slot, and its policy.

    ``policy_refused`` says why it did not take a newer one, empty where there is none.
    """

    connected: bool
    in_flight: dict[str, int]
    policy_serial: int = 0
    policy_refused: str = ""


NO_GATEWAY: Final = GatewaySeen(connected=False, in_flight={})


class Ticked(msgspec.Struct, frozen=True, kw_only=True):
    """Time has passed."""


Input = (
    DesiredArrived
    | DesiredStored
    | DesiredNotStored
    | TrustRefreshed
    | Fetched
    | FetchProgressed
    | EngineProbing
    | EngineReady
    | Failed
    | EngineStopped
    | DevicesRead
    | HostRead
    | GatewaySeen
    | Ticked
)


# ---------------------------------------------------------------- effects


class StoreDesired(msgspec.Struct, frozen=True, kw_only=True):
    """Write the document durably, then answer ``DesiredStored``."""

    document: bytes
    digest: str


class RefreshTrust(msgspec.Struct, frozen=True, kw_only=True):
    """Fetch the site's trust anew; answer ``TrustRefreshed`` whatever came of it."""


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    placement: Placement
    attempt: int


class StartEngine(msgspec.Struct, frozen=True, kw_only=True):
    """Start, wait until it answers, run the golden probes; ``EngineReady`` or ``Failed``."""

    placement: Placement
    attempt: int


class StopEngine(msgspec.Struct, frozen=True, kw_only=True):
    slot: str
    attempt: int
    grace_s: float


class PublishReport(msgspec.Struct, frozen=True, kw_only=True):
    report: Report


class PublishGateway(msgspec.Struct, frozen=True, kw_only=True):
    state: GatewayState


class RecordEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Spool a fact that must not be lost."""

    event: NodeEvent


class RememberAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """Keep durably which manifests this node accepted: a restart needs them offline."""

    digests: tuple[str, ...]


Effect = (
    StoreDesired
    | RefreshTrust
    | Fetch
    | StartEngine
    | StopEngine
    | PublishReport
    | PublishGateway
    | RecordEvent
    | RememberAccepted
)
