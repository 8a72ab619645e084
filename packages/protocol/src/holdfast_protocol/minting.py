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


class MintRefused(msgspec.Struct, frozen=True, kw_only=True, tag="mint-refused"):
    """Nothing was signed."""

    code: str
    message: str


MintAnswer = MintedApplication | MintRefused
