"""What the minter keeps of each application: its account's signing key and what it issued.

One file an application, mode 0600, replaced whole. The account's own identity key is thrown away
once its claim is signed: nothing ever needs it again.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.credentials import write_private
from holdfast_protocol.ids import token


class IssuedUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user's claim and certificate; a revoked one stays listed with the time."""

    user_jwt: str
    certificate: bytes
    issued_s: int
    revoked_s: int | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An application's account as the minter knows it; users by their public key."""

    app: str
    zone: str
    account: str
    signing_seed: str
    account_jwt: str
    issued_s: int
    users: dict[str, IssuedUser]


class Ledger:
    """The files below ``folder``; the minter is their only writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, app: str) -> Account | None:
        """Return what was issued for ``app``; raises ``CONFIG_INVALID`` for a damaged file."""
        path = self._path(app)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return decode(data, Account)
        except HoldfastError as error:
            raise HoldfastError(Code.CONFIG_INVALID, f"{path} is damaged.") from error

    def write(self, account: Account) -> None:
        """Keep ``account`` durably before anybody is told of it; raises ``STORE_FAILED``."""
        try:
            write_private(self._path(account.app), encode(account))
        except OSError as error:
            raise HoldfastError(
                Code.STORE_FAILED, f"The minter's file of {account.app} cannot be written."
            ) from error

    def _path(self, app: str) -> Path:
        return self._folder / f"{token(app, 'application')}.json"
