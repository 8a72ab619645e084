"""The proof of a one-time code's secret: a signature over what a new node says of its keys.

The site knows the public half alone, so neither its journal nor a stolen controller can prove.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast_protocol import codec
from holdfast_protocol.enrolment import CONTEXT, EnrolRequest, NodeKeys
from holdfast_protocol.errors import Code, HoldfastError


def public_of(secret: str) -> str:
    """Return the public half of a code's secret, both in hex; raises ``CODE_REFUSED``."""
    return _private(secret).public_key().public_bytes_raw().hex()


def prove(secret: str, nonce: str, keys: bytes) -> EnrolRequest:
    """Return the request that says ``keys`` with proof of the code's secret."""
    signature = _private(secret).sign(_said(nonce, keys))
    return EnrolRequest(keys=keys, proof=signature.hex())


def proven(secret_public: str, nonce: str, asked: EnrolRequest) -> NodeKeys:
    """Return the keys that ``asked`` says; raises ``CODE_REFUSED`` without the code's secret."""
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(secret_public))
        public.verify(bytes.fromhex(asked.proof), _said(nonce, asked.keys))
    except (ValueError, InvalidSignature) as error:
        raise HoldfastError(
            Code.CODE_REFUSED, "The secret of this code is not the one that was made."
        ) from error
    return codec.decode(asked.keys, NodeKeys)


def _said(nonce: str, keys: bytes) -> bytes:
    return CONTEXT + nonce.encode() + b"\0" + keys


def _private(secret: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    except ValueError as error:
        raise HoldfastError(Code.CODE_REFUSED, "This code's secret is none.") from error
