"""Which claims document a relay follows: signed by the controller, never an older one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.credentials import write_private
from holdfast_protocol.messages import DesiredClaims
from holdfast_protocol.signed import DESIRED_CONTEXT, SignedDocument, open_signed


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The accepted document's stamp and bytes, as they lie in the relay's file."""

    epoch: int
    generation: int
    digest: str
    document: bytes


def verified(document: bytes, controller_key: bytes, broker: str) -> tuple[DesiredClaims, str]:
    """Return the claims document and its digest; raises ``BAD_SIGNATURE`` or ``BAD_REQUEST``."""
    payload = open_signed(decode(document, SignedDocument), controller_key, DESIRED_CONTEXT)
    claims = decode(payload, DesiredClaims)
    if claims.broker != broker:
        raise HoldfastError(Code.BAD_REQUEST, f"The claims are for {claims.broker[:64]!a}.")
    return claims, hashlib.sha256(payload).hexdigest()


def newer(claims: DesiredClaims, digest: str, stored: Stored | None) -> bool:
    """Tell whether ``claims`` replaces what is stored; the same again does not.

    Raises ``METADATA_ROLLBACK`` for an older one, or another one with the same stamp: replaying
    old claims would give revoked users their rights back.
    """
    if stored is None:
        return True
    order, have = (claims.epoch, claims.generation), (stored.epoch, stored.generation)
    if order == have and digest == stored.digest:
        return False
    if order <= have:
        raise HoldfastError(
            Code.METADATA_ROLLBACK, f"Claims {order} are not newer than {have} in force."
        )
    return True


class ClaimsFile:
    """The one file of a relay: its accepted document."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "claims.json"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self) -> Stored | None:
        """Return what was accepted last, None on a fresh relay."""
        try:
            return decode(self._path.read_bytes(), Stored)
        except FileNotFoundError:
            return None

    def write(self, stored: Stored) -> None:
        """Keep the accepted document before it is acted upon; raises ``STORE_FAILED``."""
        try:
            write_private(self._path, encode(stored))
        except OSError as error:
            raise HoldfastError(
                Code.STORE_FAILED, f"{self._path} cannot be written: {error.strerror}."
            ) from error
