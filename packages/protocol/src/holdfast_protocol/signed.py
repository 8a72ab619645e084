"""Small signed documents between our own programs: what was signed travels verbatim.

The signature covers a fixed prefix, a context and the payload, so that a document made for one
use can never pass as another. Payloads are opaque bytes here; who reads one decodes it only
after :func:`open_signed` has returned it. No clock and no I/O on purpose.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import HEADER_BYTES

_PREFIX: Final = b"holdfast-signed-v1\0"
TICKET_CONTEXT: Final = "fetch-ticket"
DESIRED_CONTEXT: Final = "desired"
"""Of ``Desired`` and ``DesiredClaims``, signed by the controller's pinned key."""


class SignedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A payload and one ed25519 signature over prefix, context and payload.

    ``keyid`` is the sha256 of the raw public key in hex: a hint which key to try, never proof.
    """

    payload: bytes
    keyid: str
    signature: bytes


class FetchTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Leave for one node to fetch the named blobs until ``not_after`` (Unix seconds)."""

    node: str
    manifest_digest: str
    digests: list[str]
    not_after: int


def keyid_of(public_key: bytes) -> str:
    """Return the key id of a raw 32-byte ed25519 public key."""
    return hashlib.sha256(public_key).hexdigest()


def sign(payload: bytes, key: Ed25519PrivateKey, context: str) -> SignedDocument:
    """Return ``payload`` signed for ``context``."""
    return SignedDocument(
        payload=payload,
        keyid=keyid_of(key.public_key().public_bytes_raw()),
        signature=key.sign(_covered(payload, context)),
    )


def open_signed(document: SignedDocument, public_key: bytes, context: str) -> bytes:
    """Return the payload if ``public_key`` (raw, 32 bytes) signed it for ``context``.

    Raises ``BAD_SIGNATURE`` otherwise, also for a key that is none.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(document.signature, _covered(document.payload, context))
    except (InvalidSignature, ValueError) as error:
        raise HoldfastError(
            Code.BAD_SIGNATURE, f"The {context} is not signed by the expected key."
        ) from error
    return document.payload


def to_header(document: SignedDocument) -> str:
    """Return ``document`` as one HTTP header value (base64 of its JSON)."""
    return base64.b64encode(encode(document)).decode("ascii")


def from_header(text: str) -> SignedDocument:
    """Return the document of a header value; raises ``BAD_REQUEST``."""
    if len(text) > HEADER_BYTES:
        raise HoldfastError(Code.BAD_REQUEST, "The signed header is too long.")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise HoldfastError(Code.BAD_REQUEST, "The signed header is not base64.") from error
    return decode(data, SignedDocument)


def _covered(payload: bytes, context: str) -> bytes:
    name = context.encode("ascii")
    assert b"\0" not in name  # the separator must stay unambiguous
    return _PREFIX + name + b"\0" + payload
