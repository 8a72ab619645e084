"""The site's trust as the controller keeps it: what is in force, what a new file says, the stamp.

Signing and checking are computations of the site package; no key of an officer is ever here, and
the online key is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from holdfast_bundles.site import metadata, names
from holdfast_bundles.site.entries import Allowed, Entry, Trusted, entries
from holdfast_bundles.site.frame import Frame, load_frame
from holdfast_bundles.site.keys import SigningKey
from holdfast_bundles.site.marks import Marks
from holdfast_bundles.site.model import (
    AppRecord,
    Denial,
    Proposal,
    RequestSignature,
    SiteCertificate,
)
from holdfast_bundles.site.online import previous, stamp
from holdfast_bundles.site.propose import Standing
from holdfast_policy.logic.bundle import PolicyBundle
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.logic import facts
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.state import Request, State

FRAME = ("root", *names.FRAME_ROLES)


def in_force(state: State) -> dict[str, bytes]:
    """Return the newest file of every officer-signed role, by role."""
    return {
        role: state.files[f"{version}.{role}.json"]
        for role, version in sorted(state.versions.items())
    }


def frame(state: State) -> Frame:
    """Return the verified frame; raises what :func:`load_frame` raises."""
    return load_frame(in_force(state), state.founded().name)


def standing(state: State, now_s: float) -> Standing:
    """Return where a new proposal starts."""
    return Standing(frame=frame(state), current=in_force(state), now_s=now_s)


def stamped(state: State, key: SigningKey, now_s: float) -> facts.TrustStamped:
    """Return the online key's word on everything in force, as of ``now_s``."""
    return _stamp(state, in_force(state), key, now_s)


def stamped_with(
    state: State, role: str, content: bytes, key: SigningKey, now_s: float
) -> facts.TrustStamped:
    """Return the online key's word on everything in force and one more role file."""
    return _stamp(state, {**in_force(state), role: content}, key, now_s)


def _stamp(
    state: State, roles: Mapping[str, bytes], key: SigningKey, now_s: float
) -> facts.TrustStamped:
    site = state.founded().name
    old = {
        name: data
        for name, data in sorted(state.files.items())
        if names.parse_file(name)[0] in ("snapshot", "timestamp")
    }
    files = stamp(roles, key, now_s, previous(site, old))
    result = previous(site, files)
    return facts.TrustStamped(
        snapshot=result.snapshot_version,
        timestamp=result.timestamp_version,
        at_ms=int(now_s * 1000),
        files=files,
    )


def certificate_of(state: State, node: str) -> SiteCertificate | None:
    """Return the site certificate of ``node`` as officers signed it last, revoked or not."""
    role = names.bin_of("ok", names.node_target(node))
    version = state.versions.get(role)
    if version is None:
        return None
    content = state.files[f"{version}.{role}.json"]
    for entry in entries(role, metadata.read_role(role, content, state.founded().name).signed):
        if isinstance(entry.document, SiteCertificate) and entry.document.node == node:
            return entry.document
    return None


def marks(state: State) -> Marks:
    """Return what a new node shall take as seen, so that nobody shows it a site of long ago."""
    stamp_now = state.stamp
    roles = frame(state).root.roles
    return Marks(
        site=state.founded().name,
        online=tuple(sorted({*roles["snapshot"].keyids, *roles["timestamp"].keyids})),
        timestamp=0 if stamp_now is None else stamp_now.timestamp,
        snapshot=0 if stamp_now is None else stamp_now.snapshot,
        issued_s=0 if stamp_now is None else stamp_now.at_ms // 1000,
        roles=dict(sorted(state.versions.items())),
        denied=tuple(sorted(names.deny_target(what) for what in state.denied)),
    )


def proposal_of(request: Request) -> Proposal:
    """Return the request's frozen bytes as the site package takes them."""
    made = request.made
    return Proposal(
        role=made.role,
        version=made.version,
        payload=made.payload,
        sha256=made.sha256,
        threshold=made.needed,
        target=made.subject,
    )


def signatures_of(request: Request) -> list[RequestSignature]:
    """Return the request's signatures, by key id."""
    return [
        RequestSignature(keyid=keyid, sha256=request.made.sha256, signature=signed.signature)
        for keyid, signed in sorted(request.signatures.items())
    ]


def accepted(site: str, role: str, content: bytes, previous: bytes | None = None) -> list[AnyFact]:
    """Return what a role file says once it is in force: itself, then each of its entries.

    ``previous`` is the file it takes the place of; denials that it no longer holds are lifted.
    Its signatures are the caller's to check; raises what reading a role file raises.
    """
    signed = metadata.read_role(role, content, site).signed
    result: list[AnyFact] = [
        facts.RoleFileAccepted(role=role, version=signed.version, content=content)
    ]
    if names.bin_prefix(role) is not None:
        said = entries(role, signed)
        result += _lifted(site, role, previous, said)
        result += [_says(entry) for entry in said]
    return result


def _lifted(
    site: str, role: str, previous: bytes | None, said: Sequence[Entry]
) -> list[facts.DenialLifted]:
    if previous is None or names.bin_prefix(role) != "no":
        return []
    kept = {entry.path for entry in said}
    before = entries(role, metadata.read_role(role, previous, site).signed)
    return [
        facts.DenialLifted(what=entry.document.what)
        for entry in before
        if entry.path not in kept and isinstance(entry.document, Denial)
    ]


def founding(site: str, files: Mapping[str, bytes]) -> list[AnyFact]:
    """Return the facts of the ceremony's files, each verified from the site's own root.

    ``files`` are named by role or as served (``1.root.json``). Raises ``CONFIG_INVALID`` for a
    file under two names, and what the verification raises.
    """
    roles: dict[str, bytes] = {}
    for name, content in sorted(files.items()):
        role = names.parse_file(name)[0] if name.endswith(".json") else name
        if role in roles:
            raise HoldfastError(Code.CONFIG_INVALID, f"The founding names {role} twice.")
        roles[role] = content
    verified = load_frame(roles, site)
    result: list[AnyFact] = []
    for role in (*FRAME, *sorted(set(roles) - set(FRAME))):
        if names.bin_prefix(role) is not None:
            verified.verify(role, metadata.read_role(role, roles[role], site))
        result += accepted(site, role, roles[role])
    return result


def _says(entry: Entry) -> AnyFact:
    document = entry.document
    match document:
        case Allowed():
            name, _, version = document.name.partition("@")
            return facts.ModelAllowed(name=name, version=version, digest=document.digest)
        case Trusted():
            return facts.VendorTrusted(vendor=document.vendor, root=document.root)
        case SiteCertificate():
            return facts.NodeCertified(
                node=document.node,
                jurisdiction=document.jurisdiction,
                zones=document.zones,
                not_after_s=document.not_after_s,
            )
        case AppRecord():
            return facts.AppGranted(name=document.app)
        case PolicyBundle():
            manifest = document.manifest
            return facts.PolicyAdopted(
                serial=manifest.serial,
                digest=entry.digest,
                prev_digest=manifest.prev_digest,
                effective_from_s=manifest.effective_from_s,
                not_after_s=manifest.not_after_s,
            )
        case Denial():
            return facts.Denied(what=document.what, reason=document.reason)
        case _:
            assert_never(document)


def accepted_entries(role: str, payload: bytes) -> tuple[Entry, ...]:
    """Return what a proposed payload says, entry by entry; its dates do not count."""
    return entries(role, metadata.read_payload(payload).signed)


def served(state: State, name: str) -> bytes | None:
    """Return the role file that a node asked for by ``name``, None where there is none."""
    return state.files.get(name)


def people(request: Request) -> Sequence[str]:
    """Return who signed ``request``, by name."""
    return sorted(signed.person for signed in request.signatures.values())
