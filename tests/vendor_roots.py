"""Real TUF roots of vendors, made at run time: what officers are asked to trust must be one."""

from __future__ import annotations

import datetime
import functools
import json

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root


def vendor_root(number: int = 0) -> bytes:
    """Return the bytes of a root that its own key signed; another number is another root."""
    return _made(number)


@functools.cache
def _made(number: int) -> bytes:
    signer = CryptoSigner.generate_ed25519()
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    root = Root(version=1, expires=now + datetime.timedelta(days=365 + number))
    for role in ("root", "targets", "snapshot", "timestamp"):
        root.add_key(signer.public_key, role)
    signed = Metadata(root)
    signed.sign(signer)
    return signed.to_bytes()


def forged_root() -> bytes:
    """Return a root whose one signature is not by its key."""
    value = json.loads(vendor_root())
    value["signatures"][0]["sig"] = "00" * 64
    return json.dumps(value).encode()
