"""Enrolment of a node: the one-time code, what a new node says, what it is told.

The officer's command makes the code's secrets and the node makes its own keys: neither travels to
the controller. What the controller learns of the code's secret is its public half, so that the
journal holds nothing with which a node could be forged. Values only; proofs are in
:mod:`holdfast_protocol.identity.proof`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from holdfast_protocol import codec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import CODE_BYTES

Stage = Literal["pending", "minting", "ready"]

CONTEXT: Final = b"holdfast enrolment v1\0"
_HEAD: Final = "-----BEGIN HOLDFAST NODE CODE-----"
_FOOT: Final = "-----END HOLDFAST NODE CODE-----"
_BLOCK: Final = re.compile(f"{_HEAD}\\s+([A-Za-z0-9+/=\\s]+?)\\s+{_FOOT}")
_FINGERPRINT_BYTES: Final = 16


class NodeCode(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time code as it is carried to the node: who it will be, whom to believe, how to ask.

    ``secret`` (hex, an Ed25519 seed), ``user_seed`` and ``key`` are secret; ``not_after_s`` is
    Unix time; ``servers`` are ``tls://host:port``.
    """

    site: str
    node: str
    zone: str
    jurisdiction: str
    nonce: str
    secret: str
    not_after_s: int
    servers: tuple[str, ...]
    user_jwt: str
    user_seed: str
    certificate: bytes
    key: bytes
    ca: bytes
    ca_sha256: str
    root_sha256: str
    controller_key: str
    domain: str
    zones: dict[str, str]


class CreateCode(msgspec.Struct, frozen=True, kw_only=True):
    """Make a one-time code; its secrets were made by the caller and never travel.

    Asked again with the same body it answers with what has come of it.
    """

    node: str
    zone: str
    nonce: str
    secret_public: str
    user_public: str
    csr: bytes
    ttl_s: int = 3600


class CodeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The public part of a code; ``user_jwt``, ``certificate`` and ``ca`` once ``ready``."""

    node: str
    state: Literal["minting", "ready"]
    site: str
    zone: str
    jurisdiction: str
    not_after: float
    servers: tuple[str, ...]
    root_sha256: str
    controller_key: str
    zones: dict[str, str]
    user_jwt: str | None = None
    certificate: bytes | None = None
    ca: bytes | None = None
    domain: str | None = None


class NodeKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The public half of everything a node made for itself; ``node`` and ``zone`` as its code."""

    node: str
    zone: str
    nats_public: str
    gateway_nats_public: str
    x25519_public: str
    csr: bytes
    gateway_csr: bytes


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """``keys`` are the exact bytes of a :class:`NodeKeys`; ``proof`` shows the code's secret."""

    keys: bytes
    proof: str


class NodeCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a certified node needs beside its own keys; ``marks`` is JSON of the trust's marks."""

    agent_jwt: str
    gateway_jwt: str
    certificate: bytes
    gateway_certificate: bytes
    ca: bytes
    root: bytes
    marks: bytes


class EnrolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is: ``pending`` officers, ``minting``, or ``ready`` with the credentials."""

    node: str
    state: Stage
    request: str
    fingerprint: str
    approvals: int = 0
    needed: int = 0
    credentials: NodeCredentials | None = None


def fingerprint(node: str, keys: Sequence[str]) -> str:
    """Return what people compare of a node's public keys: 128 bits, hex in groups of four.

    ``keys`` in the order of the site certificate: agent, gateway, X25519, both TLS keys.
    """
    digest = hashlib.sha256(CONTEXT + codec.encode([node, *keys])).hexdigest()
    return " ".join(digest[i : i + 4] for i in range(0, 2 * _FINGERPRINT_BYTES, 4))


def code_text(code: NodeCode, lines: Sequence[str]) -> str:
    """Return the printable file of ``code``; ``lines`` stand above it for people."""
    body = base64.b64encode(codec.encode(code)).decode("ascii")
    block = [body[i : i + 76] for i in range(0, len(body), 76)]
    return "\n".join([*lines, _HEAD, *block, _FOOT, ""])


def read_code(text: bytes) -> NodeCode:
    """Return the code of a file; raises ``CODE_REFUSED`` for what is none or was damaged."""
    refused = HoldfastError(Code.CODE_REFUSED, "This file holds no code of a node.")
    if len(text) > CODE_BYTES:
        raise refused
    found = _BLOCK.search(text.decode("ascii", "replace"))
    if found is None:
        raise refused
    try:
        data = base64.b64decode("".join(found.group(1).split()), validate=True)
        return codec.decode(data, NodeCode)
    except (binascii.Error, ValueError, HoldfastError) as error:
        raise refused from error
