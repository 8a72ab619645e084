"""What the lab remembers of a site: its nodes, brokers and ports, chosen once and used again."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
from holdfast_protocol.configs import load
from holdfast_protocol.identity.credentials import write_private

from holdfast_lab.logic.nodes import NodeSpec

FORMAT = 1


class BrokerPorts(msgspec.Struct, frozen=True, kw_only=True):
    """Loopback ports of one broker; ``leaf`` only beside the controller."""

    client: int
    leaf: int


class SiteFile(msgspec.Struct, frozen=True, kw_only=True):
    """``site.json``; written once, when the ceremony is complete."""

    format: int
    site: str
    nodes: tuple[NodeSpec, ...]
    brokers: dict[str, BrokerPorts]
    """By zone; the first node's zone is the controller's."""
    range_port: int
    media: tuple[str, ...]

    @property
    def zone(self) -> str:
        """The controller's own zone: that of the first node."""
        return self.nodes[0].zone

    @property
    def zones(self) -> dict[str, str]:
        """Zone token to jurisdiction, the registry of the lab."""
        return {node.zone: node.jurisdiction for node in self.nodes}

    def server(self, zone: str) -> str:
        """The address of a zone's broker."""
        return f"tls://localhost:{self.brokers[zone].client}"


def plan(site: str, nodes: tuple[NodeSpec, ...], media: tuple[str, ...]) -> SiteFile:
    """Return a new site with ports that the kernel has free."""
    zones = list(dict.fromkeys(node.zone for node in nodes))
    ports = free_ports(2 * len(zones) + 1)
    brokers = {
        zone: BrokerPorts(client=ports[2 * i], leaf=ports[2 * i + 1])
        for i, zone in enumerate(zones)
    }
    return SiteFile(
        format=FORMAT, site=site, nodes=nodes, brokers=brokers, range_port=ports[-1], media=media
    )


def free_ports(count: int) -> list[int]:
    """Return ``count`` different loopback ports that were free a moment ago."""
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket()
            one.bind(("127.0.0.1", 0))
            held.append(one)
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def read(path: Path) -> SiteFile:
    """Return the site in ``path``; raises ``CONFIG_INVALID``."""
    return load(path, SiteFile)


def save(path: Path, site: SiteFile) -> None:
    """Write ``site``; its presence says that the ceremony was completed."""
    os.makedirs(path.parent, exist_ok=True)
    write_private(path, msgspec.json.format(msgspec.json.encode(site)) + b"\n")
