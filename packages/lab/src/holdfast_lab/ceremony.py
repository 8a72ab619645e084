"""The founding of a lab's site: every key made, every record signed, every program configured.

The lab holds the ceremony by itself, all roles in one process under one user, and says so. What
comes out is what a real site's ceremony leaves behind: the same files for the same programs.
"""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from holdfast_bundles.site import keyfile, keys
from holdfast_bundles.site.model import SiteCertificate
from holdfast_protocol import subjects
from holdfast_protocol.codec import encode
from holdfast_protocol.configs import Founding, Person
from holdfast_protocol.identity import credentials, permissions, x509
from holdfast_protocol.identity.credentials import write_private

from holdfast_lab import parts, realm, site_file, trustees
from holdfast_lab.layout import Layout
from holdfast_lab.logic.nodes import NodeSpec
from holdfast_lab.site_file import SiteFile

OFFICERS = ("officer-1", "officer-2", "officer-3")
PEOPLE: dict[str, permissions.Role] = {
    **dict.fromkeys(OFFICERS, "officer"),
    "operator-1": "operator",
    "operator-2": "operator",
    "auditor-1": "auditor",
}
NODE_LIFE_S = 400 * 24 * 3600


@dataclass(frozen=True)
class Made:
    """What one ceremony works with."""

    layout: Layout
    site: SiteFile
    realm: realm.Realm


def found(layout: Layout, nodes: tuple[NodeSpec, ...], media: tuple[str, ...]) -> SiteFile:
    """Found a site below ``layout`` and return it; an unfinished ceremony is begun anew.

    Raises ``CONFIG_INVALID`` where a file cannot be written.
    """
    for leftover in ("parts", "creds", "officers", "ceremony"):
        shutil.rmtree(layout.root / leftover, ignore_errors=True)
    layout.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    site = site_file.plan(f"lab-{secrets.token_hex(4)}", nodes, media)
    made = Made(layout=layout, site=site, realm=realm.found(site.site))
    made.realm.keep(layout.root / "ceremony")
    controller_key = _controller_keys(made)
    certificates = [_node(made, spec) for spec in nodes]
    _identities(made)
    officers = [trustees.appoint(who, layout.officers / who) for who in OFFICERS]
    online = keyfile.read_key(layout.part("controller") / "online.pem")
    roles = trustees.found(site.site, officers, online.public_hex, certificates)
    _founding(made, roles)
    parts.write(made.layout, site, made.realm, parts.Pinned(roles["root"], controller_key))
    site_file.save(layout.site_file, site)
    return site


def _controller_keys(made: Made) -> str:
    """Make the controller's online and desired keys; return the latter's public half in hex."""
    folder = made.layout.part("controller")
    folder.mkdir(mode=0o700, parents=True)
    keyfile.write_key(folder / "online.pem", keys.generate_key())
    desired = Ed25519PrivateKey.generate()
    pem = desired.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(folder / "desired.pem", pem)
    return desired.public_key().public_bytes_raw().hex()


def _node(made: Made, spec: NodeSpec) -> SiteCertificate:
    """Make a node's keys and credentials; return the certificate that officers will sign."""
    site, name = made.site, spec.node
    agent, gateway = made.layout.part(f"agent-{name}"), made.layout.part(f"gateway-{name}")
    servers = (site.server(spec.zone),)
    agent_key = made.realm.issue(
        agent / "credentials",
        realm.Identity("node", name, "control", permissions.agent(name, site.zone), servers),
    )
    gateway_key = made.realm.issue(
        gateway / "credentials",
        realm.Identity(
            "node",
            name,
            "inference",
            permissions.gateway(name, [spec.zone], [permissions.ANY_PEER]),
            servers,
        ),
    )
    pair = X25519PrivateKey.generate()
    write_private(gateway / "x25519.key", pair.private_bytes_raw().hex().encode())
    tls, gateway_tls = (_certificate(one / "credentials") for one in (agent, gateway))
    return SiteCertificate(
        node=name,
        jurisdiction=spec.jurisdiction,
        zones=(spec.zone,),
        nats_public=agent_key,
        gateway_nats_public=gateway_key,
        x25519_public=pair.public_key().public_bytes_raw().hex(),
        tls_spki_sha256=x509.certificate_spki_sha256(tls),
        limits={},
        not_after_s=int(time.time()) + NODE_LIFE_S,
        gateway_tls_spki_sha256=x509.certificate_spki_sha256(gateway_tls),
    )


def _certificate(folder: Path) -> bytes:
    return (folder / "cert.pem").read_bytes()


def _identities(made: Made) -> None:
    """Issue everybody who is not a node: the controller, the relays, the links, the people."""
    site, layout = made.site, made.layout
    hub = (site.server(site.zone),)
    made.realm.issue(
        layout.part("controller") / "credentials",
        realm.Identity("program", subjects.CONTROLLER, "control", permissions.controller(), hub),
    )
    for zone in site.brokers:
        _broker_identities(made, zone)
    for who, role in PEOPLE.items():
        made.realm.issue(
            layout.credentials(who),
            realm.Identity("person", who, "control", permissions.person(who, role), hub),
        )


def _broker_identities(made: Made, zone: str) -> None:
    site, layout = made.site, made.layout
    broker = f"broker-{zone}"
    own = (site.server(zone),)
    made.realm.issue(
        layout.part(f"relay-{zone}") / "control",
        realm.Identity("broker", broker, "control", permissions.relay(broker, site.zone), own),
    )
    made.realm.issue(
        layout.part(f"relay-{zone}") / "system",
        realm.Identity("broker", broker, "sys", permissions.relay_system(broker), own),
    )
    if zone != site.zone:
        members = [node.node for node in site.nodes if node.zone == zone]
        made.realm.issue(
            layout.part(broker) / "uplink",
            realm.Identity(
                "broker",
                broker,
                "control",
                permissions.leaf([*members, broker], site.zone),
                (f"tls://localhost:{site.brokers[site.zone].leaf}",),
            ),
        )


def _founding(made: Made, roles: dict[str, bytes]) -> None:
    people = tuple(Person(who=who, role=role) for who, role in PEOPLE.items())
    founding = Founding(
        site=made.site.site,
        zone=made.site.zone,
        zones=made.site.zones,
        people=people,
        nodes=tuple(node.node for node in made.site.nodes),
        files=roles,
    )
    write_private(made.layout.part("controller") / "founding.json", encode(founding))


def public_key_of(folder: Path) -> str:
    """Return the public user key of a credentials folder."""
    return credentials.read(folder).key_pair().public
