"""A vendor's TUF metadata: bytes in, verified targets and versions out.

The bytes were copied once, with caps; python-tuf sees only what :mod:`logic.metadata` let pass and
only from memory, so what it verified is what was copied. It writes into ``trust``, a scratch folder
that the caller may keep or throw away; nothing else is touched here. ``download_target`` is never
used: weights are proven by the digests in the manifest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfast_protocol.codec import strict_json
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import VendorVersions
from holdfast_protocol.limits import (
    MANIFEST_BYTES,
    ROOT_BYTES,
    SNAPSHOT_BYTES,
    TARGETS_BYTES,
    TIMESTAMP_BYTES,
)
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from holdfast_bundles.logic.metadata import gate
from holdfast_bundles.logic.names import TOP_ROLES, Release, metadata_file, release_of_target

_URL: Final = "bundle:///"
_KIND: Final = "model-release"


class SignedRelease(NamedTuple):
    """A release that the vendor signed: its manifest's digest and length in bytes."""

    release: Release
    digest: str
    length: int
    release_seq: int


class VendorMetadata(NamedTuple):
    """What a vendor's verified metadata says; ``signers`` are ``role keyid`` lines."""

    vendor: str
    releases: list[SignedRelease]
    versions: VendorVersions
    signers: list[str]


def verify(
    vendor: str, files: Mapping[str, bytes], root: bytes, trust: Path, now: datetime
) -> VendorMetadata:
    """Return what ``files`` (name to bytes) prove, starting from the pinned ``root``.

    ``trust`` holds what was trusted before and is written to. Raises ``BAD_SIGNATURE``,
    ``METADATA_EXPIRED``, ``METADATA_ROLLBACK``, ``METADATA_MISSING``, ``METADATA_MALFORMED`` and
    ``UNSIGNED``, each naming the file. Follows the client workflow of the TUF specification.
    """
    if "timestamp.json" not in files:
        raise HoldfastError(
            Code.UNSIGNED, f"The bundle of {vendor} is not signed.", file="timestamp.json"
        )
    check_root(root)
    for name, data in files.items():
        gate(name, data)
    _same_root(files, root)
    source = _Memory(files)
    with _translated(source, files, now):
        updater = Updater(str(trust), _URL, fetcher=source, config=_config(), bootstrap=root)
        updater.refresh()
        found = [(name, updater.get_targetinfo(name)) for name in _candidates(files)]
    known = _Known.load(trust)
    _check_dates(known, now)
    return VendorMetadata(
        vendor,
        [_release(vendor, name, info) for name, info in found if info is not None],
        known.versions(),
        known.signers(),
    )


def check_root(root: bytes) -> int:
    """Return the version of a root a person names.

    Raises ``METADATA_MALFORMED`` for what is no root, ``BAD_SIGNATURE`` for one that its own keys
    did not sign: trusting it would trust nobody.
    """
    value = strict_json(root, cap_bytes=ROOT_BYTES, name="root.json")
    signed = value.get("signed") if isinstance(value, dict) else None
    version = signed.get("version") if isinstance(signed, dict) else None
    if not isinstance(version, int):
        raise _fault(Code.METADATA_MALFORMED, "root.json", "is not a TUF root")
    gate(f"{version}.root.json", root)
    try:
        parsed = Metadata[Root].from_bytes(root)
    except DeserializationError as error:
        raise _fault(Code.METADATA_MALFORMED, "root.json", "is not a TUF root") from error
    try:
        parsed.signed.verify_delegate("root", parsed.signed_bytes, parsed.signatures)
    except UnsignedMetadataError as error:
        raise _fault(
            Code.BAD_SIGNATURE, "root.json", "is not signed by enough of its own keys"
        ) from error
    return version


def below(versions: VendorVersions, marks: VendorVersions) -> str | None:
    """Return the role that is older than its mark, or None.

    Marks of the online roles hold only for the keys that made them: after a fast-forward the
    vendor's root names other keys, and honest metadata must count again.
    """
    pairs = {"root": (versions.root, marks.root), "targets": (versions.targets, marks.targets)}
    if versions.timestamp_keys == marks.timestamp_keys:
        pairs["timestamp"] = (versions.timestamp, marks.timestamp)
    if versions.snapshot_keys == marks.snapshot_keys:
        pairs["snapshot"] = (versions.snapshot, marks.snapshot)
    for role, mark in marks.roles.items():
        pairs[role] = (versions.roles.get(role, mark), mark)
    lower = sorted(role for role, (now, mark) in pairs.items() if now < mark)
    return lower[0] if lower else None


class _Memory(FetcherInterface):
    """Serves the copied files; ``wanted`` is the last name that python-tuf asked for."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self.wanted = ""

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_URL)
        data = self._files.get(name)
        if data is None:
            # A missing next root is the normal end of the chain, not the culprit of anything.
            if not name.endswith(".root.json"):
                self.wanted = name
            raise DownloadHTTPError(f"{name} is not there", 404)
        self.wanted = name
        return iter([data])


def _config() -> UpdaterConfig:
    return UpdaterConfig(
        root_max_length=ROOT_BYTES,
        timestamp_max_length=TIMESTAMP_BYTES,
        snapshot_max_length=SNAPSHOT_BYTES,
        targets_max_length=TARGETS_BYTES,
        prefix_targets_with_hash=False,
    )


@contextlib.contextmanager
def _translated(source: _Memory, files: Mapping[str, bytes], now: datetime) -> Iterator[None]:
    """Turn python-tuf's errors into ours, naming the file that it looked at last."""
    try:
        yield
    except ExpiredMetadataError as error:
        raise _expired(_first_expired(files, now) or source.wanted) from error
    except UnsignedMetadataError as error:
        raise _fault(Code.BAD_SIGNATURE, source.wanted, "is not signed by trusted keys") from error
    except BadVersionNumberError as error:
        raise _fault(
            Code.METADATA_ROLLBACK, source.wanted, "is older than what was seen before"
        ) from error
    except LengthOrHashMismatchError as error:
        raise _fault(
            Code.BAD_SIGNATURE, source.wanted, "is not the file that was signed"
        ) from error
    except DownloadHTTPError as error:
        raise _fault(Code.METADATA_MISSING, source.wanted, "is missing") from error
    except (RepositoryError, DownloadError) as error:
        raise _fault(Code.METADATA_MALFORMED, source.wanted, "is not acceptable") from error


def _same_root(files: Mapping[str, bytes], root: bytes) -> None:
    """Raise ``BAD_SIGNATURE`` where the medium carries another root of the pinned version."""
    pinned = _parse(root, "root.json")
    name = f"{pinned.signed.version}.root.json"
    if name in files and _parse(files[name], name).signed_bytes != pinned.signed_bytes:
        raise _fault(Code.BAD_SIGNATURE, name, "is not the root that is trusted here")


def _candidates(files: Mapping[str, bytes]) -> list[str]:
    """Return every target name that some targets file mentions; python-tuf decides on each."""
    names: set[str] = set()
    for file, data in files.items():
        if metadata_file(file)[1] in TOP_ROLES - {"targets"}:
            continue
        signed = _parse(data, file).signed
        assert isinstance(signed, Targets)
        names.update(signed.targets)
    for name in names:
        release_of_target(name)
    return sorted(names)


def _release(vendor: str, name: str, info: TargetFile) -> SignedRelease:
    release = release_of_target(name)
    custom: Any = info.custom or {}
    sequence = custom.get("release_seq") if isinstance(custom, dict) else None
    digest = info.hashes.get("sha256", "")
    fits = (
        release.vendor == vendor
        and isinstance(sequence, int)
        and sequence >= 1
        and (custom.get("schema"), custom.get("kind")) == (1, _KIND)
        and 0 < info.length <= MANIFEST_BYTES
        and len(digest) == 64
    )
    if not fits or not isinstance(sequence, int):
        raise _fault(Code.METADATA_MALFORMED, name, "is not a model release")
    return SignedRelease(release, f"sha256:{digest}", info.length, sequence)


class _Known(NamedTuple):
    """The metadata that python-tuf verified and kept."""

    root: Metadata[Root]
    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    roles: dict[str, Metadata[Targets]]

    @classmethod
    def load(cls, trust: Path) -> _Known:
        targets: Metadata[Targets] = Metadata.from_bytes((trust / "targets.json").read_bytes())
        delegations = targets.signed.delegations
        names = list(delegations.roles or {}) if delegations else []
        kept = {name: trust / f"{name}.json" for name in names}
        return cls(
            Metadata.from_bytes((trust / "root.json").read_bytes()),
            Metadata.from_bytes((trust / "timestamp.json").read_bytes()),
            Metadata.from_bytes((trust / "snapshot.json").read_bytes()),
            targets,
            {
                name: Metadata.from_bytes(path.read_bytes())
                for name, path in kept.items()
                if path.is_file()
            },
        )

    def versions(self) -> VendorVersions:
        roles = self.root.signed.roles
        return VendorVersions(
            root=self.root.signed.version,
            timestamp=self.timestamp.signed.version,
            snapshot=self.snapshot.signed.version,
            targets=self.targets.signed.version,
            roles={name: item.signed.version for name, item in self.roles.items()},
            timestamp_keys=sorted(roles["timestamp"].keyids),
            snapshot_keys=sorted(roles["snapshot"].keyids),
        )

    def signers(self) -> list[str]:
        root = self.root.signed
        lines: list[str] = []
        top: list[tuple[str, Metadata[Any]]] = [
            ("root", self.root),
            ("targets", self.targets),
            ("snapshot", self.snapshot),
            ("timestamp", self.timestamp),
        ]
        for role, item in top:
            result = root.get_verification_result(role, item.signed_bytes, item.signatures)
            lines += [f"{role} {keyid}" for keyid in sorted(result.signed)]
        for role, item in self.roles.items():
            delegator = self.targets.signed
            result = delegator.get_verification_result(role, item.signed_bytes, item.signatures)
            lines += [f"{role} {keyid}" for keyid in sorted(result.signed)]
        return lines


def _check_dates(known: _Known, now: datetime) -> None:
    """Raise ``METADATA_EXPIRED`` by the caller's clock, whatever the machine's clock said."""
    items: list[tuple[str, Metadata[Any]]] = [
        (f"{known.root.signed.version}.root.json", known.root),
        ("timestamp.json", known.timestamp),
        (f"{known.snapshot.signed.version}.snapshot.json", known.snapshot),
        (f"{known.targets.signed.version}.targets.json", known.targets),
        *((f"{item.signed.version}.{name}.json", item) for name, item in known.roles.items()),
    ]
    for name, item in items:
        if item.signed.is_expired(now):
            raise _expired(name)


def _first_expired(files: Mapping[str, bytes], now: datetime) -> str | None:
    """Return the name of the expired file, in the order of the TUF workflow."""
    latest = max(now, datetime.now(UTC))
    order = {"root": 0, "timestamp": 1, "snapshot": 2, "targets": 3}
    newest: dict[str, tuple[int, str]] = {}
    for name in files:
        version, role = metadata_file(name)
        newest[role] = max(newest.get(role, (0, "")), (version or 0, name))
    for role in sorted(newest, key=lambda item: (order.get(item, 4), item)):
        name = newest[role][1]
        if _parse(files[name], name).signed.is_expired(latest):
            return name
    return None


def _parse(data: bytes, name: str) -> Metadata[Any]:
    try:
        return Metadata.from_bytes(data)
    except DeserializationError as error:
        raise _fault(Code.METADATA_MALFORMED, name, "is not TUF metadata") from error


def _fault(code: Code, name: str, why: str) -> HoldfastError:
    return HoldfastError(code, f"{name} {why}.", file=name)


def _expired(name: str) -> HoldfastError:
    return _fault(Code.METADATA_EXPIRED, name, "has expired")
