"""What a node knows about its site at one moment: a value, read with no network and no writing.

Dates never hide what runs here: an expired approval, record or certificate is still shown, marked
as expired; only what officers signed (a denial, a withdrawal) takes something away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from holdfast_policy.logic.bundle import PolicyBundle
from holdfast_protocol.errors import HoldfastError

from holdfast_bundles.site import lives, names
from holdfast_bundles.site.chain import Bin, Chain, with_denials
from holdfast_bundles.site.entries import Allowed, Document, Entry, Trusted
from holdfast_bundles.site.kin import kin
from holdfast_bundles.site.marks import Marks, check_marks, denied_in
from holdfast_bundles.site.model import (
    AppRecord,
    Approval,
    Officer,
    SiteCertificate,
    within_defaults,
)
from holdfast_bundles.site.outcome import Outcome


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """An approval in force; ``expired`` stops new loads only."""

    model: str
    version: str
    digest: str
    length_bytes: int
    manifest: bytes | None
    approval: Approval
    expires_s: int
    expired: bool


class SiteView(msgspec.Struct, frozen=True, kw_only=True):
    """The site as this node's verified files say at ``now_s``.

    ``health`` judges the cache: ``OFFLINE_OK``, ``STALE``, ``DAMAGED`` or ``CLOCK_BEHIND``;
    ``reason`` says why. Without a readable chain only the denials of the marks remain.
    """

    site: str
    now_s: float
    health: Outcome
    reason: str
    chain: Chain | None
    denials: frozenset[str]

    @property
    def snapshot_version(self) -> int:
        """The version of the snapshot that this node has verified; 0 without one."""
        return self.chain.snapshot.version if self.chain is not None else 0

    @property
    def issued_s(self) -> int:
        """When the newest verified timestamp was issued, Unix time; 0 without one."""
        return self.chain.issued_s if self.chain is not None else 0

    @property
    def officers(self) -> tuple[Officer, ...]:
        """The register of persons."""
        return self.chain.frame.officers if self.chain is not None else ()

    @property
    def broken(self) -> dict[str, str]:
        """Listed bins that are not believed, and why."""
        bins = self.chain.bins.values() if self.chain is not None else ()
        return {b.role: b.broken for b in bins if b.broken is not None}

    def is_broken(self, role: str) -> bool:
        """Tell whether the bin ``role`` is listed and not believed."""
        held = self.chain.bins.get(role) if self.chain is not None else None
        return held is not None and held.broken is not None

    @property
    def vendors(self) -> tuple[str, ...]:
        """The trusted vendors, by name."""
        return self._names("vendor")

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that hold a certificate and are not revoked, by name."""
        return tuple(n for n in self._names("node") if not self.denied_target(f"deny/node/{n}"))

    @property
    def apps(self) -> tuple[str, ...]:
        """The applications that have a record and are not revoked, by name."""
        return tuple(n for n in self._names("app") if not self.denied_target(f"deny/app/{n}"))

    @property
    def models(self) -> tuple[str, ...]:
        """The approved models as ``vendor/model@version``, by name, denied or not."""
        return self._names("allow")

    def approval(self, model: str, version: str) -> Approved | None:
        """Return the approval of ``vendor/model`` in ``version``, None if there is none."""
        held, entry = self._find("ok", names.allow_target(model, version))
        if held is None or entry is None or not isinstance(entry.document, Allowed):
            return None
        document = entry.document
        return Approved(
            model=model,
            version=version,
            digest=document.digest,
            length_bytes=document.length_bytes,
            manifest=document.manifest,
            approval=document.approval,
            expires_s=held.expires_s,
            expired=self.now_s >= held.expires_s,
        )

    def denied(self, digest: str) -> bool:
        """Tell whether ``sha256:<hex>`` (manifest, blob or ancestor) is denied."""
        return self.denied_target(names.deny_target(digest))

    def denied_model(self, digest: str) -> bool:
        """Tell whether an officer denied the manifest ``digest``, a blob of it or an ancestor."""
        bins = self.chain.bins.values() if self.chain is not None else ()
        approved = (e.document for b in bins for e in b.entries if isinstance(e.document, Allowed))
        made_of = (kin(each.manifest) for each in approved if each.digest == digest)
        return any(self.denied(one) for one in {digest}.union(*made_of))

    def denied_target(self, target: str) -> bool:
        """Tell whether the deny target is in force; a listed bin that cannot be read denies."""
        return target in self.denials or names.bin_of("no", target) in self.denials

    def site_certificate(self, node: str) -> SiteCertificate | None:
        """Return the certificate of ``node``; None if there is none or it was revoked.

        Its ``not_after_s`` is the caller's to judge: it ends grants, not what runs.
        """
        document = self._document("ok", names.node_target(node))
        revoked = self.denied_target(names.deny_target(f"node:{node}"))
        return document if isinstance(document, SiteCertificate) and not revoked else None

    def app_record(self, app: str, zones: Mapping[str, str]) -> AppRecord | None:
        """Return the record of ``app``; None if absent, revoked, or wide with one signature.

        ``zones`` maps zone to jurisdiction. A record that more officers signed stands above one
        that one officer signed, whatever their serials.
        """
        if self.denied_target(names.deny_target(f"app:{app}")):
            return None
        target = names.app_target(app)
        if self.is_broken(names.bin_of("ok", target)):
            return None
        wide = self._document("ok", target)
        if isinstance(wide, AppRecord):
            return wide
        narrow = self._document("ap", target)
        if isinstance(narrow, AppRecord) and within_defaults(narrow, zones):
            return narrow
        return None

    def vendor_root(self, vendor: str) -> bytes | None:
        """Return the exact bytes of the vendor's pinned TUF root, None if it is not trusted."""
        document = self._document("ok", names.vendor_target(vendor))
        return document.root if isinstance(document, Trusted) else None

    def policy(self) -> PolicyBundle | None:
        """Return the policy bundle that officers signed; None where there is none.

        Its dates are the caller's to judge: they end what is new, not what runs.
        """
        document = self._document("ok", names.POLICY_TARGET)
        return document if isinstance(document, PolicyBundle) else None

    @property
    def policy_broken(self) -> bool:
        """Whether a policy is listed that cannot be believed."""
        return self.is_broken(names.bin_of("ok", names.POLICY_TARGET))

    def _document(self, prefix: names.Prefix, target: str) -> Document | None:
        _, entry = self._find(prefix, target)
        return entry.document if entry is not None else None

    def _find(self, prefix: names.Prefix, target: str) -> tuple[Bin | None, Entry | None]:
        held = self.chain.bins.get(names.bin_of(prefix, target)) if self.chain else None
        for entry in held.entries if held is not None else ():
            if entry.path == target:
                return held, entry
        return held, None

    def _names(self, kind: names.Kind) -> tuple[str, ...]:
        bins = self.chain.bins.values() if self.chain is not None else ()
        found = {e.subject.name for b in bins for e in b.entries if e.subject.kind == kind}
        return tuple(sorted(found))


def view_of(
    chain: Chain | HoldfastError, marks: Marks, now_s: float, arrived: Sequence[Bin] = ()
) -> SiteView:
    """Return the view of ``chain`` (or of why there is none) under ``marks`` at ``now_s``.

    A cache that is older than the marks is shown, with the denials of both. ``arrived`` are
    verified denials that came by other ways than the repository.
    """
    if isinstance(chain, HoldfastError):
        return SiteView(
            site=marks.site,
            now_s=now_s,
            health=Outcome.DAMAGED,
            reason=chain.message,
            chain=None,
            denials=frozenset(marks.denied),
        )
    health, reason = judge(chain, marks, now_s)
    sticky = marks.denied if health is Outcome.DAMAGED else ()
    seen = marks.roles
    chain = with_denials(
        chain, [b for b in arrived if b.broken or b.version >= seen.get(b.role, 0)]
    )
    return SiteView(
        site=marks.site,
        now_s=now_s,
        health=health,
        reason=reason,
        chain=chain,
        denials=frozenset({*denied_in(chain), *sticky}),
    )


def judge(chain: Chain, marks: Marks, now_s: float) -> tuple[Outcome, str]:
    """Return what a verified cache is worth at ``now_s``, and why."""
    try:
        check_marks(marks, chain)
    except HoldfastError as error:
        return Outcome.DAMAGED, error.message
    floor_s = max(marks.issued_s, chain.issued_s)
    if now_s + lives.CLOCK_SLACK_S < floor_s:
        return Outcome.CLOCK_BEHIND, "The clock is behind the newest timestamp seen."
    late = chain.expired(now_s)
    if late is not None:
        return Outcome.STALE, f"{late} has passed its date."
    return Outcome.OFFLINE_OK, ""
