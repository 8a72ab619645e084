"""NATS nkeys on ``cryptography`` alone: ed25519 keys with a prefix that says what they are for.

Format: base32 without padding over prefix, 32 key bytes and a CRC-16 (XMODEM, little-endian), as
in nats-io/nkeys. No package ``nkeys`` is needed, and so no second crypto library on a node.
"""

from __future__ import annotations

import base64
import binascii
import enum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast_protocol.errors import Code, HoldfastError

_SEED: Final = 18 << 3
_KEY_BYTES: Final = 32
_CRC_BYTES: Final = 2


class Kind(enum.IntEnum):
    """What a key is for; the value is its prefix byte."""

    ACCOUNT = 0
    SERVER = 13 << 3
    OPERATOR = 14 << 3
    USER = 20 << 3


class KeyPair:
    """A private nkey; ``public`` names it in claims."""

    def __init__(self, kind: Kind, private: Ed25519PrivateKey) -> None:
        self.kind = kind
        self._private = private
        self.public: str = _text(bytes([kind]) + private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, kind: Kind) -> KeyPair:
        """Return a fresh key of the system's randomness."""
        return cls(kind, Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: str) -> KeyPair:
        """Return the key of a seed (``SU…``, ``SA…``, ``SO…``, ``SN…``); raises ``BAD_REQUEST``."""
        raw = _bytes(seed, 2 + _KEY_BYTES, "seed")
        if raw[0] & 0xF8 != _SEED:
            raise HoldfastError(Code.BAD_REQUEST, "This is not the seed of an nkey.")
        kind = _kind(((raw[0] & 7) << 5) | (raw[1] >> 3))
        return cls(kind, Ed25519PrivateKey.from_private_bytes(raw[2:]))

    def seed(self) -> str:
        """Return the secret form; it belongs in files of mode 0600 and nowhere else."""
        head = bytes([_SEED | (self.kind >> 5), (self.kind & 31) << 3])
        return _text(head + self._private.private_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """Return the 64 raw bytes of the signature over ``data``."""
        return self._private.sign(data)


def check_public(public: str, kind: Kind) -> str:
    """Return ``public`` if it is a well-formed public key of ``kind``; raises ``BAD_REQUEST``."""
    _public_bytes(public, kind)
    return public


def verify(public: str, kind: Kind, data: bytes, signature: bytes) -> None:
    """Return if ``signature`` over ``data`` is by ``public``; raises ``BAD_SIGNATURE``."""
    key = Ed25519PublicKey.from_public_bytes(_public_bytes(public, kind))
    try:
        key.verify(signature, data)
    except InvalidSignature as error:
        raise HoldfastError(
            Code.BAD_SIGNATURE, f"The signature is not by {kind.name.lower()} {public[:12]}."
        ) from error


def _public_bytes(public: str, kind: Kind) -> bytes:
    raw = _bytes(public, 1 + _KEY_BYTES, "public key")
    if raw[0] != kind:
        raise HoldfastError(Code.BAD_REQUEST, f"{public[:12]!a} is no {kind.name.lower()} key.")
    return raw[1:]


def _kind(prefix: int) -> Kind:
    try:
        return Kind(prefix)
    except ValueError as error:
        raise HoldfastError(Code.BAD_REQUEST, "This nkey is of an unknown kind.") from error


def _text(raw: bytes) -> str:
    crc = binascii.crc_hqx(raw, 0).to_bytes(_CRC_BYTES, "little")
    return base64.b32encode(raw + crc).decode("ascii").rstrip("=")


def _bytes(text: str, length: int, what: str) -> bytes:
    refused = HoldfastError(Code.BAD_REQUEST, f"This is not the {what} of an nkey.")
    if len(text) > 2 * (length + _CRC_BYTES):
        raise refused
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise refused from error
    body, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    # Base32 leaves spare bits at the end; only the one canonical spelling names a key.
    if (
        len(body) != length
        or crc != binascii.crc_hqx(body, 0).to_bytes(_CRC_BYTES, "little")
        or _text(body) != text
    ):
        raise refused
    return body
