"""What a bin holds, read and checked entry by entry: path, bin, digest, document.

Shared by the officer's review and by every reader, so that what a person saw is what a node
believes.
"""

from __future__ import annotations

import msgspec
from holdfast_policy.logic.bundle import PolicyBundle, read_bundle
from tuf.api.exceptions import LengthOrHashMismatchError

from holdfast_bundles.site import model, names
from holdfast_bundles.site.metadata import malformed
from holdfast_bundles.site.model import AppRecord, Approval, Denial, SiteCertificate
from holdfast_bundles.site.tufapi import TargetFile, Targets


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """An approved manifest; ``manifest`` is None where it was too large to ride along."""

    name: str
    digest: str
    length_bytes: int
    approval: Approval
    manifest: bytes | None


class Trusted(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor and the exact bytes of its pinned root."""

    vendor: str
    root: bytes


Document = Allowed | Trusted | SiteCertificate | AppRecord | PolicyBundle | Denial


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One target of a bin: its path, what it is about, the sha256 of its document, the document."""

    path: str
    subject: names.Subject
    digest: str
    document: Document


def entries(role: str, signed: Targets) -> tuple[Entry, ...]:
    """Return what the bin ``role`` holds, by path; raises ``METADATA_MALFORMED``.

    Every path must hash to this bin and be of a kind it may hold, and every document must have
    the length and digest signed for it: a bin is believed whole or not at all.
    """
    return tuple(_entry(role, path, signed.targets[path]) for path in sorted(signed.targets))


def _entry(role: str, path: str, file: TargetFile) -> Entry:
    prefix = names.bin_prefix(role)
    subject = names.parse_target(path)
    if prefix is None or subject is None or names.bin_of(prefix, path) != role:
        raise malformed(role, f"{path[:120]!a} does not belong there")
    if not names.may_hold(prefix, subject.kind):
        raise malformed(role, f"a bin {prefix}- holds no {subject.kind}")
    digest = file.hashes.get("sha256")
    if digest is None:
        raise malformed(role, f"{path} has no sha256")
    custom = model.read_custom(file.custom, path)
    if custom.document is not None:
        try:
            file.verify_length_and_hashes(custom.document)
        except LengthOrHashMismatchError as error:
            raise malformed(role, f"the document of {path} is not the one signed for") from error
    document = _document(role, subject, file, custom)
    return Entry(path=path, subject=subject, digest=f"sha256:{digest}", document=document)


def _document(
    role: str, subject: names.Subject, file: TargetFile, custom: model.Custom
) -> Document:
    if subject.kind == "allow":
        if custom.approval is None:
            raise malformed(role, f"the approval of {subject.name} states no grounds")
        return Allowed(
            name=subject.name,
            digest=f"sha256:{file.hashes['sha256']}",
            length_bytes=file.length,
            approval=custom.approval,
            manifest=custom.document,
        )
    if custom.document is None:
        raise malformed(role, f"{subject.name} has no document")
    document, named = _small(subject, custom.document)
    if named != subject.name:
        raise malformed(role, f"the document of {subject.name} is about {named[:80]!a}")
    return document


def _small(subject: names.Subject, data: bytes) -> tuple[Document, str]:
    match subject.kind:
        case "node":
            certificate = model.read_certificate(data)
            return certificate, certificate.node
        case "app":
            record = model.read_app(data)
            return record, record.app
        case "policy":
            return read_bundle(data), subject.name
        case "deny":
            denial = model.read_denial(data)
            return denial, denial.what
        case _:
            return Trusted(vendor=subject.name, root=data), subject.name
