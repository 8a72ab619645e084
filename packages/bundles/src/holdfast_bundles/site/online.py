"""Snapshot and timestamp: what the controller's online key says about the files in force.

The snapshot proves "these are all approvals and all denials"; the timestamp proves "as of now".
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import SNAPSHOT_BYTES

from holdfast_bundles.site import lives, metadata, names
from holdfast_bundles.site.keys import SigningKey
from holdfast_bundles.site.tufapi import MetaFile, Signature, Signed, Snapshot, Timestamp


class Previous(msgspec.Struct, frozen=True, kw_only=True):
    """The last stamp: its versions, and the snapshot's file if it is still at hand."""

    timestamp_version: int = 0
    snapshot_version: int = 0
    snapshot: bytes | None = None


def previous(site: str, stamped: Mapping[str, bytes]) -> Previous:
    """Return what :func:`stamp` needs to go on from its last result, ``stamped``."""
    result = Previous()
    for name, data in stamped.items():
        signed = metadata.read(name, data, site).signed
        if isinstance(signed, Timestamp):
            result = msgspec.structs.replace(result, timestamp_version=signed.version)
        elif isinstance(signed, Snapshot) and signed.version > result.snapshot_version:
            result = msgspec.structs.replace(result, snapshot_version=signed.version, snapshot=data)
    return result


def stamp(
    files: Mapping[str, bytes], key: SigningKey, now_s: float, last: Previous
) -> dict[str, bytes]:
    """Return ``<v>.snapshot.json`` and ``timestamp.json`` over the role files in force.

    ``files`` maps role to bytes. The snapshot is signed anew when something changed or when half
    its life is over, the timestamp always. Equal input gives equal bytes. Raises ``TOO_LARGE``
    when the site has more bins than a snapshot can list.
    """
    site = _site(files)
    meta = {
        f"{role}.json": _meta(role, data, site)
        for role, data in sorted(files.items())
        if role != "root"
    }
    kept = _kept(site, meta, now_s, last)
    snapshot_version = last.snapshot_version if kept else last.snapshot_version + 1
    snapshot = kept or _signed(
        Snapshot(
            version=snapshot_version,
            expires=metadata.when(now_s + lives.SNAPSHOT_LIFE_S),
            meta=meta,
            unrecognized_fields=metadata.binding("snapshot", site),
        ),
        key,
    )
    if len(snapshot) > SNAPSHOT_BYTES:
        raise HoldfastError(Code.TOO_LARGE, f"{len(meta)} files are more than a snapshot lists.")
    fields = metadata.binding("timestamp", site)
    fields[metadata.FIELD]["issued"] = int(now_s)
    timestamp = Timestamp(
        version=last.timestamp_version + 1,
        expires=metadata.when(now_s + lives.TIMESTAMP_LIFE_S),
        snapshot_meta=MetaFile.from_data(snapshot_version, snapshot, ["sha256"]),
        unrecognized_fields=fields,
    )
    return {
        names.file_name("snapshot", snapshot_version): snapshot,
        names.file_name("timestamp", timestamp.version): _signed(timestamp, key),
    }


def _site(files: Mapping[str, bytes]) -> str:
    for role in names.FRAME_ROLES:
        if role not in files:
            raise HoldfastError(Code.METADATA_MISSING, f"There is no {role} file.", file=role)
    return metadata.site_of(files["targets"])


def _meta(role: str, data: bytes, site: str) -> MetaFile:
    version = metadata.read_role(role, data, site).signed.version
    return MetaFile.from_data(version, data, ["sha256"])


def _kept(site: str, meta: Mapping[str, MetaFile], now_s: float, last: Previous) -> bytes | None:
    if last.snapshot is None:
        return None
    old: Snapshot = metadata.read_role("snapshot", last.snapshot, site).signed
    half_over = now_s > metadata.expires_s(old) - lives.SNAPSHOT_LIFE_S // 2
    return None if half_over or old.meta != meta else last.snapshot


def _signed(signed: Signed, key: SigningKey) -> bytes:
    file = metadata.unsigned(signed)
    keyid = key.public.keyid
    file.signatures[keyid] = Signature(keyid, key.sign(file.signed_bytes))
    return metadata.file_bytes(file)
