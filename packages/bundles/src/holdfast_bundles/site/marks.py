"""High-water marks: the second copy of what was seen, kept outside the cache that they guard.

Marks of officer-signed roles never go down. Those of snapshot and timestamp belong to the online
key and start anew when root names another, else a thief's fast-forward would shut a site for good.
"""

from __future__ import annotations

import msgspec
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_bundles.site import names
from holdfast_bundles.site.chain import Chain


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """What a node has verified at least once; ``denied`` are targets and unreadable deny bins."""

    site: str
    online: tuple[str, ...] = ()
    timestamp: int = 0
    snapshot: int = 0
    issued_s: int = 0
    roles: dict[str, int] = {}
    denied: tuple[str, ...] = ()


def check_marks(marks: Marks, chain: Chain) -> None:
    """Raise ``METADATA_ROLLBACK`` if ``chain`` is older than anything seen before."""
    versions = role_versions(chain)
    if marks.online == chain.online_keyids:
        _not_below("timestamp", chain.timestamp.version, marks.timestamp)
        _not_below("snapshot", chain.snapshot.version, marks.snapshot)
    for role, version in sorted(versions.items()):
        _not_below(role, version, marks.roles.get(role, 0))
    for role in sorted(marks.roles):
        if role not in versions and role not in chain.bins:
            raise HoldfastError(
                Code.METADATA_ROLLBACK, f"{role} was seen and is not listed.", file=role
            )


def raised(marks: Marks, chain: Chain) -> Marks:
    """Return the marks after ``chain`` was believed."""
    same = marks.online == chain.online_keyids
    return Marks(
        site=marks.site,
        online=chain.online_keyids,
        timestamp=max(marks.timestamp if same else 0, chain.timestamp.version),
        snapshot=max(marks.snapshot if same else 0, chain.snapshot.version),
        # The newest verified stamp, never the local clock: a clock set wrong leaves no scar.
        issued_s=max(marks.issued_s if same else 0, chain.issued_s),
        roles={**marks.roles, **role_versions(chain)},
        denied=denied_in(chain),
    )


def role_versions(chain: Chain) -> dict[str, int]:
    """Return the version of every officer-signed file that was loaded.

    Only loaded bins count: a stolen online key can list any version of a bin it cannot sign.
    """
    frame = chain.frame
    loaded = {
        "root": frame.root.version,
        "targets": frame.targets.version,
        "approvals": frame.approvals.version,
        "apps": frame.apps.version,
        "revoked": frame.revoked.version,
    }
    bins = {role: b.version for role, b in chain.bins.items() if b.broken is None}
    return {**loaded, **bins}


def denied_in(chain: Chain) -> tuple[str, ...]:
    """Return every denied target of ``chain``, and the deny bins that cannot be read."""
    found = []
    for role, held in chain.bins.items():
        if names.bin_prefix(role) == "no":
            found += [role] if held.broken is not None else [e.path for e in held.entries]
    return tuple(sorted(found))


def _not_below(role: str, version: int, mark: int) -> None:
    if version < mark:
        raise HoldfastError(
            Code.METADATA_ROLLBACK,
            f"{role} version {version} is older than version {mark}, seen before.",
            file=role,
        )
