"""A foreign application: nats-py and a credentials folder, nothing of ours.

What any program in any language does: read the folder, connect with TLS first, request.
"""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import Any

import nats
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Client


async def connect(folder: Path) -> Client:
    """Return a connected client of the identity in ``folder``."""
    text = (folder / "nats.creds").read_text()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    jwt, seed = lines[1], next(line for line in lines if line.startswith("SU"))
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    key = Ed25519PrivateKey.from_private_bytes(raw[2:34])
    settings: dict[str, Any] = json.loads((folder / "connect.json").read_text())
    tls = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.load_cert_chain(str(folder / "cert.pem"), str(folder / "key.pem"))
    return await nats.connect(
        servers=settings["servers"],
        tls=tls,
        tls_handshake_first=settings["tls_first"],
        inbox_prefix=settings["inbox_prefix"].encode(),
        user_jwt_cb=lambda: bytearray(jwt, "ascii"),
        signature_cb=lambda nonce: base64.b64encode(key.sign(nonce.encode())),
        allow_reconnect=False,
        connect_timeout=5,
    )
