"""Facts of the site, its trust and the requests that change it."""

from __future__ import annotations

from typing import Literal

from holdfast_controller.logic.facts.base import Fact


class SiteFounded(Fact, frozen=True, kw_only=True, tag="site-founded"):
    """The ceremony's words; ``zones`` maps zone to jurisdiction, ``people`` who to role."""

    site: str
    zone: str
    zones: dict[str, str]
    people: dict[str, str]


class ControllerStarted(Fact, frozen=True, kw_only=True, tag="controller-started"):
    """A controller took up the journal where it ended; the epoch stays."""

    version: str
    at_ms: int


class LeaderTaken(Fact, frozen=True, kw_only=True, tag="leader-taken"):
    """The site has a new line of documents: takeover, restore or accepted rollback."""

    epoch: int
    reason: str


class RoleFileAccepted(Fact, frozen=True, kw_only=True, tag="role-file-accepted"):
    """A role file that officers signed became part of the site's trust, verbatim."""

    role: str
    version: int
    content: bytes


class TrustStamped(Fact, frozen=True, kw_only=True, tag="trust-stamped"):
    """The online key vouched for the files at ``at_ms``; ``files`` by name, verbatim."""

    snapshot: int
    timestamp: int
    at_ms: int
    files: dict[str, bytes]


class NodeCertified(Fact, frozen=True, kw_only=True, tag="node-certified"):
    """Officers signed what a node is."""

    node: str
    jurisdiction: str
    zones: tuple[str, ...]
    not_after_s: int


class VendorTrusted(Fact, frozen=True, kw_only=True, tag="vendor-trusted"):
    """Officers pinned a vendor's TUF root."""

    vendor: str
    root: bytes


class PolicyAdopted(Fact, frozen=True, kw_only=True, tag="policy-adopted"):
    """Officers brought a policy bundle into force; dates are Unix time."""

    serial: int
    digest: str
    prev_digest: str | None
    effective_from_s: int
    not_after_s: int


class Denied(Fact, frozen=True, kw_only=True, tag="denied"):
    """Officers denied ``sha256:…``, ``key:…``, ``app:…`` or ``node:…``."""

    what: str
    reason: str


class DenialLifted(Fact, frozen=True, kw_only=True, tag="denial-lifted"):
    """Officers together took a denial back."""

    what: str


class RequestMade(Fact, frozen=True, kw_only=True, tag="request-made"):
    """Frozen bytes of one role file wait for officers; ``about`` is the thing decided on."""

    id: str
    kind: Literal["vendor", "import", "app", "node", "deny", "allow", "lift", "policy"]
    role: str
    version: int
    payload: bytes
    sha256: str
    subject: str
    about: str
    summary: str
    needed: int
    by: str
    at_ms: int
    expires_ms: int


class RequestSigned(Fact, frozen=True, kw_only=True, tag="request-signed"):
    """One officer's signature over the payload was verified."""

    id: str
    keyid: str
    person: str
    signature: str


class RequestCommitted(Fact, frozen=True, kw_only=True, tag="request-committed"):
    """Enough officers signed; what was asked for stands."""

    id: str


class RequestRejected(Fact, frozen=True, kw_only=True, tag="request-rejected"):
    """An officer said no."""

    id: str
    by: str
    reason: str


class RequestExpired(Fact, frozen=True, kw_only=True, tag="request-expired"):
    """Nobody completed it in time."""

    id: str
