"""Signing what was built onto a stick: TUF metadata with rising versions, never a weight read.

``KEYS/repository`` remembers what this vendor has signed: every stick carries metadata that is
newer than the last one's, and no version of a model is ever signed twice with different bytes.
The stick's own older metadata counts only where this vendor's keys signed it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import MANIFEST_BYTES
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from holdfast_bundles import layout, manifest
from holdfast_bundles.logic.metadata import gate
from holdfast_bundles.logic.names import release_of_target
from holdfast_bundles.media import FOLDER, Stick
from holdfast_bundles.vendor import keys, models
from holdfast_bundles.vendor.stick_writer import write_atomically, writing

_STATE: Final = "repository/released.json"


class Lives(NamedTuple):
    """How long each role's signature counts; weights need not travel again to renew one."""

    timestamp: timedelta = timedelta(days=180)
    snapshot: timedelta = timedelta(days=365)
    targets: timedelta = timedelta(days=365)


class _Target(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    length: int
    release_seq: int


class _Released(msgspec.Struct, frozen=True, kw_only=True):
    """What this vendor has signed so far; ``version`` is that of all roles but the root."""

    version: int = 0
    targets: dict[str, _Target] = {}


class Signed(NamedTuple):
    """Signed metadata on a stick: its version, and the targets that lie on this stick."""

    vendor: str
    version: int
    targets: list[str]


def sign(stick: Path, folder: Path, now: datetime, lives: Lives | None = None) -> Signed:
    """Sign the models of the vendor of ``folder`` (keys) that lie on ``stick``.

    Raises ``BUNDLE_MISSING``, ``NOT_FOUND`` where no model of this vendor lies there,
    ``VERSION_REUSED``, ``MANIFEST_INVALID`` and ``CONFIG_INVALID`` for unusable keys.
    """
    vendor, root, root_bytes = keys.load_root(folder)
    with Stick.open(stick) as opened:
        present = _present(opened, vendor)
        carried = _carried_version(opened, vendor, root)
    before = _load(folder / _STATE)
    after = _merge(before, present, max(before.version, carried) + 1)
    files = _metadata(vendor, after, _Signers.load(folder), now, lives or Lives())
    for name, data in files.items():
        gate(name, data)
    with writing(folder / _STATE):
        # The memory first: after a cut at any point, the next signing is newer than both.
        (folder / _STATE).parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(folder / _STATE, msgspec.json.encode(after, order="sorted"))
    _publish(stick / FOLDER / layout.metadata(vendor), {"1.root.json": root_bytes, **files})
    return Signed(vendor, after.version, sorted(present))


def _present(stick: Stick, vendor: str) -> dict[str, bytes]:
    """Return the manifests of ``vendor`` on the stick by target name, each well formed."""
    found: dict[str, bytes] = {}
    for name in models.manifests(stick, vendor):
        release_of_target(name)
        data = stick.read(layout.target(vendor, name), MANIFEST_BYTES)
        assert data is not None
        manifest.parse(data, name)
        found[name] = data
    if not found:
        raise HoldfastError(Code.NOT_FOUND, f"No model of {vendor} lies on this stick.")
    return found


def _carried_version(stick: Stick, vendor: str, root: Metadata[Root]) -> int:
    """Return the version of the stick's metadata if this vendor signed it, else 0.

    An unsigned number would let anyone push the versions so high that nothing could follow.
    """
    files = models.read_metadata(stick, vendor)
    data = files.get("timestamp.json")
    if data is None:
        return 0
    try:
        gate("timestamp.json", data)
        timestamp: Metadata[Timestamp] = Metadata.from_bytes(data)
        root.signed.verify_delegate("timestamp", timestamp.signed_bytes, timestamp.signatures)
    except (HoldfastError, RepositoryError):
        return 0
    return timestamp.signed.version


def _load(path: Path) -> _Released:
    if not path.exists():
        return _Released()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Released)
    except (OSError, msgspec.MsgspecError) as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{path} cannot be read; restore it from a backup."
        ) from error


def _merge(before: _Released, present: dict[str, bytes], version: int) -> _Released:
    targets = dict(before.targets)
    for name, data in present.items():
        digest = manifest.digest_of(data)
        known = targets.get(name)
        if known is not None and known.digest != digest:
            raise HoldfastError(
                Code.VERSION_REUSED,
                f"{name} was signed before with other bytes; build it as a new version.",
                file=name,
            )
        if known is None:
            model = release_of_target(name).name
            last = [
                item.release_seq
                for other, item in targets.items()
                if release_of_target(other).name == model
            ]
            targets[name] = _Target(
                digest=digest, length=len(data), release_seq=max(last, default=0) + 1
            )
    return _Released(version=version, targets=targets)


class _Signers(NamedTuple):
    targets: CryptoSigner
    snapshot: CryptoSigner
    timestamp: CryptoSigner
    release: CryptoSigner

    @classmethod
    def load(cls, folder: Path) -> _Signers:
        return cls(*(keys.load(folder, role) for role in keys.ROLES))


def _metadata(
    vendor: str, state: _Released, signers: _Signers, now: datetime, lives: Lives
) -> dict[str, bytes]:
    """Return the metadata files by name, all of version ``state.version``."""
    version = state.version
    moment = now.replace(microsecond=0)
    release_key = signers.release.public_key
    role = DelegatedRole(vendor, [release_key.keyid], 1, True, [f"{vendor}/*/*/manifest.json"])
    top = Targets(
        version=version,
        expires=moment + lives.targets,
        delegations=Delegations({release_key.keyid: release_key}, {vendor: role}),
    )
    releases = Targets(
        version=version,
        expires=moment + lives.targets,
        targets={name: _target_file(name, item) for name, item in state.targets.items()},
    )
    snapshot = Snapshot(
        version=version,
        expires=moment + lives.snapshot,
        meta={"targets.json": MetaFile(version), f"{vendor}.json": MetaFile(version)},
    )
    timestamp = Timestamp(
        version=version, expires=moment + lives.timestamp, snapshot_meta=MetaFile(version)
    )
    return {
        f"{version}.targets.json": _signed(Metadata(top), signers.targets),
        f"{version}.{vendor}.json": _signed(Metadata(releases), signers.release),
        f"{version}.snapshot.json": _signed(Metadata(snapshot), signers.snapshot),
        "timestamp.json": _signed(Metadata(timestamp), signers.timestamp),
    }


def _target_file(name: str, item: _Target) -> TargetFile:
    custom = {"schema": 1, "kind": "model-release", "release_seq": item.release_seq}
    hashes = {"sha256": item.digest.removeprefix("sha256:")}
    return TargetFile(item.length, hashes, name, {"custom": custom})


def _signed(item: Metadata[Any], signer: CryptoSigner) -> bytes:
    item.sign(signer)
    return item.to_bytes(JSONSerializer())


def _publish(folder: Path, files: dict[str, bytes]) -> None:
    """Write the metadata, the timestamp last: what it names is there when it says so."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(files, key=lambda item: item == "timestamp.json"):
            write_atomically(folder / name, files[name])
        for old in folder.glob("*.json"):
            if old.name not in files and not old.name.endswith(".root.json"):
                old.unlink()
