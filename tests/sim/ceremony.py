"""The people and keys of simulated sites, and what their ceremony hands to a controller.

Keys follow from names, so that a seed gives the same bytes in every process; signing and
verifying are real. Made once a process and shared by all histories.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_bundles.site import (
    Ed25519Key,
    FrameSpec,
    RequestSignature,
    SiteCertificate,
    Standing,
    accept,
    assemble,
    build_frame,
    load_frame,
    officer,
    propose_node,
    sign_payload,
)
from holdfast_protocol.configs import BrokerEntry, Founding, Person

SITE: Final = "alpha"
ZONES: Final = {"de": "DE", "fr": "FR"}
START_S: Final = 1_800_000_000.0
OFFICERS: Final = ("officer-1", "officer-2", "officer-3")
OPERATORS: Final = ("operator-1", "operator-2")
NODES: Final = {"de-1": "de", "de-2": "de", "fr-1": "fr", "de-3": "de", "fr-2": "fr"}
"""Every node a site may have, with its zone; the first three to five of them run."""
BROKERS: Final = tuple(
    BrokerEntry(name=f"broker-{zone}", zone=zone, jurisdiction=ZONES[zone], servers=())
    for zone in ZONES
)


def raw_key(name: str) -> Ed25519PrivateKey:
    """Return the private key that belongs to ``name`` in every process."""
    seed = hashlib.sha256(f"holdfast simulation: {name}".encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the raw public half of ``key``."""
    return key.public_key().public_bytes_raw()


@dataclass(frozen=True)
class Officer:
    """A person with the key in the safe and the daily one."""

    name: str
    root: Ed25519Key
    daily: Ed25519Key

    def sign(self, payload: bytes) -> RequestSignature:
        """Return the daily key's signature over ``payload``."""
        return sign_payload(payload, self.daily)


@dataclass(frozen=True)
class Ceremony:
    """What exists before the first controller starts."""

    officers: tuple[Officer, ...]
    online: Ed25519Key
    desired: Ed25519PrivateKey
    stranger: Ed25519Key
    pinned_root: bytes
    files: dict[str, bytes]
    node_roles: dict[str, str]

    def person(self, keyid: str) -> str | None:
        """Return whose daily key ``keyid`` is."""
        for one in self.officers:
            if one.daily.public.keyid == keyid:
                return one.name
        return None

    def founding(self, nodes: tuple[str, ...]) -> Founding:
        """Return the ceremony's words for a site of ``nodes``."""
        people = [Person(who=who, role="officer") for who in OFFICERS]
        people += [Person(who=who, role="operator") for who in OPERATORS]
        others = {role for node, role in self.node_roles.items() if node not in nodes}
        return Founding(
            site=SITE,
            zone="de",
            zones=dict(ZONES),
            people=tuple(people),
            nodes=nodes,
            files={role: data for role, data in self.files.items() if role not in others},
        )


@cache
def ceremony() -> Ceremony:
    """Return the one ceremony of this process."""
    officers = tuple(
        Officer(name, Ed25519Key(raw_key(f"{name} root")), Ed25519Key(raw_key(f"{name} daily")))
        for name in OFFICERS
    )
    online = Ed25519Key(raw_key("online"))
    spec = FrameSpec(
        site=SITE,
        officers=tuple(officer(o.name, o.root.public_hex, o.daily.public_hex) for o in officers),
        threshold=2,
        online_public=online.public_hex,
    )
    files = {
        role: assemble(one, [sign_payload(one.payload, o.root) for o in officers[:2]])
        for role, one in build_frame(spec, START_S - 60.0).items()
    }
    frame = load_frame(files, SITE)
    node_roles: dict[str, str] = {}
    for node in NODES:
        at = Standing(frame=frame, current=files, now_s=START_S - 60.0)
        proposal = propose_node(at, certificate(node))
        signed = [o.sign(proposal.payload) for o in officers[:2]]
        files[proposal.role] = accept(frame, proposal, signed, None)
        node_roles[node] = proposal.role
    return Ceremony(
        officers=officers,
        online=online,
        desired=raw_key("desired"),
        stranger=Ed25519Key(raw_key("stranger")),
        pinned_root=files["root"],
        files=files,
        node_roles=node_roles,
    )


@cache
def certificate(node: str) -> SiteCertificate:
    """Return what officers signed of ``node``."""
    zone = NODES[node]
    return SiteCertificate(
        node=node,
        jurisdiction=ZONES[zone],
        zones=(zone,),
        nats_public="U" + "A" * 55,
        gateway_nats_public="U" + "B" * 55,
        x25519_public="ab" * 32,
        tls_spki_sha256="cd" * 32,
        limits={"requests": 100},
        not_after_s=int(START_S) + 365 * 24 * 3600,
    )
