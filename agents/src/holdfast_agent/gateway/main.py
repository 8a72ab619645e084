"""``holdfast-gateway --config FILE``: wires the gateway of one node and runs it until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from holdfast_bundles.site.client import SiteTrust
from holdfast_policy.logic.registry import of_zones
from holdfast_policy.tickets import PairKeys
from holdfast_protocol import configs, program
from holdfast_protocol.bus import nats_bus
from holdfast_protocol.bus.port import Core
from holdfast_protocol.configs import GatewayConfig
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import ROOT_BYTES

from holdfast_agent.engines.local import infer
from holdfast_agent.gateway.alarm import PolicyAlarm
from holdfast_agent.gateway.policy import PolicyInForce
from holdfast_agent.gateway.service import Service
from holdfast_agent.gateway.shell import Knowledge, serve
from holdfast_agent.gateway.stamps import StampFile
from holdfast_agent.gateway.trust import NoTrust
from holdfast_agent.gateway.world import World
from holdfast_agent.logic.gateway.decide import Judge

_HEX_KEY_BYTES = 64


def main() -> None:
    """Run the gateway; exits with the table's code where it cannot start."""
    parser = argparse.ArgumentParser(prog="holdfast-gateway", description=__doc__)
    parser.add_argument("--config", required=True, help="the gateway's configuration, JSON")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    program.run(lambda stop: run(configs.load(arguments.config, GatewayConfig), stop))


async def run(config: GatewayConfig, stop: asyncio.Event) -> None:
    """Connect and serve until ``stop``; raises what keeps it from starting."""
    connecting = nats_bus.connect(Path(config.credentials), name=f"gateway {config.node}")
    bus = await program.unless(stop, connecting)
    try:
        service, world, knowledge = assemble(config, bus)
        await serve(service, world, knowledge, stop)
    finally:
        await bus.close()


def assemble(config: GatewayConfig, bus: Core) -> tuple[Service, World, Knowledge]:
    """Return the gateway's parts on ``bus``; raises ``CONFIG_INVALID`` and ``POLICY_INVALID``."""
    try:
        private = X25519PrivateKey.from_private_bytes(bytes.fromhex(_private(config.x25519_key)))
        world = World(config.node, bytes.fromhex(config.controller_key), NoTrust())
    except ValueError as error:
        raise HoldfastError(Code.CONFIG_INVALID, "A key of the gateway is none.") from error
    stamps = StampFile(Path(config.segment))
    world.floor, world.remember = stamps.read(), stamps.write
    trust = SiteTrust(Path(config.trust), _read(config.root, ROOT_BYTES), config.site)
    registry = of_zones(config.zones)
    world.policy = PolicyInForce(registry, PolicyAlarm())
    judge = Judge(world.policy, registry)

    def public_of(node: str) -> bytes | None:
        return world.trust.exchange_key(node)

    keys = (PairKeys(config.site, config.node, private), public_of)
    return Service(bus, world, judge, infer, keys), world, Knowledge(config, trust, world)


def _read(path: str, cap_bytes: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(cap_bytes)
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{path} cannot be read: {error.strerror}."
        ) from error


def _private(path: str) -> str:
    """Return a private key's text; raises ``CONFIG_INVALID`` where others may read it."""
    data = _read(path, _HEX_KEY_BYTES + 2)
    if os.stat(path).st_mode & 0o077:
        raise HoldfastError(Code.CONFIG_INVALID, f"{path} is readable by others; make it 0600.")
    return data.decode("ascii", "replace").strip()
