"""Keys as values: Ed25519 pairs, key ids and the fingerprint that makes two encodings one key.

No file is touched here (``keyfile.py`` does that). A token or an encrypted key joins by
implementing :class:`SigningKey`; nothing else in this folder ever sees a private key.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_bundles.site.model import Officer
from holdfast_bundles.site.tufapi import Key, SSlibKey


class SigningKey(Protocol):
    """The port to a private key, wherever it lies: a file, a token, a person's workstation."""

    @property
    def public(self) -> Key:
        """The public half as TUF writes it, with its key id."""

    def sign(self, payload: bytes) -> str:
        """Return the signature over ``payload`` in hex; raises ``NOT_PERMITTED`` if it cannot."""


class Ed25519Key:
    """A private Ed25519 key in memory."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._public = SSlibKey.from_crypto(private.public_key())

    @property
    def public(self) -> Key:
        """The public half as TUF writes it, with its key id."""
        return self._public

    @property
    def public_hex(self) -> str:
        """The raw 32 bytes of the public half, in hex."""
        return self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign(self, payload: bytes) -> str:
        """Return the signature over ``payload`` in hex."""
        return self._private.sign(payload).hex()

    def pem(self) -> bytes:
        """Return the private key as plain PKCS#8 PEM; for the lab and for tests."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def generate_key() -> Ed25519Key:
    """Return a new key from the system's randomness."""
    return Ed25519Key(Ed25519PrivateKey.generate())


def load_key(pem: bytes) -> Ed25519Key:
    """Return the Ed25519 key in unencrypted PKCS#8 ``pem``; raises ``CONFIG_INVALID`` otherwise."""
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, "The key file holds no readable private key."
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise HoldfastError(Code.CONFIG_INVALID, "The key file holds no Ed25519 key.")
    return Ed25519Key(private)


def public_key(public_hex: str) -> Key:
    """Return the TUF key of a raw Ed25519 public key in hex; raises ``CONFIG_INVALID``."""
    try:
        return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex)))
    except ValueError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, "The public key is not 32 bytes in hex."
        ) from error


def keyid(public_hex: str) -> str:
    """Return the TUF key id of a raw Ed25519 public key in hex."""
    return public_key(public_hex).keyid


def officer(person: str, root_public: str, daily_public: str) -> Officer:
    """Return a person of the register from two raw Ed25519 public keys in hex."""
    return Officer(
        person=person,
        root_keyid=keyid(root_public),
        root_public=root_public,
        daily_keyid=keyid(daily_public),
        daily_public=daily_public,
    )


def spki(key: Key) -> str:
    """Return the sha256 of the key's DER in hex: the same key gives the same, however encoded.

    python-tuf counts one key under two ids as two signers, so this is what counts as a signer
    here. Raises ``METADATA_MALFORMED`` for a key that cannot be read.
    """
    try:
        text = key.keyval["public"]
        if key.keytype == "ed25519":
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
            der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            der = load_pem_public_key(text.encode()).public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
    except (KeyError, ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        raise HoldfastError(
            Code.METADATA_MALFORMED, f"Key {key.keyid[:16]!a} cannot be read."
        ) from error
    return hashlib.sha256(der).hexdigest()
