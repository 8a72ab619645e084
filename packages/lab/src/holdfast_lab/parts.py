"""The configuration of every program of a lab, as files the programs also read on a real site."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
from holdfast_bundles.importer.config import ImporterConfig
from holdfast_bundles.range.config import RangeConfig
from holdfast_protocol import brokers, configs
from holdfast_protocol.identity import x509
from holdfast_protocol.identity.credentials import write_private
from holdfast_protocol.limits import MIB

from holdfast_lab import realm
from holdfast_lab.layout import Layout
from holdfast_lab.logic.nodes import NodeSpec
from holdfast_lab.site_file import SiteFile

CONFIG = "config.json"


class Pinned(NamedTuple):
    """What every node is given at the ceremony and never takes from the network."""

    root: bytes
    controller_key: str


def write(layout: Layout, site: SiteFile, made: realm.Realm, pinned: Pinned) -> None:
    """Write the configuration of every program of ``site``."""
    for zone in site.brokers:
        _broker(layout, site, made, zone)
        _relay(layout, site, made, pinned, zone)
    _controller(layout, site)
    _minter(layout, site, made, pinned)
    _importer(layout, site)
    _range(layout, site, made, pinned)
    for spec in site.nodes:
        _agent(layout, site, spec, pinned)
        _gateway(layout, site, spec, pinned)


def socket_path(layout: Layout, name: str) -> str:
    """The socket of a program, in the short runtime folder."""
    return str(layout.runtime / f"{name}.sock")


def _save(folder: Path, config: object) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / CONFIG, msgspec.json.format(msgspec.json.encode(config)) + b"\n")


def _broker(layout: Layout, site: SiteFile, made: realm.Realm, zone: str) -> None:
    name = f"broker-{zone}"
    folder = layout.part(name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for below in ("resolver", "store", "ports"):
        (folder / below).mkdir(mode=0o700, exist_ok=True)
    tls = _server_certificate(folder, made, x509.holder_uri("broker", name))
    ports = site.brokers[zone]
    hub = zone == site.zone
    control = made.accounts["control"].identity.public
    uplink = brokers.LeafLink(
        urls=(f"tls://localhost:{site.brokers[site.zone].leaf}",),
        account=control,
        credentials=str(folder / "uplink" / "nats.creds"),
    )
    plan = brokers.BrokerPlan(
        name=name,
        domain=zone,
        host="127.0.0.1",
        port=ports.client,
        operator_jwt=made.operator_jwt,
        system_account=made.accounts["sys"].identity.public,
        preload={one.identity.public: one.jwt for one in made.accounts.values()},
        tls=tls,
        folders=brokers.BrokerFolders(
            resolver=str(folder / "resolver"),
            store=str(folder / "store"),
            ports=str(folder / "ports"),
            pid=str(folder / "pid"),
        ),
        leaf_port=ports.leaf if hub else None,
        uplink=None if hub else uplink,
    )
    write_private(folder / "nats.conf", brokers.broker_config(plan).encode())
    write_private(folder / "store.key", brokers.new_store_key().encode())


def _server_certificate(folder: Path, made: realm.Realm, uri: str) -> brokers.TlsFiles:
    key = x509.new_key()
    holder = x509.Holder(uri=uri, hosts=x509.LOOPBACK)
    certificate = x509.sign_csr(
        made.authority, x509.new_csr(key), holder, realm.validity(realm.CERTIFICATE_LIFE_DAYS)
    )
    write_private(folder / "key.pem", key)
    write_private(folder / "cert.pem", certificate)
    write_private(folder / "ca.pem", made.authority.certificate_pem)
    return brokers.TlsFiles(
        certificate=str(folder / "cert.pem"),
        key=str(folder / "key.pem"),
        ca=str(folder / "ca.pem"),
    )


def _relay(layout: Layout, site: SiteFile, made: realm.Realm, pinned: Pinned, zone: str) -> None:
    folder = layout.part(f"relay-{zone}")
    _save(
        folder,
        configs.RelayConfig(
            broker=f"broker-{zone}",
            domain=site.zone,
            operator_public=made.operator.public,
            operator_signing_public=made.operator_signing.public,
            controller_key=pinned.controller_key,
            control_credentials=str(folder / "control"),
            system_credentials=str(folder / "system"),
            state=str(folder / "state"),
        ),
    )


def _controller(layout: Layout, site: SiteFile) -> None:
    folder = layout.part("controller")
    _save(
        folder,
        configs.ControllerConfig(
            site=site.site,
            zone=site.zone,
            domain=site.zone,
            credentials=str(folder / "credentials"),
            journal=str(folder / "journal.sqlite"),
            highwater=str(folder / "highwater"),
            founding=str(folder / "founding.json"),
            online_key=str(folder / "online.pem"),
            desired_key=str(folder / "desired.pem"),
            importer_socket=socket_path(layout, "importer"),
            minter_socket=socket_path(layout, "minter"),
            blobs_urls=(f"https://localhost:{site.range_port}",),
            brokers=tuple(
                configs.BrokerEntry(
                    name=f"broker-{zone}",
                    zone=zone,
                    jurisdiction=site.zones[zone],
                    servers=(site.server(zone),),
                )
                for zone in site.brokers
            ),
        ),
    )


def _minter(layout: Layout, site: SiteFile, made: realm.Realm, pinned: Pinned) -> None:
    folder = layout.part("minter")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / "operator-signing.seed", made.operator_signing.seed().encode())
    write_private(folder / "ca.pem", made.authority.certificate_pem)
    write_private(folder / "ca.key", made.authority.key_pem)
    write_private(folder / "root.json", pinned.root)
    signing = {}
    names: tuple[realm.AccountName, ...] = ("control", "inference")
    for name in names:
        signing[name] = folder / f"{name}-signing.seed"
        write_private(signing[name], made.accounts[name].signing.seed().encode())
    _save(
        folder,
        configs.MinterConfig(
            site=site.site,
            socket=socket_path(layout, "minter"),
            root=str(folder / "root.json"),
            trust=str(folder / "trust"),
            state=str(folder / "state"),
            operator_public=made.operator.public,
            operator_signing_key=str(folder / "operator-signing.seed"),
            domain=site.zone,
            control_account=made.accounts["control"].identity.public,
            control_signing_key=str(signing["control"]),
            inference_account=made.accounts["inference"].identity.public,
            inference_signing_key=str(signing["inference"]),
            ca_certificate=str(folder / "ca.pem"),
            ca_key=str(folder / "ca.key"),
            zones=site.zones,
        ),
    )


def _importer(layout: Layout, site: SiteFile) -> None:
    _save(
        layout.part("importer"),
        ImporterConfig(
            socket=socket_path(layout, "importer"),
            store_dir=str(layout.store),
            media_roots=list(site.media),
            reserve_bytes=64 * MIB,
        ),
    )


def _range(layout: Layout, site: SiteFile, made: realm.Realm, pinned: Pinned) -> None:
    folder = layout.part("range")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    tls = _server_certificate(folder, made, x509.holder_uri("program", "range"))
    _save(
        folder,
        RangeConfig(
            listen_host="127.0.0.1",
            port=site.range_port,
            port_file=str(folder / "port"),
            store_dir=str(layout.store),
            cert=tls.certificate,
            key=tls.key,
            ca=tls.ca,
            controller_key_hex=pinned.controller_key,
        ),
    )


def _agent(layout: Layout, site: SiteFile, spec: NodeSpec, pinned: Pinned) -> None:
    folder = layout.part(f"agent-{spec.node}")
    write_private(folder / "root.json", pinned.root)
    _save(
        folder,
        configs.AgentConfig(
            site=site.site,
            node=spec.node,
            domain=site.zone,
            credentials=str(folder / "credentials"),
            root=str(folder / "root.json"),
            controller_key=pinned.controller_key,
            trust=str(folder / "trust"),
            state=str(folder / "state"),
            artifacts=str(folder / "artifacts"),
            runtime=str(layout.runtime / spec.node),
            devices=spec.devices,
            zones=site.zones,
            tls_certificate=str(folder / "credentials" / "cert.pem"),
            tls_key=str(folder / "credentials" / "key.pem"),
            tls_ca=str(folder / "credentials" / "ca.pem"),
        ),
    )


def _gateway(layout: Layout, site: SiteFile, spec: NodeSpec, pinned: Pinned) -> None:
    folder = layout.part(f"gateway-{spec.node}")
    agent = layout.part(f"agent-{spec.node}")
    _save(
        folder,
        configs.GatewayConfig(
            site=site.site,
            node=spec.node,
            credentials=str(folder / "credentials"),
            root=str(agent / "root.json"),
            controller_key=pinned.controller_key,
            trust=str(agent / "trust"),
            state_file=str(agent / "state" / "gateway.json"),
            agent_socket=str(layout.runtime / spec.node / "agent.sock"),
            x25519_key=str(folder / "x25519.key"),
            zones=site.zones,
            segment=str(folder / "segment"),
        ),
    )
