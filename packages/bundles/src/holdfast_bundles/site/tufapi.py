"""python-tuf's public names with their types, in one place.

``tuf.api.metadata``, ``tuf.ngclient`` and ``securesystemslib.signer`` expose these without
``__all__``, which mypy in strict mode does not count as public; the exceptions say no more.
"""

from __future__ import annotations

from securesystemslib.signer import (  # type: ignore[attr-defined]  # public, see above
    Key,
    Signature,
    SSlibKey,
)
from tuf.api.metadata import (  # type: ignore[attr-defined]  # public, see above
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
from tuf.ngclient import (  # type: ignore[attr-defined]  # public, see above
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
