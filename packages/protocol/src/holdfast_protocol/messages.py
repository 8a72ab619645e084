"""What programs say to one another on the bus: reports, desired documents, broker claims.

All are JSON. Reports are absolute: a later one repairs any lost one, ordered by (boot, seq).
Unknown fields of newer peers are ignored; unknown tags are refused. Sizes in bytes, times in Unix
seconds (UTC) unless the name says otherwise; unknown is ``None``, never 0.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Operation = Literal["chat", "complete", "embed"]


# ---------------------------------------------------------------- devices


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device of a node; identity is ``uuid``, never an index."""

    uuid: str
    kind: Literal["gpu", "cpu"]
    name: str
    memory_total_bytes: int
    memory_used_bytes: int | None = None
    utilization_percent: int | None = None
    temperature_c: int | None = None
    power_mw: int | None = None
    health: Literal["ok", "degraded", "lost", "unknown"] = "ok"
    driver: str | None = None
    compute_capability: str | None = None
    index: int | None = None
    features: tuple[str, ...] = ()
    simulated: bool = False


# ---------------------------------------------------------------- desired state


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine runs a model; part of what is placed."""

    engine: str = "xllamacpp"
    context_length: int = 2048
    parallel: int = 4
    threads: int = 1


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """One replica that a node shall serve."""

    slot: str
    """Unique for ever on its node: ``<alias>-<generation>``."""
    alias: str
    model: str
    """``vendor/model``."""
    version: str
    manifest_digest: str
    device: str
    generation: int
    zone: str
    operations: tuple[Operation, ...]
    settings: EngineSettings
    claim_bytes: int
    blobs_urls: tuple[str, ...]
    ticket: bytes
    """Encoded ``SignedDocument`` of a ``FetchTicket`` for this node and model."""


class RouteTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that may answer an alias."""

    node: str
    zone: str
    slot: str
    capacity: int


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where an alias is answered; a higher epoch replaces a lower one."""

    alias: str
    epoch: int
    digest: str
    operations: tuple[Operation, ...]
    targets: tuple[RouteTarget, ...]


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """That an application may use aliases; the ceiling stands in its signed record."""

    app: str
    zone: str
    aliases: tuple[str, ...]


class TrustMark(msgspec.Struct, frozen=True, kw_only=True):
    """The newest site trust the controller published, so that agents know when to refresh."""

    snapshot: int
    timestamp: int


class Desired(msgspec.Struct, frozen=True, kw_only=True, tag="desired"):
    """The one document that tells a node what to be; signed by the controller's pinned key.

    ``(epoch, generation)`` only rises; the same stamp with other bytes is refused.
    """

    node: str
    epoch: int
    generation: int
    issued: float
    placements: tuple[Placement, ...]
    routes: tuple[Route, ...]
    grants: tuple[Grant, ...]
    policy_serial: int
    trust: TrustMark


class AccountClaim(msgspec.Struct, frozen=True, kw_only=True):
    """An application's account as its broker must know it."""

    app: str
    account: str
    """Public nkey of the account."""
    jwt: str


class DesiredClaims(msgspec.Struct, frozen=True, kw_only=True, tag="claims"):
    """What a broker's relay shall push; the full set for that jurisdiction."""

    broker: str
    epoch: int
    generation: int
    accounts: tuple[AccountClaim, ...]


# ---------------------------------------------------------------- reports

SlotState = Literal[
    "planned", "fetching", "loading", "probing", "ready", "draining", "stopped", "failed"
]


class SlotReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one placement on the node."""

    slot: str
    alias: str
    manifest_digest: str
    generation: int
    device: str
    state: SlotState
    code: str | None = None
    message: str | None = None
    in_flight: int = 0
    capacity: int = 0
    restarts: int = 0
    memory_bytes: int | None = None
    load_seconds: float | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """A node's absolute report on ``hf.v1.hb.<node>``, once a second."""

    node: str
    boot: str
    seq: int
    sent: float
    epoch: int
    generation: int
    """Of the desired document accepted last."""
    jurisdiction: str
    zones: tuple[str, ...]
    devices: tuple[Device, ...]
    slots: tuple[SlotReport, ...]
    trust: str
    """Outcome of the last trust refresh: fresh, offline_ok, stale, …"""
    snapshot: int
    isolation: str
    engine: str
    gateway: Literal["ok", "down"]
    spool: int
    host_memory_total_bytes: int | None = None
    host_memory_used_bytes: int | None = None
    disk_free_bytes: int | None = None
    load_1m: float | None = None


class RelayReport(msgspec.Struct, frozen=True, kw_only=True, tag="relay"):
    """A broker relay's report on ``hf.v1.hb.<broker>``: which claims its broker has."""

    broker: str
    boot: str
    seq: int
    sent: float
    epoch: int
    generation: int
    accounts: tuple[str, ...]
    """Applications whose accounts the broker has as the claims of ``generation`` say."""
    failed: tuple[str, ...] = ()


class NodeEvent(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """A fact that must not be lost; message id ``<node>-<boot>-<seq>``."""

    node: str
    boot: str
    seq: int
    at: float
    kind: str
    """Token: ``slot-ready``, ``slot-failed``, ``engine-died``, ``trust-refused``, …"""
    subject: str
    code: str | None = None
    message: str = ""


class TrustQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for a role file by name on ``hf.v1.tuf.<node>``."""

    name: str


class TrustAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The file's bytes verbatim, or ``None`` where there is no such file."""

    content: bytes | None


# ---------------------------------------------------------------- between agent and gateway


class LocalSlot(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that this node's gateway may use, behind a unix socket."""

    slot: str
    alias: str
    digest: str
    generation: int
    zone: str
    socket: str
    operations: tuple[Operation, ...]
    capacity: int
    accept: bool


class GatewayState(msgspec.Struct, frozen=True, kw_only=True, tag="gateway"):
    """What an agent gives its gateway, whole, at every change (socket feed and file).

    ``document`` is the encoded ``SignedDocument`` of the accepted ``Desired``; the gateway
    verifies it by itself.
    """

    document: bytes | None
    slots: tuple[LocalSlot, ...]


class GatewayCounts(msgspec.Struct, frozen=True, kw_only=True, tag="counts"):
    """What a gateway tells its agent once a second."""

    in_flight: dict[str, int]
    """By slot."""
    answered: int
    refused: int
    failed: int


HeartbeatMessage = Report | RelayReport
DesiredMessage = Desired | DesiredClaims
