"""The site's trust as the gateway reads it: officers' documents turned into the policy's facts."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast_bundles.site.facts import app_facts, node_facts
from holdfast_bundles.site.view import SiteView
from holdfast_policy.port import NodeFacts

from holdfast_agent.logic.gateway.decide import RecordFacts


class NoTrust:
    """Nothing is known yet, so nothing is allowed."""

    usable = False

    def record(self, app: str) -> RecordFacts | None:
        return None

    def node(self, node: str) -> NodeFacts | None:
        return None

    def model_denied(self, digest: str) -> bool:
        return True

    def exchange_key(self, node: str) -> bytes | None:
        return None


class ViewTrust:
    """A verified view; looked up once per name, for a view never changes."""

    usable = True

    def __init__(self, view: SiteView, zones: Mapping[str, str]) -> None:
        self._view = view
        self._zones = zones
        self._records: dict[str, RecordFacts | None] = {}
        self._nodes: dict[str, NodeFacts | None] = {}
        self._denied: dict[str, bool] = {}

    def record(self, app: str) -> RecordFacts | None:
        """Return the application's record in force; None where there is none."""
        if app not in self._records:
            self._records[app] = self._record(app)
        return self._records[app]

    def node(self, node: str) -> NodeFacts | None:
        """Return what the node's certificate says; None where there is none in force."""
        if node not in self._nodes:
            certificate = self._view.site_certificate(node)
            self._nodes[node] = None if certificate is None else node_facts(certificate)
        return self._nodes[node]

    def model_denied(self, digest: str) -> bool:
        """Tell whether an officer denied the model, a blob of it or an ancestor.

        What is no digest is denied.
        """
        if digest not in self._denied:
            self._denied[digest] = self._view.denied_model(digest)
        return self._denied[digest]

    def exchange_key(self, node: str) -> bytes | None:
        """Return the node's X25519 public key; None without a certificate or a key in it."""
        certificate = self._view.site_certificate(node)
        try:
            return None if certificate is None else bytes.fromhex(certificate.x25519_public)
        except ValueError:
            return None

    def _record(self, app: str) -> RecordFacts | None:
        record = self._view.app_record(app, self._zones)
        if record is None:
            return None
        return RecordFacts(
            app=app_facts(record),
            residency=record.residency,
            classification=record.classification,
            purposes=record.purposes,
        )
