"""What programs say to one another on the bus: reports, desired documents, broker claims.

All are JSON. Reports are absolute: a later one repairs any lost one, ordered by (boot, seq).
Unknown fields of newer peers are ignored; unknown tags are refused. Sizes in bytes, times in Unix
seconds (UTC) unless the name says otherwise; unknown is ``None``, never 0.

Whoever speaks may lie: numbers, texts and lists are bounded as they are decoded, so that nobody
behind the codec meets a number that no journal can hold or a clock that no calendar knows.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from holdfast_protocol.limits import (
    CLOCK_S_MAX,
    COUNT_MAX,
    DEVICES_PER_NODE,
    GRANTS_MAX,
    NAMES_PER_LIST,
    ROUTES_MAX,
    SENTENCE_LENGTH,
    SLOTS_PER_NODE,
    URLS_MAX,
    WORD_LENGTH,
)

Operation = Literal["chat", "complete", "embed"]

Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
"""A number of things or bytes, exact in every JSON."""
Clock = Annotated[float, msgspec.Meta(ge=0, le=CLOCK_S_MAX)]
"""A time in Unix seconds that a calendar knows, or a duration in seconds."""
Degrees = Annotated[int, msgspec.Meta(ge=-1000, le=10_000)]
Word = Annotated[str, msgspec.Meta(max_length=WORD_LENGTH)]
Sentence = Annotated[str, msgspec.Meta(max_length=SENTENCE_LENGTH)]
AppNames = Annotated[tuple[Word, ...], msgspec.Meta(max_length=GRANTS_MAX)]
Names = Annotated[tuple[Word, ...], msgspec.Meta(max_length=NAMES_PER_LIST)]


# ---------------------------------------------------------------- devices


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device of a node; identity is ``uuid``, never an index."""

    uuid: Word
    kind: Literal["gpu", "cpu"]
    name: Word
    memory_total_bytes: Count
    memory_used_bytes: Count | None = None
    utilization_percent: Count | None = None
    temperature_c: Degrees | None = None
    power_mw: Count | None = None
    health: Literal["ok", "degraded", "lost", "unknown"] = "ok"
    driver: Word | None = None
    compute_capability: Word | None = None
    index: Count | None = None
    features: Names = ()
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

    slot: Word
    """Unique for ever on its node: ``<alias>-<generation>``."""
    alias: Word
    model: Word
    """``vendor/model``."""
    version: Word
    manifest_digest: Word
    device: Word
    generation: Count
    zone: Word
    operations: tuple[Operation, ...]
    settings: EngineSettings
    claim_bytes: Count
    blobs_urls: Annotated[tuple[Word, ...], msgspec.Meta(max_length=URLS_MAX)]
    ticket: bytes
    """Encoded ``SignedDocument`` of a ``FetchTicket`` for this node and model."""


class RouteTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that may answer an alias."""

    node: Word
    zone: Word
    slot: Word
    capacity: Count


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where an alias is answered; a higher epoch replaces a lower one."""

    alias: Word
    epoch: Count
    digest: Word
    operations: tuple[Operation, ...]
    targets: Annotated[tuple[RouteTarget, ...], msgspec.Meta(max_length=ROUTES_MAX)]


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """That an application may use aliases; the ceiling stands in its signed record."""

    app: Word
    zone: Word
    aliases: Names


class TrustMark(msgspec.Struct, frozen=True, kw_only=True):
    """The newest site trust the controller published, so that agents know when to refresh."""

    snapshot: Count
    timestamp: Count


class Desired(msgspec.Struct, frozen=True, kw_only=True, tag="desired"):
    """The one document that tells a node what to be; signed by the controller's pinned key.

    ``(epoch, generation)`` only rises; the same stamp with other bytes is refused.
    """

    node: Word
    epoch: Count
    generation: Count
    issued: Clock
    placements: Annotated[tuple[Placement, ...], msgspec.Meta(max_length=SLOTS_PER_NODE)]
    routes: Annotated[tuple[Route, ...], msgspec.Meta(max_length=ROUTES_MAX)]
    grants: Annotated[tuple[Grant, ...], msgspec.Meta(max_length=GRANTS_MAX)]
    policy_serial: Count
    trust: TrustMark


class AccountClaim(msgspec.Struct, frozen=True, kw_only=True):
    """An application's account as its broker must know it."""

    app: Word
    account: Word
    """Public nkey of the account."""
    jwt: str


class DesiredClaims(msgspec.Struct, frozen=True, kw_only=True, tag="claims"):
    """What a broker's relay shall push; the full set for that jurisdiction."""

    broker: Word
    epoch: Count
    generation: Count
    accounts: tuple[AccountClaim, ...]


# ---------------------------------------------------------------- reports

SlotState = Literal[
    "planned", "fetching", "loading", "probing", "ready", "draining", "stopped", "failed"
]


class SlotReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one placement on the node."""

    slot: Word
    alias: Word
    manifest_digest: Word
    generation: Count
    device: Word
    state: SlotState
    code: Word | None = None
    message: Sentence | None = None
    in_flight: Count = 0
    capacity: Count = 0
    restarts: Count = 0
    memory_bytes: Count | None = None
    load_seconds: Clock | None = None
    bytes_done: Count | None = None
    bytes_total: Count | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """A node's absolute report on ``hf.v1.hb.<node>``, once a second."""

    node: Word
    boot: Word
    seq: Count
    sent: Clock
    epoch: Count
    generation: Count
    """Of the desired document accepted last."""
    jurisdiction: Word
    zones: Names
    devices: Annotated[tuple[Device, ...], msgspec.Meta(max_length=DEVICES_PER_NODE)]
    slots: Annotated[tuple[SlotReport, ...], msgspec.Meta(max_length=SLOTS_PER_NODE)]
    trust: Word
    """Outcome of the last trust refresh: fresh, offline_ok, stale, …"""
    snapshot: Count
    isolation: Word
    engine: Word
    gateway: Literal["ok", "down"]
    spool: Count
    host_memory_total_bytes: Count | None = None
    host_memory_used_bytes: Count | None = None
    disk_free_bytes: Count | None = None
    load_1m: Clock | None = None
    policy_serial: Count = 0
    """Of the policy that the node's gateway decides by; 0 is the product's own."""


class RelayReport(msgspec.Struct, frozen=True, kw_only=True, tag="relay"):
    """A broker relay's report on ``hf.v1.hb.<broker>``: which claims its broker has."""

    broker: Word
    boot: Word
    seq: Count
    sent: Clock
    epoch: Count
    generation: Count
    accounts: AppNames
    """Applications whose accounts the broker has as the claims of ``generation`` say."""
    failed: AppNames = ()


class NodeEvent(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """A fact that must not be lost; message id ``<node>-<boot>-<seq>``."""

    node: Word
    boot: Word
    seq: Count
    at: Clock
    kind: Word
    """Token: ``slot-ready``, ``slot-failed``, ``engine-died``, ``trust-refused``, …"""
    subject: Word
    code: Word | None = None
    message: Sentence = ""


class TrustQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for a role file by name on ``hf.v1.tuf.<node>``."""

    name: Word


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

    in_flight: Annotated[dict[str, Count], msgspec.Meta(max_length=SLOTS_PER_NODE)]
    """By slot."""
    answered: Count
    refused: Count
    failed: Count
    policy_serial: Count = 0
    """Of the policy that decides; 0 is the product's own."""
    policy_refused: Sentence = ""
    """Why a newer policy was not taken."""


HeartbeatMessage = Report | RelayReport
DesiredMessage = Desired | DesiredClaims
