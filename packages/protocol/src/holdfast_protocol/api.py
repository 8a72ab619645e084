"""The controller's API on ``hf.v1.api.<who>.<resource>.<verb>``: bodies and answers, JSON.

An answer is the named struct, or ``{"error": {"code", "message", "next"}}``. The fields of the
command contract appear as they stand there; more may follow, none disappears. :data:`CALLS` is
the table of calls with the roles that may make them; the controller, the commands and the
documentation are made from it.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

from holdfast_protocol.errors import Code, HoldfastError

Role = Literal["officer", "operator", "auditor"]
EVERYBODY: Final[tuple[Role, ...]] = ("officer", "operator", "auditor")
HANDS: Final[tuple[Role, ...]] = ("officer", "operator")
OFFICERS: Final[tuple[Role, ...]] = ("officer",)

NodeStatus = Literal["ok", "late", "down", "quarantined", "retired"]
DeploymentStatus = Literal["pending", "loading", "ready", "broken"]
RequestStatus = Literal["pending", "approved", "committed", "rejected", "expired"]
ModelStatus = Literal["quarantined", "approved", "denied"]
RequestKind = Literal["vendor", "import", "app", "node", "deny", "allow"]


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """An empty body."""


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, one sentence, and what to do next, one sentence."""

    code: str
    message: str
    next: str
    file: str | None = None


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is an error."""

    error: ErrorDetail


# ---------------------------------------------------------------- what there is


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A node as the controller sees it; ``age_s`` since its last report, None if never."""

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


# ---------------------------------------------------------------- requests and approvals


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """A request that waits for officers; ``missing`` signatures until it takes effect."""

    id: str
    kind: RequestKind
    state: RequestStatus
    approvals: int
    needed: int
    subject: str
    summary: str
    role: str
    version: int
    sha256: str
    signed_by: tuple[str, ...]
    created_by: str
    created: float
    expires: float
    reason: str | None = None


class RequestsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    requests: tuple[RequestView, ...]


class RequestQuery(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class RequestDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A request with the frozen bytes that officers sign."""

    request: RequestView
    payload: bytes


class SignRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An officer's signature over the payload with that SHA-256 (hex)."""

    id: str
    sha256: str
    keyid: str
    signature: str


class RejectRequest(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    reason: str = ""


class RequestMade(msgspec.Struct, frozen=True, kw_only=True):
    """A request now waits; ``request`` is its id."""

    request: str
    needed: int = 0
    summary: str = ""


# ---------------------------------------------------------------- wishes


class TrustVendor(msgspec.Struct, frozen=True, kw_only=True):
    """Trust a vendor whose TUF root is ``root`` (the bytes of its 1.root.json)."""

    vendor: str
    root: bytes


class StartImportCall(msgspec.Struct, frozen=True, kw_only=True):
    """Import the bundle below ``path`` on the controller's host."""

    path: str


class ImportQuery(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class ImportView(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of an import; ends in ``waiting`` (with its requests) or ``failed``/``paused``."""

    id: str
    state: Literal["verifying", "copying", "gating", "waiting", "committed", "paused", "failed"]
    bytes_done: int
    bytes_total: int
    file: str | None = None
    requests: tuple[str, ...] = ()
    error: ErrorDetail | None = None


class DeployCall(msgspec.Struct, frozen=True, kw_only=True):
    """Serve ``model`` (``V/MODEL@N``) as ``alias``: N replicas in each named zone.

    No zones means the controller's own. With ``plan`` nothing changes and the answer is the plan.
    """

    model: str
    alias: str
    zones: tuple[str, ...] = ()
    replicas: int = 1
    plan: bool = False
    context_length: int = 2048


class AliasCall(msgspec.Struct, frozen=True, kw_only=True):
    alias: str


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why a node cannot take a replica: the exact constraint, in one sentence."""

    node: str
    constraint: str
    sentence: str


class PlacementView(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    device: str
    zone: str
    claim_bytes: int


class ExplainAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Where replicas go and why not elsewhere; the same words for a plan."""

    alias: str
    model: str
    version: str
    placements: tuple[PlacementView, ...]
    rejections: tuple[Rejection, ...]
    sentence: str


class CreateApp(msgspec.Struct, frozen=True, kw_only=True):
    """Grant an application; its user's keys were made by the caller and never travel."""

    name: str
    zone: str
    aliases: tuple[str, ...]
    user_public: str
    csr: bytes
    residency: tuple[str, ...] = ()
    classification: str = "0"
    purposes: tuple[str, ...] = ()


class AppQuery(msgspec.Struct, frozen=True, kw_only=True):
    name: str


class AppView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    zone: str
    aliases: tuple[str, ...]
    residency: tuple[str, ...]
    classification: str
    purposes: tuple[str, ...]
    state: Literal["pending", "minting", "ready", "revoked"]


class AppsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    apps: tuple[AppView, ...]


class AppCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """What an application needs beside its own keys; ``state`` says whether it can connect yet."""

    name: str
    state: Literal["pending", "minting", "ready", "revoked"]
    user_jwt: str | None = None
    certificate: bytes | None = None
    ca: bytes | None = None
    servers: tuple[str, ...] = ()
    inbox_prefix: str | None = None


class Call(NamedTuple):
    """One call: its body, its answer and who may make it."""

    body: type[msgspec.Struct]
    answer: type[msgspec.Struct]
    roles: tuple[Role, ...]


CALLS: Final[dict[str, Call]] = {
    "site.status": Call(Nothing, StatusAnswer, EVERYBODY),
    "nodes.list": Call(Nothing, NodesAnswer, EVERYBODY),
    "gpus.list": Call(Nothing, GpusAnswer, EVERYBODY),
    "models.list": Call(Nothing, ModelsAnswer, EVERYBODY),
    "deployments.list": Call(Nothing, DeploymentsAnswer, EVERYBODY),
    "deployments.deploy": Call(DeployCall, ExplainAnswer, HANDS),
    "deployments.undeploy": Call(AliasCall, DeploymentsAnswer, HANDS),
    "deployments.explain": Call(AliasCall, ExplainAnswer, EVERYBODY),
    "events.list": Call(EventsQuery, EventsAnswer, EVERYBODY),
    "requests.list": Call(Nothing, RequestsAnswer, EVERYBODY),
    "requests.show": Call(RequestQuery, RequestDetail, EVERYBODY),
    "requests.sign": Call(SignRequest, RequestDetail, OFFICERS),
    "requests.reject": Call(RejectRequest, RequestDetail, OFFICERS),
    "vendors.trust": Call(TrustVendor, RequestMade, OFFICERS),
    "imports.start": Call(StartImportCall, ImportView, HANDS),
    "imports.show": Call(ImportQuery, ImportView, HANDS),
    "apps.create": Call(CreateApp, RequestMade, HANDS),
    "apps.list": Call(Nothing, AppsAnswer, EVERYBODY),
    "apps.claim": Call(AppQuery, AppCredentials, HANDS),
    "apps.revoke": Call(AppQuery, RequestMade, OFFICERS),
}


def error_answer(error: HoldfastError) -> ErrorAnswer:
    """Return ``error`` as an answer."""
    return ErrorAnswer(
        error=ErrorDetail(
            code=error.code.value, message=error.message, next=error.next, file=error.file
        )
    )


def raised(detail: ErrorDetail) -> HoldfastError:
    """Return the error an answer carries; a code of a newer controller becomes ``DEFECT``."""
    code = Code(detail.code) if detail.code in Code.__members__ else Code.DEFECT
    return HoldfastError(code, detail.message, file=detail.file)
