"""Bundles for tests: the base policies, a site's own text, golden decisions."""

from __future__ import annotations

from typing import Final

from holdfast_policy.logic.bundle import (
    ENGINE,
    FORMAT,
    GOLDEN,
    SCHEMA,
    Manifest,
    PolicyBundle,
    assemble,
    entries_of,
)
from holdfast_policy.product import base_text
from holdfast_protocol.codec import encode

ZONES: Final = {"de": "DE", "fr": "FR"}
BEGINS_S: Final = 1_800_000_000
DAY_S: Final = 24 * 3600
CASES: Final[tuple[dict[str, object], ...]] = (
    {"app": "triage", "zone": "de", "alias": "other", "node": "de-9", "jurisdiction": "DE",
     "expect": "allow", "rule": "permit-infer"},
    {"app": "triage", "zone": "de", "alias": "other", "node": "fr-1", "jurisdiction": "FR",
     "residency": ["DE"], "expect": "deny", "rule": "residency"},
)  # fmt: skip


def files(more: str = "", cases: object = CASES, **other: bytes) -> dict[str, bytes]:
    """Return the files of a bundle; ``other`` replaces by name (dots as ``__``)."""
    text = base_text()
    whole = {
        SCHEMA: text.schema.encode(),
        "base.cedar": text.policies.encode(),
        "site.cedar": more.encode(),
        GOLDEN: encode({"zones": ZONES, "cases": cases}),
    }
    return {**whole, **{name.replace("__", "."): data for name, data in other.items()}}


def made(
    content: dict[str, bytes], serial: int = 1, prev: str | None = None, ends_s: int = 0
) -> PolicyBundle:
    """Return the bundle of these files."""
    manifest = Manifest(
        format=FORMAT,
        serial=serial,
        prev_digest=prev,
        effective_from_s=BEGINS_S,
        not_after_s=ends_s or BEGINS_S + 90 * DAY_S,
        engine=ENGINE,
        files=entries_of(content),
    )
    return assemble(manifest, content)


def forbid(rule: str, scope: str = "", unless: str = "false") -> str:
    """Return one forbid that always holds, or ``unless``; ``scope`` narrows the principal."""
    who = f"principal == {scope}" if scope else "principal is Holdfast::App"
    return (
        f'@id("{rule}") @reason("Because.")\n'
        f"forbid ({who}, action, resource is Holdfast::Placement) unless {{ {unless} }};\n"
    )
