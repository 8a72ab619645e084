"""Officers' documents as the facts that a policy decides on: one reading for every program."""

from __future__ import annotations

from typing import Final

from holdfast_policy.logic.labels import Classification
from holdfast_policy.port import AppFacts, NodeFacts

from holdfast_bundles.site.model import AppRecord, SiteCertificate

# A certificate's limits that say how secret data may be: "classification" in the site's own
# scheme, "classification-<scheme>" in another.
_CLASSIFICATION: Final = "classification"


def node_facts(certificate: SiteCertificate, *, denied: bool = False) -> NodeFacts:
    """Return what a certificate says of its node."""
    clearances = tuple(
        Classification(scheme=name.removeprefix(_CLASSIFICATION).removeprefix("-"), level=level)
        for name, level in sorted(certificate.limits.items())
        if name == _CLASSIFICATION or name.startswith(_CLASSIFICATION + "-")
    )
    return NodeFacts(
        node=certificate.node,
        jurisdiction=certificate.jurisdiction,
        zones=frozenset(certificate.zones),
        not_after_s=certificate.not_after_s,
        clearances=clearances,
        denied=denied,
    )


def app_facts(record: AppRecord, *, denied: bool = False) -> AppFacts:
    """Return what a record says of its application."""
    return AppFacts(
        app=record.app, zone=record.zone, aliases=frozenset(record.aliases), denied=denied
    )
