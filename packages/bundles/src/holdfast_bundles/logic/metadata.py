"""The choke point before python-tuf: what its parser and verifier would let pass is refused here.

Measured gaps closed here: duplicate JSON keys, unknown top-level keys, one public key standing
under two key ids (and so meeting a threshold of two alone), a threshold above the number of keys,
a version inside that is not the version in the name. Bytes in; no file is opened here.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from holdfast_protocol.codec import strict_json
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import (
    ROOT_BYTES,
    SNAPSHOT_BYTES,
    TARGETS_BYTES,
    TIMESTAMP_BYTES,
)

from holdfast_bundles.logic.names import metadata_file

CAPS: Final = {"root": ROOT_BYTES, "timestamp": TIMESTAMP_BYTES, "snapshot": SNAPSHOT_BYTES}
_DELEGATIONS_MAX: Final = 32
_KEYS_MAX: Final = 64
_VERSION_MAX: Final = 2**31
_RSA_BITS_MIN: Final = 2048


class _Key(msgspec.Struct, frozen=True):
    keytype: str
    scheme: str
    keyval: dict[str, str]


class _Role(msgspec.Struct, frozen=True):
    keyids: list[str]
    threshold: int


class _Delegations(msgspec.Struct, frozen=True):
    keys: dict[str, _Key]
    roles: list[_Role] = []
    succinct_roles: _Role | None = None


class _Signed(msgspec.Struct, frozen=True):
    """The parts that this gate reads; everything else is python-tuf's to judge."""

    type: str = msgspec.field(name="_type")
    version: int
    keys: dict[str, _Key] = {}
    roles: dict[str, _Role] = {}
    delegations: _Delegations | None = None


class _Signature(msgspec.Struct, frozen=True):
    keyid: str
    sig: str


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    signed: dict[str, Any]
    signatures: list[_Signature]


def cap_bytes(role: str) -> int:
    """Return how large a metadata file of ``role`` may be."""
    return CAPS.get(role, TARGETS_BYTES)


def gate(name: str, data: bytes) -> None:
    """Raise ``METADATA_MALFORMED`` naming the file unless ``data`` may be shown to python-tuf.

    ``name`` is the file's name (``1.root.json``, ``timestamp.json``). Says nothing about
    signatures: those are python-tuf's to verify.
    """
    version, role = metadata_file(name)
    value = strict_json(data, cap_bytes=cap_bytes(role), name=name)
    try:
        envelope = msgspec.convert(value, _Envelope)
        signed = msgspec.convert(envelope.signed, _Signed)
    except msgspec.ValidationError as error:
        raise _malformed(name, str(error)) from error
    if signed.type != (role if role in (*CAPS, "targets") else "targets"):
        raise _malformed(name, f"it is of type {signed.type[:20]!a}")
    if not 1 <= signed.version <= _VERSION_MAX or version not in (None, signed.version):
        raise _malformed(name, "its version is not the one in its name")
    keyids = [signature.keyid for signature in envelope.signatures]
    if len(set(keyids)) != len(keyids) or len(keyids) > _KEYS_MAX:
        raise _malformed(name, "a signature stands twice")
    _check_keys(name, signed.keys, list(signed.roles.values()))
    if signed.delegations is not None:
        roles = list(signed.delegations.roles)
        if len(roles) > _DELEGATIONS_MAX:
            raise _malformed(name, f"more than {_DELEGATIONS_MAX} delegations")
        if signed.delegations.succinct_roles is not None:
            roles.append(signed.delegations.succinct_roles)
        _check_keys(name, signed.delegations.keys, roles)


def _check_keys(name: str, keys: dict[str, _Key], roles: list[_Role]) -> None:
    if len(keys) > _KEYS_MAX:
        raise _malformed(name, f"more than {_KEYS_MAX} keys")
    prints = {keyid: _fingerprint(name, key) for keyid, key in keys.items()}
    for role in roles:
        if any(keyid not in prints for keyid in role.keyids):
            raise _malformed(name, "a role names a key that is not there")
        distinct = {prints[keyid] for keyid in role.keyids}
        if len(distinct) != len(role.keyids):
            raise _malformed(name, "one public key stands under two names in a role")
        if not 1 <= role.threshold <= len(distinct):
            raise _malformed(name, f"a threshold of {role.threshold} with {len(distinct)} keys")


def _fingerprint(name: str, key: _Key) -> str:
    """Return the sha256 of the key's SPKI in DER: one value per key, however it is written."""
    text = key.keyval.get("public", "")
    try:
        public = (
            ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
            if key.keytype == "ed25519"
            else load_pem_public_key(text.encode("utf-8"))
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _malformed(name, "a key cannot be read") from error
    if isinstance(public, rsa.RSAPublicKey):
        accepted = key.keytype == "rsa" and public.key_size >= _RSA_BITS_MIN
    elif isinstance(public, ec.EllipticCurvePublicKey):
        accepted = key.keytype.startswith("ecdsa") and public.curve.name in (
            "secp256r1",
            "secp384r1",
        )
    else:
        accepted = isinstance(public, ed25519.Ed25519PublicKey) and key.keytype == "ed25519"
    if not accepted:
        raise _malformed(name, "a key is of a kind that is not accepted")
    return hashlib.sha256(
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()


def _malformed(name: str, why: str) -> HoldfastError:
    return HoldfastError(
        Code.METADATA_MALFORMED, f"{name} is not acceptable: {why[:200]}.", file=name
    )
