"""Pushing account claims to a broker: what a relay does beside each one.

The server is not to be trusted with this: it answers "jwt updated" to claims of a foreign operator
and of the account itself, stores them (the account is refused after its next start), and takes an
older claim that un-revokes a user (all measured). So issuer and strictly rising time of issue are
checked here, and every push is read back.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeVar

import msgspec

from holdfast_protocol.bus.port import Core
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import jwt
from holdfast_protocol.identity.jwt import AccountBody, Claims
from holdfast_protocol.limits import CLAIMS_BYTES
from holdfast_protocol.subjects import CLAIMS_LIST, CLAIMS_UPDATE, claims_lookup

T = TypeVar("T")
_ASK_S: Final = 5.0


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    code: int = 0


class _Update(msgspec.Struct, frozen=True, kw_only=True):
    data: _Status = _Status()


class _List(msgspec.Struct, frozen=True, kw_only=True):
    data: tuple[str, ...] | None = None


async def push(system: Core, token: str, issuers: Collection[str]) -> bool:
    """Make ``token`` the broker's claim of its account; tell whether anything had to change.

    ``system`` is connected to SYS as a relay; ``issuers`` are the operator's signing keys. The same
    claim again is no error. Raises ``BAD_SIGNATURE`` and ``METADATA_MALFORMED`` for the token,
    ``METADATA_ROLLBACK`` where the broker holds a newer or another of the same time,
    ``STORE_FAILED`` where it does not hold the token afterwards.
    """
    new = jwt.decode(token, AccountBody, issuers)
    present = await held(system, new.subject.public)
    if present == token:
        return False
    jwt.check_successor(new, _trusted(present, issuers))
    answer = await system.request(CLAIMS_UPDATE, token.encode("ascii"), None, _ASK_S)
    code = _decode(answer.body, _Update).data.code
    if code != 200 or await held(system, new.subject.public) != token:
        raise HoldfastError(
            Code.STORE_FAILED, f"The broker does not keep the claim of {new.subject.name[:64]!a}."
        )
    return True


async def held(system: Core, account: str) -> str | None:
    """Return the claim the broker holds of an account, None where it has none."""
    answer = await system.request(claims_lookup(account), b"", None, _ASK_S)
    if len(answer.body) > CLAIMS_BYTES:
        raise HoldfastError(Code.STORE_FAILED, "The broker's claim is too large.")
    return answer.body.decode("ascii", "replace") or None


async def accounts(system: Core) -> tuple[str, ...]:
    """Return the public keys of the accounts the broker knows, sorted."""
    answer = await system.request(CLAIMS_LIST, b"", None, _ASK_S)
    return tuple(sorted(_decode(answer.body, _List).data or ()))


def _trusted(token: str | None, issuers: Collection[str]) -> Claims | None:
    """Return the present claim; one that no issuer signed is none and may be replaced."""
    if token is None:
        return None
    try:
        return jwt.decode(token, AccountBody, issuers)
    except HoldfastError as error:
        if error.code in (Code.BAD_SIGNATURE, Code.METADATA_MALFORMED):
            return None
        raise


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise HoldfastError(Code.STORE_FAILED, "The broker's answer does not decode.") from error
