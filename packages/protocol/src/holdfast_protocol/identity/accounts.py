"""Claims of the site's accounts and users: SYS, CONTROL, INFERENCE, one per application.

Pure. The exports and imports here are what makes a caller's identity part of the subject: the
server writes zone and application, the application says only ``infer.<alias>.<op>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from holdfast_protocol.identity import nkeys
from holdfast_protocol.identity.jwt import (
    UNLIMITED,
    AccountBody,
    AccountLimits,
    Export,
    Import,
    OperatorBody,
    UserBody,
)
from holdfast_protocol.identity.nkeys import Kind
from holdfast_protocol.identity.permissions import Permissions
from holdfast_protocol.ids import token
from holdfast_protocol.limits import (
    APP_CONNECTIONS,
    APP_SUBSCRIPTIONS,
    BROKER_PAYLOAD_BYTES,
    RESPONSE_THRESHOLD_S,
)

JWT_VERSION: Final = 2
_NANOSECONDS: Final = 1_000_000_000


class Issuers(msgspec.Struct, frozen=True, kw_only=True):
    """Public signing keys that may issue an account's users, and users revoked since when.

    ``revocations`` maps a user's public key to Unix seconds: claims issued at or before are void.
    """

    signing_keys: tuple[str, ...]
    revocations: Mapping[str, int] = {}


def operator(signing_keys: Sequence[str], system_account: str) -> OperatorBody:
    """The operator: only its signing keys issue accounts, so that its own key stays in the safe."""
    for key in signing_keys:
        nkeys.check_public(key, Kind.OPERATOR)
    return OperatorBody(
        version=JWT_VERSION,
        signing_keys=tuple(signing_keys),
        system_account=nkeys.check_public(system_account, Kind.ACCOUNT),
        strict_signing_key_usage=True,
    )


def system(issuers: Issuers) -> AccountBody:
    """SYS: claims are pushed here and nothing else is done."""
    return _account(issuers, AccountLimits())


def control(issuers: Issuers) -> AccountBody:
    """CONTROL: controller, agents, relays, people; has JetStream; alone crosses brokers."""
    return _account(
        issuers,
        AccountLimits(
            leaf=UNLIMITED,
            disk_storage=UNLIMITED,
            mem_storage=UNLIMITED,
            streams=UNLIMITED,
            consumer=UNLIMITED,
        ),
    )


def inference(issuers: Issuers) -> AccountBody:
    """INFERENCE: gateways; exports the service that applications import.

    The response threshold is fixed when a server first loads the account: a later push does not
    change it, and the default of two minutes loses answers silently (measured).
    """
    export = Export(
        name="infer",
        subject="infer.v1.*.*.*.*",
        type="service",
        response_type="Stream",
        response_threshold=RESPONSE_THRESHOLD_S * _NANOSECONDS,
    )
    return msgspec.structs.replace(_account(issuers, AccountLimits()), exports=(export,))


def application(issuers: Issuers, app: str, zone: str, inference_account: str) -> AccountBody:
    """An application's own account: it can say its identity no other way than by being in it."""
    imported = Import(
        name="infer",
        subject=f"infer.v1.{token(zone, 'zone')}.{token(app, 'app')}.*.*",
        account=nkeys.check_public(inference_account, Kind.ACCOUNT),
        type="service",
        local_subject="infer.*.*",
    )
    limits = AccountLimits(
        subs=APP_SUBSCRIPTIONS,
        conn=APP_CONNECTIONS,
        payload=BROKER_PAYLOAD_BYTES,
        imports=1,
        exports=0,
    )
    return msgspec.structs.replace(_account(issuers, limits), imports=(imported,))


def user(permissions: Permissions, account: str) -> UserBody:
    """A user of ``account``, issued by one of the account's signing keys."""
    return UserBody(
        version=JWT_VERSION,
        pub=permissions.publishing(),
        sub=permissions.subscribing(),
        issuer_account=nkeys.check_public(account, Kind.ACCOUNT),
        subs=UNLIMITED,
        data=UNLIMITED,
        payload=UNLIMITED,
    )


def _account(issuers: Issuers, limits: AccountLimits) -> AccountBody:
    for key in issuers.signing_keys:
        nkeys.check_public(key, Kind.ACCOUNT)
    for key in issuers.revocations:
        nkeys.check_public(key, Kind.USER)
    return AccountBody(
        version=JWT_VERSION,
        limits=limits,
        signing_keys=issuers.signing_keys,
        revocations=dict(issuers.revocations),
    )
