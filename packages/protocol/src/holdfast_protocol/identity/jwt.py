"""NATS claims (JWT version 2): operator, account and user, as nats-io/jwt v2 writes them.

Pure: time is an argument. ``decode`` checks form, signature and issuer before anything else is
read; whether a claim is newer than the one in force is :func:`check_successor`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection
from typing import Final, TypeVar

import msgspec

from holdfast_protocol.codec import encode as encode_json
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import nkeys
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.limits import CLAIMS_BYTES

UNLIMITED: Final = -1
_HEADER: Final = b'{"typ":"JWT","alg":"ed25519-nkey"}'


class Allow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Subjects allowed and denied; both empty means everything, so neither side leaves it so."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class Export(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an account offers to others; ``response_threshold`` in nanoseconds."""

    name: str
    subject: str
    type: str
    response_type: str = ""
    response_threshold: int = 0
    token_req: bool = False


class Import(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an account takes from another, under its local name."""

    name: str
    subject: str
    account: str
    type: str
    local_subject: str = ""
    share: bool = False


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Quotas of an account; -1 is unlimited, 0 none. Storage in bytes."""

    subs: int = UNLIMITED
    data: int = UNLIMITED
    payload: int = UNLIMITED
    imports: int = UNLIMITED
    exports: int = UNLIMITED
    wildcards: bool = True
    conn: int = UNLIMITED
    leaf: int = 0
    disk_storage: int = 0
    mem_storage: int = 0
    streams: int = 0
    consumer: int = 0


class Scope(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="user_scope"):
    """A signing key whose users have exactly ``template``'s permissions."""

    key: str
    role: str
    template: ScopeTemplate


class ScopeTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """Permissions and limits of a scoped signing key."""

    pub: Allow
    sub: Allow
    subs: int = UNLIMITED
    data: int = UNLIMITED
    payload: int = UNLIMITED


class OperatorBody(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="operator", omit_defaults=True
):
    """The site's operator: who may sign accounts, and which account is the system's."""

    version: int
    signing_keys: tuple[str, ...] = ()
    system_account: str = ""
    strict_signing_key_usage: bool = False


class AccountBody(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="account", omit_defaults=True
):
    """An account; ``revocations`` maps a user's public key to the time before which it is void."""

    version: int
    limits: AccountLimits
    signing_keys: tuple[str | Scope, ...] = ()
    imports: tuple[Import, ...] = ()
    exports: tuple[Export, ...] = ()
    revocations: dict[str, int] = {}
    default_permissions: dict[str, Allow] = {}


class UserBody(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="user", omit_defaults=True
):
    """A user; ``issuer_account`` names the account where a signing key issued it."""

    version: int
    pub: Allow = Allow()
    sub: Allow = Allow()
    issuer_account: str = ""
    subs: int = 0
    data: int = 0
    payload: int = 0


Body = OperatorBody | AccountBody | UserBody
SomeBody = TypeVar("SomeBody", OperatorBody, AccountBody, UserBody)

_ISSUERS: Final[dict[type[Body], Kind]] = {
    OperatorBody: Kind.OPERATOR,
    AccountBody: Kind.OPERATOR,
    UserBody: Kind.ACCOUNT,
}
_SUBJECTS: Final[dict[type[Body], Kind]] = {
    OperatorBody: Kind.OPERATOR,
    AccountBody: Kind.ACCOUNT,
    UserBody: Kind.USER,
}


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a claim is about: public key, a name for people, time of issue in Unix seconds.

    ``expires_at_s`` is for claims that serve nobody, as a node's before it is enrolled.
    """

    public: str
    name: str
    issued_at_s: int
    expires_at_s: int | None = None


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """A claim whose signature and issuer were checked. Times in Unix seconds; None is never."""

    issuer: str
    subject: Subject
    body: Body
    expires_at_s: int | None = None


class _Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload as it travels; unknown fields of newer servers are ignored."""

    iss: str
    sub: str
    iat: int
    nats: Body
    name: str = ""
    jti: str = ""
    exp: int | None = None


def issue(key: KeyPair, subject: Subject, body: Body) -> str:
    """Return the signed claim; serving ones carry no expiry, revocation does that work."""
    assert key.kind is _ISSUERS[type(body)], "claims are signed by the key above them"
    nkeys.check_public(subject.public, _SUBJECTS[type(body)])
    wire = _Wire(
        iss=key.public,
        sub=subject.public,
        iat=subject.issued_at_s,
        nats=body,
        name=subject.name,
        exp=subject.expires_at_s,
    )
    digest = hashlib.sha256(encode_json(wire)).digest()
    identified = msgspec.structs.replace(wire, jti=base64.b32encode(digest).decode().rstrip("="))
    signed = f"{_b64(_HEADER)}.{_b64(encode_json(identified))}"
    return f"{signed}.{_b64(key.sign(signed.encode('ascii')))}"


def decode(token: str, kind: type[SomeBody], issuers: Collection[str]) -> Claims:
    """Return the claim in ``token`` if it is a ``kind`` signed by one of ``issuers``.

    Raises ``METADATA_MALFORMED`` for form, ``BAD_SIGNATURE`` for issuer and signature.
    """
    if len(token) > CLAIMS_BYTES:
        raise _malformed(f"{len(token)} bytes, more than {CLAIMS_BYTES}")
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise _malformed("not three parts")
    try:
        header = msgspec.json.decode(_unb64(parts[0]), type=dict[str, str])
        wire = msgspec.json.decode(_unb64(parts[1]), type=_Wire)
        signature = _unb64(parts[2])
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError) as error:
        raise _malformed("it does not decode") from error
    if header.get("alg") != "ed25519-nkey" or not isinstance(wire.nats, kind):
        raise _malformed(f"no {kind.__struct_config__.tag} claim with alg ed25519-nkey")
    if wire.iss not in issuers:
        raise HoldfastError(
            Code.BAD_SIGNATURE, f"Claim {wire.name[:64]!a} is signed by a key that may not."
        )
    nkeys.verify(wire.iss, _ISSUERS[kind], f"{parts[0]}.{parts[1]}".encode("ascii"), signature)
    nkeys.check_public(wire.sub, _SUBJECTS[kind])
    return Claims(
        issuer=wire.iss,
        subject=Subject(public=wire.sub, name=wire.name, issued_at_s=wire.iat),
        body=wire.nats,
        expires_at_s=wire.exp,
    )


def check_successor(new: Claims, current: Claims | None) -> None:
    """Return if ``new`` may replace ``current``: same subject, strictly later issue.

    Raises ``METADATA_ROLLBACK``: replaying an older claim would undo a revocation, and the server
    does not refuse that (measured).
    """
    if current is None:
        return
    if new.subject.public != current.subject.public:
        raise _malformed("it is about another key")
    if new.subject.issued_at_s <= current.subject.issued_at_s:
        raise HoldfastError(
            Code.METADATA_ROLLBACK,
            f"Claim {new.subject.name[:64]!a} is not newer than the one in force.",
        )


def _malformed(why: str) -> HoldfastError:
    return HoldfastError(Code.METADATA_MALFORMED, f"A NATS claim is not acceptable: {why}.")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
