"""The range server's settings."""

from __future__ import annotations

import msgspec


class RangeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Paths are absolute; port 0 lets the kernel choose, ``port_file`` tells what it chose.

    ``controller_key_hex`` is the raw ed25519 key, in hex, that signs fetch tickets.
    """

    listen_host: str
    port: int
    port_file: str
    store_dir: str
    cert: str
    key: str
    ca: str
    controller_key_hex: str
