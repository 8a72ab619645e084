"""The frame: root, targets, approvals, apps, revoked, as the ceremony builds and everyone reads it.

Root keys sign the frame, daily keys sign the bins, so a bin's file can never pass for a frame
file. The register of persons stands in root, because no mathematics sees one person with two keys.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from holdfast_protocol import ids
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_bundles.site import lives, metadata, names
from holdfast_bundles.site.keys import public_key, spki
from holdfast_bundles.site.metadata import malformed
from holdfast_bundles.site.model import Officer, Proposal, sha256_hex, short_text
from holdfast_bundles.site.tufapi import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    Role,
    Root,
    Signed,
    SuccinctRoles,
    Targets,
)

OFFICERS_MAX: Final = 32
_PATTERNS: Final = {
    "approvals": [
        "allow/*/*/*/manifest.json",
        "vendors/*.json",
        "nodes/*.json",
        "apps/*.json",
        "policy/*.json",
    ],
    "apps": ["apps/*.json"],
    "revoked": ["deny/*/*"],
}
_PREFIX: Final[dict[str, names.Prefix]] = {"approvals": "ok", "apps": "ap", "revoked": "no"}


class FrameSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a ceremony decides: who, how many of them, and the controller's online key (hex)."""

    site: str
    officers: tuple[Officer, ...]
    threshold: int
    online_public: str


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """The verified frame of a site; its values are never changed after :func:`load_frame`."""

    site: str
    root: Root
    targets: Targets
    approvals: Targets
    apps: Targets
    revoked: Targets

    @property
    def officers(self) -> tuple[Officer, ...]:
        """The register of persons that root's officers signed."""
        return register(self.root)

    def delegator(self, role: str) -> Root | Targets:
        """Return the metadata that says who signs ``role``."""
        match names.bin_prefix(role):
            case "ok":
                return self.approvals
            case "ap":
                return self.apps
            case "no":
                return self.revoked
            case None:
                return self.targets if role in _PATTERNS else self.root

    def threshold(self, role: str, version: int) -> int:
        """Return how many officers ``role`` needs in ``version``.

        One officer may deny; only as many as approve may lift, or change what was denied.
        """
        if names.bin_prefix(role) == "no" and version > 1:
            return _bins(self.approvals).threshold
        return self.delegator(role).get_delegated_role(role).threshold

    def keys(self, role: str) -> dict[str, Key]:
        """Return the keys that may sign ``role``, by key id."""
        delegator = self.delegator(role)
        return {
            keyid: delegator.get_key(keyid) for keyid in delegator.get_delegated_role(role).keyids
        }

    def person(self, keyid: str) -> str | None:
        """Return who holds ``keyid``, root or daily, or None."""
        for officer in self.officers:
            if keyid in (officer.root_keyid, officer.daily_keyid):
                return officer.person
        return None

    def verify(self, role: str, file: Metadata[Any]) -> None:
        """Raise ``BAD_SIGNATURE`` unless ``file`` has the signatures that ``role`` needs."""
        needed = self.threshold(role, file.signed.version)
        verify_count(self.delegator(role), role, file, needed)


def verify_count(delegator: Root | Targets, role: str, file: Metadata[Any], needed: int) -> None:
    """Raise ``BAD_SIGNATURE`` unless ``needed`` of ``role``'s keys signed ``file``."""
    result = delegator.get_verification_result(role, metadata.canonical(file), file.signatures)
    if len(result.signed) < needed:
        raise HoldfastError(
            Code.BAD_SIGNATURE,
            f"{role} is signed by {len(result.signed)} of {needed} keys.",
            file=role,
        )


def build_frame(spec: FrameSpec, now_s: float, version: int = 1) -> dict[str, Proposal]:
    """Return what the officers' root keys sign at the ceremony: the five frame roles, by role.

    Raises ``CONFIG_INVALID`` if keys or persons repeat, or if fewer than M+1 officers exist:
    with M of M, one lost key ends the site's ability to decide.
    """
    _check_spec(spec)
    roots = {o.root_keyid: public_key(o.root_public) for o in spec.officers}
    daily = {o.daily_keyid: public_key(o.daily_public) for o in spec.officers}
    online = public_key(spec.online_public)
    signed: dict[str, Signed] = {
        "root": Root(
            version=version,
            expires=metadata.when(now_s + lives.ROOT_LIFE_S),
            keys={**roots, online.keyid: online},
            roles={
                "root": Role(sorted(roots), spec.threshold),
                "targets": Role(sorted(roots), spec.threshold),
                "snapshot": Role([online.keyid], 1),
                "timestamp": Role([online.keyid], 1),
            },
            unrecognized_fields=_root_fields(spec),
        ),
    }
    delegated = {
        name: DelegatedRole(name, sorted(roots), spec.threshold, True, list(paths))
        for name, paths in _PATTERNS.items()
    }
    frames = {"targets": Delegations(roots, roles=delegated)}
    for name, prefix in _PREFIX.items():
        needed = spec.threshold if prefix == "ok" else 1
        bins = SuccinctRoles(sorted(daily), needed, names.BIN_BITS, prefix)
        frames[name] = Delegations(daily, succinct_roles=bins)
    for name, delegations in frames.items():
        signed[name] = Targets(
            version=version,
            expires=metadata.when(now_s + lives.FRAME_LIFE_S),
            delegations=delegations,
            unrecognized_fields=metadata.binding(name, spec.site),
        )
    return {name: _proposal(name, value, spec.threshold) for name, value in signed.items()}


def load_frame(files: Mapping[str, bytes], site: str) -> Frame:
    """Return the frame in ``files`` (role to bytes), verified from its own root downwards.

    For whoever holds the journal or the pin; raises ``METADATA_MISSING``, ``BAD_SIGNATURE`` and
    what :func:`holdfast_bundles.site.metadata.read_role` raises.
    """
    read = {}
    for role in ("root", *names.FRAME_ROLES):
        if role not in files:
            raise HoldfastError(Code.METADATA_MISSING, f"The site has no {role} file.", file=role)
        read[role] = metadata.read_role(role, files[role], site)
    root: Root = read["root"].signed
    verify_count(root, "root", read["root"], root.roles["root"].threshold)
    return frame_of(site, root, read)


def frame_of(site: str, root: Root, read: Mapping[str, Metadata[Any]]) -> Frame:
    """Return the frame under the verified ``root``; raises ``BAD_SIGNATURE`` or malformed."""
    check_root(root)
    frame = Frame(
        site=site,
        root=root,
        targets=read["targets"].signed,
        approvals=read["approvals"].signed,
        apps=read["apps"].signed,
        revoked=read["revoked"].signed,
    )
    _check_targets(frame)
    for role in names.FRAME_ROLES:
        frame.verify(role, read[role])
    for role, prefix in _PREFIX.items():
        _check_bins(frame, role, prefix)
    return frame


def register(root: Root) -> tuple[Officer, ...]:
    """Return the persons in root's signed register; raises ``METADATA_MALFORMED``."""
    fields = root.unrecognized_fields.get(metadata.FIELD)
    listed = fields.get("officers") if isinstance(fields, dict) else None
    try:
        return msgspec.convert(listed, tuple[Officer, ...])
    except msgspec.ValidationError as error:
        raise malformed("root", "it has no register of officers") from error


def check_root(root: Root) -> None:
    """Raise ``METADATA_MALFORMED`` unless root agrees with its register and M is 2 or more.

    Readers check it again, else whoever serves the files could not be held to it.
    """
    officers = register(root)
    try:
        _check_persons(officers)
    except HoldfastError as error:
        raise malformed("root", error.message) from error
    role = root.roles["root"]
    if {o.root_keyid for o in officers} != set(role.keyids):
        raise malformed("root", "its keys are not those of its officers")
    if not all(_holds(root, o.root_keyid, o.root_public) for o in officers):
        raise malformed("root", "an officer's key is not the one registered")
    if role.threshold < 2 or root.roles["targets"].threshold < 2:
        raise malformed("root", "one officer alone would suffice")
    people = {key for o in officers for key in (o.root_keyid, o.daily_keyid)}
    if people & {*root.roles["snapshot"].keyids, *root.roles["timestamp"].keyids}:
        raise malformed("root", "an officer's key is also the online key")


def _check_targets(frame: Frame) -> None:
    delegations = frame.targets.delegations
    if frame.targets.targets or delegations is None or delegations.roles is None:
        raise malformed("targets", "it holds more or less than delegations")
    for name in _PATTERNS:
        entry = delegations.roles.get(name)
        if entry is None or not entry.terminating or entry.threshold < 2:
            raise malformed("targets", f"it does not delegate {name} to two officers")


def _check_bins(frame: Frame, role: str, prefix: names.Prefix) -> None:
    signed = frame.delegator(f"{prefix}-00000000")
    if not isinstance(signed, Targets) or signed.targets:
        raise malformed(role, "it holds more than delegations")
    bins = _bins(signed)
    officers = frame.officers
    if bins.name_prefix != prefix or bins.bit_length != names.BIN_BITS:
        raise malformed(role, "its bins are not the site's")
    if {o.daily_keyid for o in officers} != set(bins.keyids) or not all(
        _holds(signed, o.daily_keyid, o.daily_public) for o in officers
    ):
        raise malformed(role, "its keys are not the officers' daily keys")
    if prefix == "ok" and bins.threshold < 2:
        raise malformed(role, "one officer alone would approve")


def _holds(delegator: Root | Targets, keyid: str, public: str) -> bool:
    try:
        return spki(delegator.get_key(keyid)) == spki(public_key(public))
    except ValueError:
        return False


def _bins(signed: Targets) -> SuccinctRoles:
    if signed.delegations is None or signed.delegations.succinct_roles is None:
        raise malformed("A frame file", "it delegates no bins")
    return signed.delegations.succinct_roles


def _check_spec(spec: FrameSpec) -> None:
    ids.token(spec.site, "site")
    _check_persons(spec.officers)
    if spec.threshold < 2 or len(spec.officers) < spec.threshold + 1:
        raise HoldfastError(
            Code.CONFIG_INVALID,
            f"{spec.threshold} of {len(spec.officers)} officers leaves no one in reserve.",
        )
    online = public_key(spec.online_public).keyid
    if any(online in (o.root_keyid, o.daily_keyid) for o in spec.officers):
        raise HoldfastError(Code.CONFIG_INVALID, "The online key is an officer's key.")


def _check_persons(officers: Sequence[Officer]) -> None:
    if not 2 <= len(officers) <= OFFICERS_MAX:
        raise HoldfastError(Code.CONFIG_INVALID, f"A site has 2 to {OFFICERS_MAX} officers.")
    folded = {unicodedata.normalize("NFKC", o.person).casefold().strip() for o in officers}
    if len(folded) != len(officers) or "" in folded:
        raise HoldfastError(Code.CONFIG_INVALID, "One person is registered twice, or has no name.")
    keys = [public for o in officers for public in (o.root_public, o.daily_public)]
    if len({spki(public_key(public)) for public in keys}) != len(keys):
        raise HoldfastError(Code.CONFIG_INVALID, "One key is registered twice.")
    for officer in officers:
        short_text(officer.person, "A person's name")
        if (officer.root_keyid, officer.daily_keyid) != (
            public_key(officer.root_public).keyid,
            public_key(officer.daily_public).keyid,
        ):
            raise HoldfastError(
                Code.CONFIG_INVALID, f"A key id of {officer.person} is not that of the key."
            )


def _proposal(role: str, signed: Signed, threshold: int) -> Proposal:
    payload = metadata.unsigned(signed).signed_bytes
    return Proposal(
        role=role,
        version=signed.version,
        payload=payload,
        sha256=sha256_hex(payload),
        threshold=threshold,
        target="",
    )


def _root_fields(spec: FrameSpec) -> dict[str, Any]:
    fields = metadata.binding("root", spec.site)
    fields[metadata.FIELD]["officers"] = [msgspec.to_builtins(o) for o in spec.officers]
    return fields
