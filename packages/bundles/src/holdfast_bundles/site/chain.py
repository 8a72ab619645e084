"""The chain of trust over a whole set of files, from the pinned root to every bin.

Bytes in, values out: no I/O and no clock; dates are judged by whoever holds the time. Besides
python-tuf's client workflow this is the second opinion on everything before it is swapped in, and
the only way a cache is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from tuf.api.exceptions import LengthOrHashMismatchError

from holdfast_bundles.site import metadata, names
from holdfast_bundles.site.entries import Entry, entries
from holdfast_bundles.site.frame import Frame, check_root, frame_of, verify_count
from holdfast_bundles.site.metadata import malformed
from holdfast_bundles.site.tufapi import Metadata, MetaFile, Root, Snapshot, Timestamp


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """One approval or denial file; ``broken`` says why it is not believed, if it is not."""

    role: str
    version: int
    expires_s: int
    file_sha256: str
    entries: tuple[Entry, ...]
    broken: str | None = None


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """Everything verified under one snapshot; bins that are listed but not believed are broken."""

    frame: Frame
    frame_sha256: str
    timestamp: Timestamp
    snapshot: Snapshot
    issued_s: int
    bins: dict[str, Bin]

    @property
    def online_keyids(self) -> tuple[str, ...]:
        """The key ids that may stamp."""
        roles = self.frame.root.roles
        return tuple(sorted({*roles["snapshot"].keyids, *roles["timestamp"].keyids}))

    def expiries(self) -> dict[str, int]:
        """Return the expiry of every file that new loads depend on, by role, in Unix time."""
        frame = self.frame
        signed = {
            "root": frame.root,
            "timestamp": self.timestamp,
            "snapshot": self.snapshot,
            "targets": frame.targets,
            "approvals": frame.approvals,
            "apps": frame.apps,
            "revoked": frame.revoked,
        }
        return {role: metadata.expires_s(value) for role, value in signed.items()}

    def expired(self, now_s: float) -> str | None:
        """Return the first role whose file has passed its date at ``now_s``, or None."""
        for role, end_s in self.expiries().items():
            if now_s >= end_s:
                return role
        return None


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """A set of files as they lie in a cache: roots by version, the others by role."""

    roots: dict[int, bytes]
    roles: dict[str, bytes]


def verify(files: Files, pinned: bytes, site: str, known: Chain | None = None) -> Chain:
    """Return the chain in ``files`` under the ``pinned`` root; raises the first refusal.

    A bin that fails is kept as broken and refuses nothing else. ``known`` is an earlier result:
    bins of the same bytes under the same frame are not verified twice.
    """
    root = verify_roots(files.roots, pinned, site)
    timestamp = _online(files, site, root, "timestamp")
    stamped: Timestamp = timestamp.signed
    snapshot = _online(files, site, root, "snapshot")
    listed: Snapshot = snapshot.signed
    _match("snapshot", stamped.snapshot_meta, files.roles["snapshot"], listed.version)
    read = {role: _frame_file(files, site, role, listed) for role in names.FRAME_ROLES}
    frame = frame_of(site, root, read)
    digest = _frame_digest(frame, files)
    same = known if known is not None and known.frame_sha256 == digest else None
    bins = {}
    for name, meta in sorted(listed.meta.items()):
        role = name.removesuffix(".json")
        # Names that are no bins of ours belong to a newer controller, or to a thief: ignored.
        if names.bin_prefix(role) is not None:
            old = same.bins.get(role) if same is not None else None
            bins[role] = _bin(frame, role, meta, files.roles.get(role), old)
    return Chain(
        frame=frame,
        frame_sha256=digest,
        timestamp=stamped,
        snapshot=listed,
        issued_s=issued_s(stamped),
        bins=bins,
    )


def verify_roots(roots: Mapping[int, bytes], pinned: bytes, site: str) -> Root:
    """Return the newest root that follows from the ``pinned`` one, each signed by old and new."""
    file = metadata.read_role("root", pinned, site)
    root: Root = file.signed
    verify_count(root, "root", file, root.roles["root"].threshold)
    check_root(root)
    while root.version + 1 in roots:
        file = metadata.read_role("root", roots[root.version + 1], site)
        following: Root = file.signed
        if following.version != root.version + 1:
            raise HoldfastError(
                Code.METADATA_ROLLBACK, f"{root.version + 1}.root.json is another.", file="root"
            )
        verify_count(root, "root", file, root.roles["root"].threshold)
        verify_count(following, "root", file, following.roles["root"].threshold)
        check_root(following)
        root = following
    return root


def read_bin(frame: Frame, data: bytes) -> Bin:
    """Return the bin in ``data`` on the officers' signatures alone, wherever it came from.

    A denial needs no snapshot to be believed. Raises ``SITE_BINDING``, ``BAD_SIGNATURE`` and what
    reading raises.
    """
    role = metadata.role_of(data)
    if names.bin_prefix(role) is None:
        raise HoldfastError(Code.SITE_BINDING, f"{role} is no approval and no denial.", file=role)
    return _believed(frame, role, data)


def broken_bin(role: str, why: str) -> Bin:
    """Return the bin ``role`` as one that is not believed; a deny bin denies all it may hold."""
    return Bin(role=role, version=0, expires_s=0, file_sha256="", entries=(), broken=why)


def with_denials(chain: Chain, arrived: Sequence[Bin]) -> Chain:
    """Return ``chain`` with denials that ``arrived`` by other ways where they are newer.

    A listed bin that cannot be read stays so: it denies more than any older file would.
    """
    bins = dict(chain.bins)
    for one in arrived:
        held = bins.get(one.role)
        if held is None or (held.broken is None and held.version < one.version):
            bins[one.role] = one
    return msgspec.structs.replace(chain, bins=bins)


def issued_s(timestamp: Timestamp) -> int:
    """Return when ``timestamp`` was issued, Unix time; raises ``METADATA_MALFORMED``."""
    fields = timestamp.unrecognized_fields.get(metadata.FIELD)
    value = fields.get("issued") if isinstance(fields, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise malformed("timestamp", "it does not say when it was issued")
    return value


def _online(files: Files, site: str, root: Root, role: str) -> Metadata[Any]:
    file = metadata.read_role(role, _present(files, role), site)
    verify_count(root, role, file, root.roles[role].threshold)
    return file


def _frame_file(files: Files, site: str, role: str, listed: Snapshot) -> Metadata[Any]:
    data = _present(files, role)
    file = metadata.read_role(role, data, site)
    meta = listed.meta.get(f"{role}.json")
    if meta is None:
        raise HoldfastError(Code.METADATA_MISSING, f"The snapshot lists no {role}.", file=role)
    _match(role, meta, data, file.signed.version)
    return file


def _present(files: Files, role: str) -> bytes:
    if role not in files.roles:
        raise HoldfastError(Code.METADATA_MISSING, f"There is no {role} file.", file=role)
    return files.roles[role]


def _match(role: str, meta: MetaFile, data: bytes, version: int) -> None:
    try:
        meta.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise malformed(role, "it is not the file that is listed") from error
    if meta.hashes is None or "sha256" not in meta.hashes or meta.version != version:
        raise malformed(role, "it is listed without a digest or with another version")


def _bin(frame: Frame, role: str, meta: MetaFile, data: bytes | None, old: Bin | None) -> Bin:
    try:
        if data is None:
            raise HoldfastError(Code.METADATA_MISSING, f"{role} is listed and cannot be had.")
        if old is not None and old.broken is None and old.file_sha256 == _sha256(data):
            result = old
        else:
            result = _believed(frame, role, data)
        _match(role, meta, data, result.version)
    except HoldfastError as error:
        return broken_bin(role, error.message)
    return result


def _believed(frame: Frame, role: str, data: bytes) -> Bin:
    file = metadata.read_role(role, data, frame.site)
    frame.verify(role, file)
    return Bin(
        role=role,
        version=file.signed.version,
        expires_s=metadata.expires_s(file.signed),
        file_sha256=_sha256(data),
        entries=entries(role, file.signed),
    )


def _frame_digest(frame: Frame, files: Files) -> str:
    parts: Sequence[bytes] = [metadata.unsigned(frame.root).signed_bytes] + [
        files.roles[role] for role in names.FRAME_ROLES
    ]
    return _sha256(b"".join(hashlib.sha256(part).digest() for part in parts))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
