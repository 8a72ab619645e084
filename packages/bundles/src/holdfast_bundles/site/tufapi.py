"""python-tuf's names that the site's trust is built on, in one place."""

from __future__ import annotations

from securesystemslib.signer import (
    Key,
    Signature,
    SSlibKey,
)
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.ngclient import (
    FetcherInterface,
    Updater,
    UpdaterConfig,
)

__all__ = [
    "DelegatedRole",
    "Delegations",
    "FetcherInterface",
    "Key",
    "MetaFile",
    "Metadata",
    "Role",
    "Root",
    "SSlibKey",
    "Signature",
    "Signed",
    "Snapshot",
    "SuccinctRoles",
    "TargetFile",
    "Targets",
    "Timestamp",
    "Updater",
    "UpdaterConfig",
]
