"""Proposals: what officers are asked to sign, one role file each, built from what is in force.

A bin's next version keeps whatever else it holds: two paths may share one of 2**32 bins.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from holdfast_policy.logic.bundle import PolicyBundle, document
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import MANIFEST_BYTES, ROOT_BYTES

from holdfast_bundles.site import lives, metadata, model, names
from holdfast_bundles.site.entries import entries
from holdfast_bundles.site.frame import Frame
from holdfast_bundles.site.model import (
    AppRecord,
    Approval,
    Custom,
    Denial,
    Proposal,
    SiteCertificate,
)
from holdfast_bundles.site.review import review
from holdfast_bundles.site.tufapi import TargetFile, Targets


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a proposal starts: the frame, the role files in force (role to bytes), the time."""

    frame: Frame
    current: Mapping[str, bytes]
    now_s: float


def propose_allow(
    at: Standing, name: str, version: str, manifest: bytes, approval: Approval
) -> Proposal:
    """Return the request to approve ``vendor/model`` in ``version`` with these manifest bytes.

    Raises ``VERSION_REUSED`` if the version was approved with other bytes.
    """
    target = names.allow_target(name, version)
    if len(manifest) > MANIFEST_BYTES:
        raise HoldfastError(Code.TOO_LARGE, f"The manifest of {name} exceeds {MANIFEST_BYTES} B.")
    model.short_text(approval.licence, "The licence")
    role = names.bin_of("ok", target)
    held = _held(at, role).get(target)
    if held is not None and held.hashes.get("sha256") != model.sha256_hex(manifest):
        raise HoldfastError(
            Code.VERSION_REUSED, f"{name}@{version} is approved with other bytes already."
        )
    rides = len(manifest) <= model.MANIFEST_INLINE_BYTES
    custom = Custom(schema=model.SCHEMA, document=manifest if rides else None, approval=approval)
    return _propose(at, role, _target(target, manifest, custom), lives.APPROVAL_LIFE_S)


def propose_vendor(at: Standing, vendor: str, root: bytes) -> Proposal:
    """Return the request to trust ``vendor`` by the exact bytes of its TUF root."""
    if not 0 < len(root) <= ROOT_BYTES:
        raise HoldfastError(Code.TOO_LARGE, f"The root of {vendor} exceeds {ROOT_BYTES} B.")
    return _document(at, "ok", names.vendor_target(vendor), root)


def propose_node(at: Standing, certificate: SiteCertificate) -> Proposal:
    """Return the request to certify a node; raises ``BAD_REQUEST`` if it is not one."""
    document = model.document_of(certificate)
    model.read_certificate(document)
    return _document(at, "ok", names.node_target(certificate.node), document)


def propose_app(at: Standing, record: AppRecord, zones: Mapping[str, str]) -> Proposal:
    """Return the request to grant ``record``; one officer suffices within the defaults.

    ``zones`` maps zone to jurisdiction. An application with a wide record in force needs as many
    officers for a narrow one: one alone could otherwise replace its key.
    """
    document = model.document_of(record)
    model.read_app(document)
    target = names.app_target(record.app)
    wide = not model.within_defaults(record, zones)
    known_wide = target in _held(at, names.bin_of("ok", target))
    return _document(at, "ok" if wide or known_wide else "ap", target, document)


def propose_policy(at: Standing, bundle: PolicyBundle) -> Proposal:
    """Return the request to bring ``bundle`` into force; raises ``POLICY_INVALID``.

    Its serial must rise, and it must name the bundle that it takes the place of.
    """
    held = bundle_in(at.current, at.frame.site)
    manifest = bundle.manifest
    before = (0, None) if held is None else (held.manifest.serial, held.digest)
    if manifest.serial <= before[0]:
        raise HoldfastError(
            Code.POLICY_INVALID,
            f"Policy {manifest.serial} does not rise above policy {before[0]}, which is in force.",
        )
    if manifest.prev_digest != before[1]:
        raise HoldfastError(
            Code.POLICY_INVALID,
            f"Policy {manifest.serial} was made for another policy than the one in force, "
            f"whose digest is {before[1] or 'none'}.",
        )
    return _document(at, "ok", names.POLICY_TARGET, document(bundle))


def bundle_in(current: Mapping[str, bytes], site: str) -> PolicyBundle | None:
    """Return the bundle that ``current`` (role to bytes) holds; None where there is none."""
    role = names.bin_of("ok", names.POLICY_TARGET)
    if role not in current:
        return None
    for entry in entries(role, metadata.read_role(role, current[role], site).signed):
        if isinstance(entry.document, PolicyBundle):
            return entry.document
    return None


def propose_deny(at: Standing, what: str, reason: str) -> Proposal:
    """Return the request to deny ``sha256:<hex>``, ``key:<hex>``, ``app:<id>`` or ``node:<id>``.

    Raises ``ALREADY_EXISTS`` if it is denied.
    """
    target = names.deny_target(what)
    role = names.bin_of("no", target)
    if target in _held(at, role):
        raise HoldfastError(Code.ALREADY_EXISTS, f"{what} is denied already.")
    document = model.document_of(Denial(what=what, reason=model.short_text(reason, "The reason")))
    custom = Custom(schema=model.SCHEMA, document=document)
    return _propose(at, role, _target(target, document, custom), lives.DENIAL_LIFE_S)


def propose_withdraw(at: Standing, prefix: names.Prefix, target: str) -> Proposal:
    """Return the request to take ``target`` out of its bin: lift a denial, withdraw an approval.

    Raises ``NOT_FOUND`` if the bin does not hold it.
    """
    role = names.bin_of(prefix, target)
    held = _held(at, role)
    if target not in held:
        raise HoldfastError(Code.NOT_FOUND, f"{target[:120]!a} is not in force.")
    kept = {path: file for path, file in held.items() if path != target}
    life_s = lives.DENIAL_LIFE_S if prefix == "no" else lives.APPROVAL_LIFE_S
    return _frozen(at, role, kept, life_s, target)


def version_of(at: Standing, role: str) -> int:
    """Return the version of ``role`` in force, 0 if there is none."""
    if role not in at.current:
        return 0
    return int(metadata.read_role(role, at.current[role], at.frame.site).signed.version)


def _document(at: Standing, prefix: names.Prefix, target: str, document: bytes) -> Proposal:
    custom = Custom(schema=model.SCHEMA, document=document)
    role = names.bin_of(prefix, target)
    return _propose(at, role, _target(target, document, custom), lives.APPROVAL_LIFE_S)


def _propose(at: Standing, role: str, file: TargetFile, life_s: int) -> Proposal:
    return _frozen(at, role, {**_held(at, role), file.path: file}, life_s, file.path)


def _frozen(
    at: Standing, role: str, files: Mapping[str, TargetFile], life_s: int, target: str
) -> Proposal:
    signed = Targets(
        version=version_of(at, role) + 1,
        expires=metadata.when(at.now_s + life_s),
        targets=dict(files),
        unrecognized_fields=metadata.binding(role, at.frame.site),
    )
    payload = metadata.unsigned(signed).signed_bytes
    if len(payload) > names.cap_bytes(role) - 16 * 1024:
        raise HoldfastError(Code.TOO_LARGE, f"The request for {target} is too large for its file.")
    # What an officer's own process would refuse to show must never become a request.
    review(payload)
    return Proposal(
        role=role,
        version=signed.version,
        payload=payload,
        sha256=model.sha256_hex(payload),
        threshold=at.frame.threshold(role, signed.version),
        target=target,
    )


def _held(at: Standing, role: str) -> dict[str, TargetFile]:
    if role not in at.current:
        return {}
    signed: Targets = metadata.read_role(role, at.current[role], at.frame.site).signed
    return signed.targets


def _target(path: str, document: bytes, custom: Custom) -> TargetFile:
    fields = {"custom": msgspec.to_builtins(custom)}
    return TargetFile(len(document), {"sha256": model.sha256_hex(document)}, path, fields)
