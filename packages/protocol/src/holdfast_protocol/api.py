"""The controller's API on ``hf.v1.api.<who>.<resource>.<verb>``: bodies and answers, JSON.

An answer is the named struct, or ``{"error": {"code", "message", "next"}}``. The fields of the
command contract appear as they stand there; more may follow, none disappears. :data:`CALLS` is
the table of calls with the roles that may make them; the controller, the commands and the
documentation are made from it.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

from holdfast_protocol.enrolment import CodeAnswer, CreateCode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.policing import (
    ExplainPolicy,
    PolicyAnswer,
    PolicyDecision,
    ProposePolicy,
    TryPolicy,
    WhatIfAnswer,
)
from holdfast_protocol.views import (
    DeploymentsAnswer,
    EventsAnswer,
    EventsQuery,
    GpusAnswer,
    ModelsAnswer,
    NodesAnswer,
    StatusAnswer,
)

Role = Literal["officer", "operator", "auditor"]
EVERYBODY: Final[tuple[Role, ...]] = ("officer", "operator", "auditor")
HANDS: Final[tuple[Role, ...]] = ("officer", "operator")
OFFICERS: Final[tuple[Role, ...]] = ("officer",)

RequestStatus = Literal["pending", "approved", "committed", "rejected", "expired"]
RequestKind = Literal["vendor", "import", "app", "node", "deny", "allow", "lift", "policy"]


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


class RevokeModel(msgspec.Struct, frozen=True, kw_only=True):
    """Deny a digest: a manifest's, a blob's or an ancestor's; the site need not know it yet."""

    digest: str
    reason: str = ""


class LiftModel(msgspec.Struct, frozen=True, kw_only=True):
    """Take the denial of a digest back."""

    digest: str


class RevokeNode(msgspec.Struct, frozen=True, kw_only=True):
    """Take a node's site certificate out of force."""

    node: str
    reason: str = ""


class NodeCall(msgspec.Struct, frozen=True, kw_only=True):
    node: str


class Call(NamedTuple):
    """One call: its body, its answer and who may make it."""

    body: type[msgspec.Struct]
    answer: type[msgspec.Struct]
    roles: tuple[Role, ...]


CALLS: Final[dict[str, Call]] = {
    "site.status": Call(Nothing, StatusAnswer, EVERYBODY),
    "nodes.list": Call(Nothing, NodesAnswer, EVERYBODY),
    "nodes.cordon": Call(NodeCall, NodesAnswer, HANDS),
    "nodes.uncordon": Call(NodeCall, NodesAnswer, HANDS),
    "nodes.drain": Call(NodeCall, NodesAnswer, HANDS),
    "nodes.revoke": Call(RevokeNode, RequestMade, OFFICERS),
    "nodes.lift": Call(NodeCall, RequestMade, OFFICERS),
    "nodes.code": Call(CreateCode, CodeAnswer, OFFICERS),
    "nodes.renew": Call(NodeCall, RequestMade, HANDS),
    "gpus.list": Call(Nothing, GpusAnswer, EVERYBODY),
    "models.list": Call(Nothing, ModelsAnswer, EVERYBODY),
    "models.revoke": Call(RevokeModel, RequestMade, OFFICERS),
    "models.lift": Call(LiftModel, RequestMade, OFFICERS),
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
    "policy.show": Call(Nothing, PolicyAnswer, EVERYBODY),
    "policy.explain": Call(ExplainPolicy, PolicyDecision, EVERYBODY),
    "policy.what-if": Call(TryPolicy, WhatIfAnswer, EVERYBODY),
    "policy.propose": Call(ProposePolicy, RequestMade, OFFICERS),
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
