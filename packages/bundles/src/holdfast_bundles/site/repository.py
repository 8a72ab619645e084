"""The site's repository as a value: every name it serves and the verbatim bytes behind it.

It is made from the journal; a folder of it would only be a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from holdfast_bundles.site import metadata, names

# An agent that began with the last snapshot must still be able to finish.
_SNAPSHOTS_KEPT: Final = 2


class SiteRepository(msgspec.Struct, frozen=True, kw_only=True):
    """Files by the names under which agents ask for them; roots and role files stay for good."""

    site: str
    files: dict[str, bytes]

    def read(self, name: str) -> bytes | None:
        """Return the bytes served as ``name``, None if there are none (a plain 404)."""
        return self.files.get(name)

    def in_force(self) -> dict[str, bytes]:
        """Return the newest file of every officer-signed role, by role; the newest root too."""
        newest: dict[str, tuple[int, bytes]] = {}
        for name, data in self.files.items():
            role, version = names.parse_file(name)
            if version is None or role == "snapshot":
                continue
            if version > newest.get(role, (0, b""))[0]:
                newest[role] = (version, data)
        return {role: data for role, (_, data) in sorted(newest.items())}

    def with_role(self, role: str, data: bytes) -> SiteRepository:
        """Return the repository with one more role file; agents see it after a new stamp."""
        version = metadata.read_role(role, data, self.site).signed.version
        return msgspec.structs.replace(
            self, files={**self.files, names.file_name(role, version): data}
        )

    def with_stamp(self, stamped: Mapping[str, bytes]) -> SiteRepository:
        """Return the repository under a new stamp, without snapshots nobody asks for any more."""
        files = {**self.files, **stamped}
        snapshots = sorted(
            (version or 0, name)
            for name in files
            for role, version in [names.parse_file(name)]
            if role == "snapshot"
        )
        for _, name in snapshots[:-_SNAPSHOTS_KEPT]:
            del files[name]
        return msgspec.structs.replace(self, files=files)


def site_repository(site: str, roles: Mapping[str, bytes]) -> SiteRepository:
    """Return a repository of ``roles`` (role to bytes, root among them), not stamped yet."""
    repository = SiteRepository(site=site, files={})
    for role, data in roles.items():
        repository = repository.with_role(role, data)
    return repository
