"""Names of targets, roles and files in the site's repository: built and parsed here alone.

A role file is one approval: its name is the bin that the target's path hashes to (TAP 15 with 32
bits), so every possible model has a role of its own and two requests never touch one file.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal, NamedTuple

from holdfast_protocol import ids
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import (
    BIN_BYTES,
    ROOT_BYTES,
    SNAPSHOT_BYTES,
    TARGETS_BYTES,
    TIMESTAMP_BYTES,
)

Kind = Literal["allow", "vendor", "node", "app", "policy", "deny"]
Prefix = Literal["ok", "ap", "no"]

POLICY_TARGET: Final = "policy/current.json"
"""The one target that holds the policy bundle in force."""
FRAME_ROLES: Final = ("targets", "approvals", "apps", "revoked")
BIN_BITS: Final = 32
CAPS_BYTES: Final = {
    "root": ROOT_BYTES,
    "timestamp": TIMESTAMP_BYTES,
    "snapshot": SNAPSHOT_BYTES,
    **dict.fromkeys(FRAME_ROLES, TARGETS_BYTES),
}

# Own expressions: python-tuf takes "ok-+1234567" and "ok-ABCDEF01" for bins as well.
_BIN: Final = re.compile(r"(ok|ap|no)-[0-9a-f]{8}")
_FILE: Final = re.compile(r"(?:([1-9][0-9]{0,15})\.)?([a-z][a-z0-9-]*)\.json")
_HEX: Final = re.compile(r"[0-9a-f]{64}")


class Subject(NamedTuple):
    """What a target's path is about: ``allow`` of ``acme/llm@1.0``, ``deny`` of a digest."""

    kind: Kind
    name: str


def allow_target(model: str, version: str) -> str:
    """Return the target that approves ``vendor/model`` in ``version``."""
    return f"allow/{ids.model_name(model)}/{ids.version(version)}/manifest.json"


def vendor_target(vendor: str) -> str:
    """Return the target that holds a vendor's pinned root."""
    return f"vendors/{ids.token(vendor, 'vendor')}.json"


def node_target(node: str) -> str:
    """Return the target that holds a node's site certificate."""
    return f"nodes/{ids.token(node, 'node')}.json"


def app_target(app: str) -> str:
    """Return the target that holds an application's record."""
    return f"apps/{ids.token(app, 'application')}.json"


def deny_target(what: str) -> str:
    """Return the target that denies ``sha256:<hex>``, ``key:<hex>``, ``app:<id>``, ``node:<id>``.

    A digest may be a manifest's, a blob's or an ancestor's. Raises ``BAD_NAME``.
    """
    kind, _, name = what.partition(":")
    target = f"deny/{kind}/{name}"
    if parse_target(target) is None:
        raise HoldfastError(Code.BAD_NAME, f"{what[:80]!a} is nothing that can be denied.")
    return target


def parse_target(path: str) -> Subject | None:
    """Return what ``path`` is about, or None if it is no target of a site."""
    parts = path.split("/")
    match parts:
        case ["allow", vendor, model, version, "manifest.json"]:
            return _allow(vendor, model, version)
        case [("vendors" | "nodes" | "apps") as folder, file] if file.endswith(".json"):
            name = file.removesuffix(".json")
            kind: Kind = {"vendors": "vendor", "nodes": "node", "apps": "app"}[folder]  # type: ignore[assignment]  # the dict's values are kinds
            return Subject(kind, name) if ids.is_token(name) else None
        case ["policy", "current.json"]:
            return Subject("policy", "current")
        case ["deny", ("sha256" | "key") as what, hexes]:
            return Subject("deny", f"{what}:{hexes}") if _HEX.fullmatch(hexes) else None
        case ["deny", ("app" | "node") as what, name]:
            return Subject("deny", f"{what}:{name}") if ids.is_token(name) else None
        case _:
            return None


def _allow(vendor: str, model: str, version: str) -> Subject | None:
    try:
        name = f"{ids.model_name(f'{vendor}/{model}')}@{ids.version(version)}"
    except HoldfastError:
        return None
    return Subject("allow", name)


def bin_of(prefix: Prefix, target: str) -> str:
    """Return the role of ``target``: its prefix and the first 32 bits of the path's sha256."""
    return f"{prefix}-{hashlib.sha256(target.encode()).hexdigest()[:8]}"


def bin_prefix(role: str) -> Prefix | None:
    """Return the prefix of a bin's role name, or None if ``role`` is no bin."""
    if not _BIN.fullmatch(role):
        return None
    prefix: Prefix = "ok" if role[:2] == "ok" else "ap" if role[:2] == "ap" else "no"
    return prefix


def may_hold(prefix: Prefix, kind: Kind) -> bool:
    """Tell whether a bin of ``prefix`` may hold targets of ``kind``."""
    match prefix:
        case "ok":
            return kind != "deny"
        case "ap":
            return kind == "app"
        case "no":
            return kind == "deny"


def is_role(role: str) -> bool:
    """Tell whether ``role`` is one of ours."""
    return role in CAPS_BYTES or bin_prefix(role) is not None


def cap_bytes(role: str) -> int:
    """Return the largest size of a file of ``role``."""
    return CAPS_BYTES.get(role, BIN_BYTES)


def file_name(role: str, version: int) -> str:
    """Return the name under which a role file is served; the timestamp carries no version."""
    return "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"


def parse_file(name: str) -> tuple[str, int | None]:
    """Return role and version of a file's name; raises ``PATH_REFUSED`` for anything else."""
    found = _FILE.fullmatch(name)
    if found is None or not is_role(found[2]) or (found[1] is None) != (found[2] == "timestamp"):
        raise HoldfastError(Code.PATH_REFUSED, f"{name[:80]!a} is no role file of a site.")
    return found[2], int(found[1]) if found[1] else None
