"""The importer's settings."""

from __future__ import annotations

import msgspec


class ImporterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute paths; ``reserve_bytes`` of the store's disk are never filled by an import.

    Only media below ``media_roots`` are read.
    """

    socket: str
    store_dir: str
    media_roots: list[str]
    reserve_bytes: int
