"""What the minter signs for nodes: a bootstrap user for a code, and a certified node's two users.

A certified node's claims follow from its site certificate alone. A code rests on no officer's
signature, so its user is bounded by itself: one subject, its own inbox, an end.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from holdfast_bundles.site.model import SiteCertificate
from holdfast_protocol import limits
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import accounts, jwt, nkeys, permissions, x509
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.identity.permissions import Permissions
from holdfast_protocol.ids import token
from holdfast_protocol.minting import MintCode, MintedCode, MintedNode, MintNode

CERTIFICATE_LIFE_DAYS: Final = 1095
CODE_LIFE_S: Final = limits.CODE_TTL_S_MAX + limits.REQUEST_LIFE_S
"""A node waits with its bootstrap user until officers have decided."""


@dataclass(frozen=True)
class AccountKey:
    """An account's public identity and the key that signs its users."""

    account: str
    signing: KeyPair


@dataclass(frozen=True)
class Keys:
    """The only copies of what can make an identity on this site."""

    operator_signing: KeyPair
    authority: x509.Authority
    control: AccountKey
    inference: AccountKey
    domain: str


def code(keys: Keys, asked: MintCode, now_s: float) -> MintedCode:
    """Return the bootstrap user of a code; raises ``BAD_REQUEST`` or ``BAD_NAME``."""
    if not now_s < asked.not_after_s <= now_s + CODE_LIFE_S + 60:
        raise HoldfastError(Code.BAD_REQUEST, f"A code's user lives at most {CODE_LIFE_S} s.")
    nonce = token(asked.nonce, "nonce")
    subject = jwt.Subject(
        public=nkeys.check_public(asked.user_public, Kind.USER),
        name=f"code-{nonce}",
        issued_at_s=int(now_s),
        expires_at_s=asked.not_after_s,
    )
    body = accounts.user(permissions.bootstrap(nonce), keys.control.account)
    ends = datetime.datetime.fromtimestamp(asked.not_after_s, datetime.UTC)
    certificate = x509.sign_csr(
        keys.authority,
        asked.csr,
        x509.Holder(uri=x509.holder_uri("bootstrap", nonce)),
        x509.Validity(not_before=validity(now_s).not_before, not_after=ends),
    )
    return MintedCode(
        nonce=nonce,
        node=asked.node,
        user_jwt=jwt.issue(keys.control.signing, subject, body),
        certificate=certificate,
        ca=keys.authority.certificate_pem,
        domain=keys.domain,
    )


def node(
    keys: Keys,
    certificate: SiteCertificate | None,
    zones: Mapping[str, str],
    asked: MintNode,
    now_s: float,
) -> MintedNode:
    """Return the users and certificates of the node that ``certificate`` is about.

    ``certificate`` is what the minter verified itself; ``zones`` maps zone to jurisdiction.
    Raises ``NOT_APPROVED`` without one, past its date, outside its jurisdiction, or for requests
    by other keys than it names.
    """
    if certificate is None or certificate.node != asked.node:
        raise HoldfastError(
            Code.NOT_APPROVED, f"Node {asked.node[:80]!a} has no site certificate in force."
        )
    _check(certificate, zones, asked, now_s)
    name = certificate.node
    gateway = permissions.gateway(name, certificate.zones, [permissions.ANY_PEER])
    return MintedNode(
        nonce=asked.nonce,
        node=name,
        agent_jwt=_user(
            keys.control,
            (certificate.nats_public, name),
            permissions.agent(name, keys.domain),
            now_s,
        ),
        gateway_jwt=_user(keys.inference, (certificate.gateway_nats_public, name), gateway, now_s),
        certificate=_tls(keys, name, asked.csr, now_s),
        gateway_certificate=_tls(keys, name, asked.gateway_csr, now_s),
        ca=keys.authority.certificate_pem,
    )


def validity(now_s: float) -> x509.Validity:
    """From a little before now, for clocks that are not quite equal, for years."""
    now = datetime.datetime.fromtimestamp(int(now_s), datetime.UTC)
    return x509.Validity(
        not_before=now - datetime.timedelta(minutes=10),
        not_after=now + datetime.timedelta(days=CERTIFICATE_LIFE_DAYS),
    )


def _check(
    certificate: SiteCertificate, zones: Mapping[str, str], asked: MintNode, now_s: float
) -> None:
    name = certificate.node
    if now_s >= certificate.not_after_s:
        raise HoldfastError(Code.NOT_APPROVED, f"The site certificate of {name} has expired.")
    if any(zones.get(zone) != certificate.jurisdiction for zone in certificate.zones):
        raise HoldfastError(
            Code.NOT_APPROVED, f"The site certificate of {name} is for zones of no one place."
        )
    named = (certificate.tls_spki_sha256, certificate.gateway_tls_spki_sha256)
    if (x509.spki_sha256(asked.csr), x509.spki_sha256(asked.gateway_csr)) != named:
        raise HoldfastError(
            Code.NOT_APPROVED, f"The site certificate of {name} names other TLS keys."
        )


def _user(account: AccountKey, user: tuple[str, str], rights: Permissions, now_s: float) -> str:
    public, name = user
    return jwt.issue(
        account.signing,
        jwt.Subject(public=public, name=name, issued_at_s=int(now_s)),
        accounts.user(rights, account.account),
    )


def _tls(keys: Keys, name: str, csr: bytes, now_s: float) -> bytes:
    holder = x509.Holder(uri=x509.holder_uri("node", name))
    return x509.sign_csr(keys.authority, csr, holder, validity(now_s))
