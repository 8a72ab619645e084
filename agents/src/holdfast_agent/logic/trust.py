"""What the core asks of the site's trust, answered from a verified view; a value without I/O."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_bundles.site.judgement import Verdict, may_load
from holdfast_bundles.site.outcome import Outcome
from holdfast_bundles.site.view import SiteView
from holdfast_protocol.messages import Placement


@dataclass(frozen=True)
class NodeTrust:
    """The last refresh's outcome and the view it left; implements ``io.TrustView``."""

    node: str
    result: Outcome
    view: SiteView

    @property
    def outcome(self) -> str:
        """Outcome of the refresh, in its own word."""
        return self.result.value

    @property
    def snapshot(self) -> int:
        """Version of the snapshot that stands behind the view."""
        return self.view.snapshot_version

    @property
    def jurisdiction(self) -> str:
        """Where the node's site certificate says it stands."""
        certificate = self.view.site_certificate(self.node)
        return certificate.jurisdiction if certificate else ""

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones of the node's site certificate."""
        certificate = self.view.site_certificate(self.node)
        return certificate.zones if certificate else ()

    def refusal(self, placement: Placement, accepted: bool) -> tuple[str, str] | None:
        """Why ``placement`` may not load here (code, sentence); None when it may.

        Residency is decided again on the node: a placement in a zone that the node's own site
        certificate does not name is refused, whoever signed the document.
        """
        certificate = self.view.site_certificate(self.node)
        if certificate is None:
            return ("NOT_APPROVED", f"Node {self.node} holds no site certificate.")
        if placement.zone not in certificate.zones:
            return (
                "NO_LEGAL_PLACEMENT",
                f"Node {self.node} is certified for {', '.join(certificate.zones)}, "
                f"not for {placement.zone}.",
            )
        policy = None if accepted else self.view.policy()
        if policy is not None and self.view.now_s >= policy.manifest.not_after_s:
            serial = policy.manifest.serial
            return ("POLICY_EXPIRED", f"Policy {serial} has passed its date; nothing new loads.")
        verdict = self._verdict(placement, accepted)
        if verdict.allowed:
            return None
        return (str(verdict.code or "NOT_APPROVED"), verdict.sentence)

    def denied(self, placement: Placement) -> bool:
        """Whether an officer denied the model or revoked this node: what runs must stop."""
        return self._verdict(placement, accepted=True).stop or self.view.denied_target(
            f"deny/node/{self.node}"
        )

    def _verdict(self, placement: Placement, accepted: bool) -> Verdict:
        name = f"{placement.model}@{placement.version}"
        return may_load(self.view, self.result, name, placement.manifest_digest, accepted)
