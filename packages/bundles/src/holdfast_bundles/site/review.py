"""What an officer sees before signing, computed from the payload alone, never from a note."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import assert_never

import msgspec
from holdfast_policy.logic.bundle import PolicyBundle
from holdfast_policy.logic.rules import rules
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_bundles.site import metadata, names
from holdfast_bundles.site.entries import Allowed, Document, Entry, Trusted, entries
from holdfast_bundles.site.model import AppRecord, Denial, SiteCertificate, sha256_hex
from holdfast_bundles.site.tufapi import Targets


class ReviewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the file will say: ``allow`` of ``acme/llm@1.0``, its digest, its fields."""

    kind: str
    subject: str
    digest: str
    fields: tuple[tuple[str, str], ...]


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A whole role file as a person reads it; without entries it withdraws what it held."""

    site: str
    role: str
    version: int
    expires_s: int
    sha256: str
    entries: tuple[ReviewEntry, ...]

    @property
    def kind(self) -> str:
        """The kind of the first entry, ``withdraw`` if there is none."""
        return self.entries[0].kind if self.entries else "withdraw"

    @property
    def subject(self) -> str:
        """The subject of the first entry, the role if there is none."""
        return self.entries[0].subject if self.entries else self.role

    @property
    def digest(self) -> str | None:
        """The digest of the first entry."""
        return self.entries[0].digest if self.entries else None


def review(payload: bytes) -> Review:
    """Return what signing ``payload`` would say, for a bin's file.

    Raises ``METADATA_MALFORMED`` for bytes that are not canonical or that readers would refuse,
    and ``BAD_REQUEST`` for a frame file, which is signed at a ceremony.
    """
    signed = metadata.read_payload(payload).signed
    role, site = metadata.role_and_site(signed)
    if names.bin_prefix(role) is None or not isinstance(signed, Targets):
        raise HoldfastError(Code.BAD_REQUEST, f"{role} is no request but part of the frame.")
    return Review(
        site=site,
        role=role,
        version=signed.version,
        expires_s=metadata.expires_s(signed),
        sha256=sha256_hex(payload),
        entries=tuple(_shown(entry) for entry in entries(role, signed)),
    )


def _shown(entry: Entry) -> ReviewEntry:
    return ReviewEntry(
        kind=entry.subject.kind,
        subject=entry.subject.name,
        digest=entry.digest,
        fields=_fields(entry.document),
    )


def _fields(document: Document) -> tuple[tuple[str, str], ...]:
    match document:
        case Allowed(length_bytes=length_bytes, approval=approval):
            return (("length_bytes", str(length_bytes)), *_all(approval))
        case Trusted(root=root):
            return (("root_bytes", str(len(root))),)
        case SiteCertificate():
            return (("fingerprint", document.fingerprint), *_all(document))
        case AppRecord() | Denial():
            return _all(document)
        case PolicyBundle():
            return _policy(document)
        case _:
            assert_never(document)


def _policy(bundle: PolicyBundle) -> tuple[tuple[str, str], ...]:
    manifest = bundle.manifest
    return (
        ("serial", str(manifest.serial)),
        ("prev_digest", manifest.prev_digest or "-"),
        ("effective_from", _moment(manifest.effective_from_s)),
        ("not_after", _moment(manifest.not_after_s)),
        ("engine", manifest.engine),
        *(
            (f"{rule.effect} {rule.id}", rule.reason)
            for rule in sorted(rules(bundle.text.policies), key=lambda rule: rule.id)
        ),
    )


def _moment(unix_s: int) -> str:
    try:
        return datetime.fromtimestamp(unix_s, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return str(unix_s)


def _all(value: msgspec.Struct) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(getattr(value, name))) for name in value.__struct_fields__)


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case tuple():
            return " ".join(str(part) for part in value) or "-"
        case dict():
            return " ".join(f"{key}={value[key]}" for key in sorted(value)) or "-"
        case _:
            return str(value)
