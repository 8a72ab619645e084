"""The NATS side of a ceremony: operator, accounts, and a credentials folder for each identity.

The operator's own key and the accounts' identity keys stay in the ceremony's folder; the minter
gets the operator's signing key and nothing more. Claims carry no expiry: revocation ends them.
"""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast_protocol import subjects
from holdfast_protocol.identity import accounts, credentials, jwt, x509
from holdfast_protocol.identity.credentials import write_private
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.identity.permissions import Permissions

AccountName = Literal["sys", "control", "inference"]

CA_LIFE_DAYS = 3650
CERTIFICATE_LIFE_DAYS = 1095


def validity(days: int) -> x509.Validity:
    """From a little before now, for clocks that are not quite equal, for ``days``."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return x509.Validity(
        not_before=now - datetime.timedelta(minutes=10),
        not_after=now + datetime.timedelta(days=days),
    )


@dataclass(frozen=True)
class Account:
    """An account's identity key, the key that signs its users, and its claim."""

    identity: KeyPair
    signing: KeyPair
    jwt: str


@dataclass(frozen=True)
class Realm:
    """Everything the ceremony holds of NATS and X.509."""

    operator: KeyPair
    operator_signing: KeyPair
    operator_jwt: str
    accounts: dict[AccountName, Account]
    authority: x509.Authority

    def issue(self, folder: Path, identity: Identity) -> str:
        """Write the credentials folder of ``identity``; return its public user key."""
        pair = KeyPair.generate(Kind.USER)
        key_pem = x509.new_key()
        certificate = x509.sign_csr(
            self.authority,
            x509.new_csr(key_pem),
            x509.Holder(uri=x509.holder_uri(identity.kind, identity.name)),
            validity(CERTIFICATE_LIFE_DAYS),
        )
        self.issue_for(folder, identity, pair, (key_pem, certificate))
        return pair.public

    def issue_for(
        self, folder: Path, identity: Identity, pair: KeyPair, tls: tuple[bytes, bytes]
    ) -> None:
        """Write the folder of ``identity`` for keys made before; ``tls`` is key and certificate."""
        account = self.accounts[identity.account]
        user_jwt = jwt.issue(
            account.signing,
            jwt.Subject(public=pair.public, name=identity.name, issued_at_s=int(time.time())),
            accounts.user(identity.permissions, account.identity.public),
        )
        credentials.write(
            folder,
            credentials.Credentials(
                user_jwt=user_jwt,
                seed=pair.seed(),
                ca_pem=self.authority.certificate_pem,
                certificate_pem=tls[1],
                key_pem=tls[0],
                connect=credentials.Connect(
                    servers=identity.servers, inbox_prefix=subjects.inbox_prefix(identity.name)
                ),
            ),
        )

    def keep(self, folder: Path) -> None:
        """Write the ceremony's secrets, mode 0600, where only the ceremony looks."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(folder / "operator.seed", self.operator.seed().encode())
        for name, account in self.accounts.items():
            write_private(folder / f"{name}.seed", account.identity.seed().encode())
            write_private(folder / f"{name}-signing.seed", account.signing.seed().encode())


@dataclass(frozen=True)
class Identity:
    """Somebody who connects: ``kind`` and ``name`` stand in the certificate's URI."""

    kind: str
    name: str
    account: AccountName
    permissions: Permissions
    servers: tuple[str, ...]


def found(site: str) -> Realm:
    """Return a fresh realm: operator, the three accounts of a site, its CA."""
    operator = KeyPair.generate(Kind.OPERATOR)
    signing = KeyPair.generate(Kind.OPERATOR)
    made: dict[AccountName, Account] = {}
    now = int(time.time())
    bodies = {"sys": accounts.system, "control": accounts.control, "inference": accounts.inference}
    names: tuple[AccountName, ...] = ("sys", "control", "inference")
    for name in names:
        identity, users = KeyPair.generate(Kind.ACCOUNT), KeyPair.generate(Kind.ACCOUNT)
        body = bodies[name](accounts.Issuers(signing_keys=(users.public,)))
        subject = jwt.Subject(public=identity.public, name=name.upper(), issued_at_s=now)
        made[name] = Account(
            identity=identity, signing=users, jwt=jwt.issue(signing, subject, body)
        )
    operator_jwt = jwt.issue(
        operator,
        jwt.Subject(public=operator.public, name=site, issued_at_s=now),
        accounts.operator([signing.public], made["sys"].identity.public),
    )
    return Realm(
        operator=operator,
        operator_signing=signing,
        operator_jwt=operator_jwt,
        accounts=made,
        authority=x509.new_authority(f"{site} CA", validity(CA_LIFE_DAYS)),
    )
