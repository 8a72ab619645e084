"""The configuration files of the programs, JSON, one struct each.

Whoever installs a site writes them: the ceremony of the lab here, the first-boot ceremony of a
real site there. Paths are absolute. No file holds a secret: keys lie in files of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from holdfast_protocol.errors import Code, HoldfastError

C = TypeVar("C")


class BrokerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A broker of the site; ``name`` is its relay's name on the bus, ``broker-<zone>``."""

    name: str
    zone: str
    jurisdiction: str
    servers: tuple[str, ...]


class ControllerConfig(msgspec.Struct, frozen=True, kw_only=True):
    site: str
    zone: str
    """The controller's own zone: where ``deploy`` goes when no zone is named."""
    domain: str
    """JetStream domain of the broker beside the controller."""
    credentials: str
    journal: str
    highwater: str
    """Folder on another disk where there is one."""
    founding: str
    """The ceremony's file; read only while the journal is empty."""
    online_key: str
    desired_key: str
    importer_socket: str
    minter_socket: str
    blobs_urls: tuple[str, ...]
    brokers: tuple[BrokerEntry, ...]


class MinterConfig(msgspec.Struct, frozen=True, kw_only=True):
    site: str
    socket: str
    root: str
    """The pinned ``1.root.json`` of the site."""
    trust: str
    state: str
    operator_public: str
    operator_signing_key: str
    domain: str
    """JetStream domain of the controller's broker, where nodes' desired documents lie."""
    control_account: str
    control_signing_key: str
    inference_account: str
    inference_signing_key: str
    ca_certificate: str
    ca_key: str
    zones: dict[str, str]
    """Zone token to jurisdiction."""


class RelayConfig(msgspec.Struct, frozen=True, kw_only=True):
    broker: str
    domain: str
    """Of the controller's broker, where the desired documents lie."""
    operator_public: str
    operator_signing_public: str
    controller_key: str
    """Hex of the ed25519 key that signs desired documents."""
    control_credentials: str
    system_credentials: str
    state: str


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    site: str
    node: str
    domain: str
    """JetStream domain of the controller's broker."""
    credentials: str
    root: str
    """The site's pinned ``1.root.json``."""
    controller_key: str
    """Hex of the ed25519 key that signs desired documents and tickets."""
    trust: str
    state: str
    artifacts: str
    runtime: str
    """Short folder for sockets; engines' sockets lie below it."""
    devices: str
    """What to inventory: ``cpu``, ``sim2x24``, ``nvml``, joined by ``+``."""
    zones: dict[str, str]
    tls_certificate: str
    tls_key: str
    tls_ca: str


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    site: str
    node: str
    credentials: str
    root: str
    controller_key: str
    trust: str
    """The agent's trust folder, read only."""
    state_file: str
    """The agent's ``GatewayState``, atomically replaced; read at start without the agent."""
    agent_socket: str
    x25519_key: str
    zones: dict[str, str]
    segment: str
    """Folder of the gateway's own log segment."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who may ask the controller, and as what."""

    who: str
    role: str


class Founding(msgspec.Struct, frozen=True, kw_only=True):
    """What the ceremony hands to an empty controller; journalled as the first facts."""

    site: str
    zone: str
    zones: dict[str, str]
    people: tuple[Person, ...]
    nodes: tuple[str, ...]
    files: dict[str, bytes]
    """The signed role files of the site's frame and of the first site certificates."""


def load(path: str | Path, kind: type[C]) -> C:
    """Return the configuration in ``path``; raises ``CONFIG_INVALID`` naming file and setting."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"The configuration {path} cannot be read: {error.strerror}."
        ) from error
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"The configuration {path} does not fit: {error}."
        ) from error
