"""What controller and minter say to each other on the minter's local socket.

The minter signs an account, a user or a certificate only against a record that officers signed:
every call carries the site's role files, and the minter verifies them against the root it was
given at the ceremony, as an agent does. The controller cannot make it sign anything else.
"""

from __future__ import annotations

import msgspec


class MintApplication(msgspec.Struct, frozen=True, kw_only=True, tag="mint-application"):
    """Make the account and the user of an application; idempotent by (app, user_public)."""

    app: str
    user_public: str
    csr: bytes
    files: dict[str, bytes]
    """The site repository's files by name, verbatim."""


class MintedApplication(msgspec.Struct, frozen=True, kw_only=True, tag="minted-application"):
    """The signed account and user; ``user_jwt`` is None once the application is revoked."""

    app: str
    account: str
    account_jwt: str
    user_jwt: str | None
    certificate: bytes | None
    ca: bytes


class MintCode(msgspec.Struct, frozen=True, kw_only=True, tag="mint-code"):
    """Make the bootstrap user of a one-time code: it may say who it is on one subject, no more.

    No officer signs this, so it is bounded by itself: its only right, and its end ``not_after_s``.
    """

    nonce: str
    node: str
    user_public: str
    csr: bytes
    not_after_s: int


class MintedCode(msgspec.Struct, frozen=True, kw_only=True, tag="minted-code"):
    """The bootstrap user; ``domain`` is where desired documents lie."""

    nonce: str
    node: str
    user_jwt: str
    certificate: bytes
    ca: bytes
    domain: str


class MintNode(msgspec.Struct, frozen=True, kw_only=True, tag="mint-node"):
    """Make a node's two users and certificates, against its site certificate in ``files``."""

    nonce: str
    node: str
    csr: bytes
    gateway_csr: bytes
    files: dict[str, bytes]


class MintedNode(msgspec.Struct, frozen=True, kw_only=True, tag="minted-node"):
    """The agent's user in CONTROL, the gateway's in INFERENCE, and a certificate for each."""

    nonce: str
    node: str
    agent_jwt: str
    gateway_jwt: str
    certificate: bytes
    gateway_certificate: bytes
    ca: bytes


class MintRefused(msgspec.Struct, frozen=True, kw_only=True, tag="mint-refused"):
    """Nothing was signed."""

    code: str
    message: str


MintAsked = MintApplication | MintCode | MintNode
MintAnswer = MintedApplication | MintedCode | MintedNode | MintRefused
