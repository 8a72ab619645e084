"""The minter's one decision: may this be signed, and what exactly.

It believes nothing the controller says about an application, only the record that officers
signed, verified here against the site's root pinned at the ceremony.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

from holdfast_bundles.site.client import SiteTrust
from holdfast_bundles.site.model import AppRecord
from holdfast_bundles.site.outcome import Outcome
from holdfast_bundles.site.view import SiteView
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import accounts, jwt, permissions, x509
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.minting import (
    MintApplication,
    MintAsked,
    MintCode,
    MintedApplication,
    MintedCode,
    MintedNode,
    MintNode,
)

from holdfast_controller.minter import nodes
from holdfast_controller.minter.ledger import Account, IssuedUser, Ledger
from holdfast_controller.minter.nodes import Keys, validity


class Minter:
    """Signs against the site's trust; ``now_s`` is handed in."""

    def __init__(
        self, keys: Keys, trust: SiteTrust, ledger: Ledger, zones: Mapping[str, str]
    ) -> None:
        self._keys = keys
        self._trust = trust
        self._ledger = ledger
        self._zones = zones

    def answer(self, asked: MintAsked, now_s: float) -> MintedApplication | MintedCode | MintedNode:
        """Return what ``asked`` is answered with; raises the refusal."""
        match asked:
            case MintApplication():
                return self.application(asked, now_s)
            case MintCode():
                return nodes.code(self._keys, asked, now_s)
            case MintNode():
                certificate = self._view(asked.files, now_s).site_certificate(asked.node)
                return nodes.node(self._keys, certificate, self._zones, asked, now_s)
            case _:
                assert_never(asked)

    def application(self, asked: MintApplication, now_s: float) -> MintedApplication:
        """Return the claims of an application; the same call gives the same answer.

        Raises ``NOT_APPROVED`` without a record that names this user, ``TRUST_STALE`` or
        ``REFUSED``-like codes where the files cannot be verified. A revoked application's claim
        comes back with all its users revoked and ``user_jwt`` None.
        """
        view = self._view(asked.files, now_s)
        record = view.app_record(asked.app, self._zones)
        known = self._ledger.read(asked.app)
        if record is None:
            if known is not None and view.denied_target(f"deny/app/{asked.app}"):
                return self._answer(self._revoked(known, now_s), None)
            raise HoldfastError(Code.NOT_APPROVED, f"Application {asked.app} has no record.")
        if record.user_public != asked.user_public:
            raise HoldfastError(
                Code.NOT_APPROVED, f"The record of {asked.app} names another user key."
            )
        account = known or self._new_account(record, now_s)
        if asked.user_public not in account.users:
            account = self._with_user(account, record, asked.csr, now_s)
        return self._answer(account, account.users[asked.user_public])

    def _view(self, files: Mapping[str, bytes], now_s: float) -> SiteView:
        refresh = self._trust.refresh(_fetch(files), now_s)
        if refresh.outcome is not Outcome.FRESH:
            raise HoldfastError(
                Code.TRUST_STALE, f"The site's files are {refresh.outcome.value}: {refresh.reason}."
            )
        return self._trust.view(now_s)

    def _new_account(self, record: AppRecord, now_s: float) -> Account:
        identity, signing = KeyPair.generate(Kind.ACCOUNT), KeyPair.generate(Kind.ACCOUNT)
        return Account(
            app=record.app,
            zone=record.zone,
            account=identity.public,
            signing_seed=signing.seed(),
            account_jwt="",
            issued_s=int(now_s) - 1,
            users={},
        )

    def _with_user(self, account: Account, record: AppRecord, csr: bytes, now_s: float) -> Account:
        """Issue the record's user; users that the record no longer names are revoked."""
        signing = KeyPair.from_seed(account.signing_seed)
        # Claims are ordered by whole seconds; two in one second would look like a replay.
        issued_s = max(int(now_s), account.issued_s + 1)
        user_jwt = jwt.issue(
            signing,
            jwt.Subject(public=record.user_public, name=record.app, issued_at_s=issued_s),
            accounts.user(permissions.application(record.app), account.account),
        )
        certificate = x509.sign_csr(
            self._keys.authority,
            csr,
            x509.Holder(uri=x509.holder_uri("app", record.app)),
            validity(now_s),
        )
        users = {
            public: user if user.revoked_s else _revoke(user, issued_s)
            for public, user in account.users.items()
        }
        users[record.user_public] = IssuedUser(
            user_jwt=user_jwt, certificate=certificate, issued_s=issued_s
        )
        return self._issued(account, record.zone, users, issued_s)

    def _revoked(self, account: Account, now_s: float) -> Account:
        if all(user.revoked_s for user in account.users.values()):
            return account
        issued_s = max(int(now_s), account.issued_s + 1)
        users = {public: _revoke(user, issued_s) for public, user in account.users.items()}
        return self._issued(account, account.zone, users, issued_s)

    def _issued(
        self, account: Account, zone: str, users: dict[str, IssuedUser], issued_s: int
    ) -> Account:
        signing = KeyPair.from_seed(account.signing_seed)
        revocations = {
            public: user.revoked_s for public, user in users.items() if user.revoked_s is not None
        }
        body = accounts.application(
            accounts.Issuers(signing_keys=(signing.public,), revocations=revocations),
            account.app,
            zone,
            self._keys.inference.account,
        )
        subject = jwt.Subject(public=account.account, name=account.app, issued_at_s=issued_s)
        made = Account(
            app=account.app,
            zone=zone,
            account=account.account,
            signing_seed=account.signing_seed,
            account_jwt=jwt.issue(self._keys.operator_signing, subject, body),
            issued_s=issued_s,
            users=users,
        )
        self._ledger.write(made)
        return made

    def _answer(self, account: Account, user: IssuedUser | None) -> MintedApplication:
        return MintedApplication(
            app=account.app,
            account=account.account,
            account_jwt=account.account_jwt,
            user_jwt=user.user_jwt if user else None,
            certificate=user.certificate if user else None,
            ca=self._keys.authority.certificate_pem,
        )


def _fetch(files: Mapping[str, bytes]) -> Callable[[str], bytes | None]:
    return files.get


def _revoke(user: IssuedUser, at_s: int) -> IssuedUser:
    return IssuedUser(
        user_jwt=user.user_jwt,
        certificate=user.certificate,
        issued_s=user.issued_s,
        revoked_s=user.revoked_s or at_s,
    )
