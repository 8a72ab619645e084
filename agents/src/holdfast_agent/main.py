"""``holdfast-agent --config FILE``: one node's inventory, artifacts and engines.

``holdfast-agent enroll`` makes a machine a node first.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import sys
from pathlib import Path

from holdfast_bundles.range.client import client_tls
from holdfast_bundles.site.client import SiteTrust
from holdfast_protocol import program
from holdfast_protocol.bus.nats_bus import NatsBus, connect
from holdfast_protocol.configs import AgentConfig, load

from holdfast_agent.adapters.artifacts import Artifacts
from holdfast_agent.adapters.engine_host import EngineHost
from holdfast_agent.adapters.gateway_feed import GatewayFeed
from holdfast_agent.adapters.link import Link
from holdfast_agent.adapters.spool import Spool
from holdfast_agent.adapters.state_files import StateFiles
from holdfast_agent.devices.cpu import CpuDevice
from holdfast_agent.devices.nvml import NvmlDevices
from holdfast_agent.devices.port import DeviceProvider
from holdfast_agent.devices.simulated import SimulatedDevices
from holdfast_agent.engines.isolation import probe_host
from holdfast_agent.engines.xllamacpp import XllamacppDriver
from holdfast_agent.logic import inventory
from holdfast_agent.logic.core import Core, Identity
from holdfast_agent.logic.ledger import claimed_bytes
from holdfast_agent.shell import Agent, World

CONNECT_S = 3600.0


class _CoreClaims:
    """What running slots claim, for devices that have no driver to ask."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def claimed_bytes(self, uuid: str) -> int:
        return claimed_bytes(self._core.slots.values(), uuid)


def providers(config: AgentConfig, core: Core) -> tuple[DeviceProvider, ...]:
    """Return a provider for each source that the configuration names; a CPU device always."""
    made: list[DeviceProvider] = []
    for source in inventory.parse(config.devices):
        match source:
            case inventory.NvmlGpus():
                made.append(NvmlDevices())
            case inventory.SimulatedGpus():
                made.append(SimulatedDevices(config.node, source, _CoreClaims(core)))
            case inventory.CpuDevices():
                pass
    return (*made, CpuDevice(config.node))


async def run(config: AgentConfig, done: asyncio.Event) -> None:
    """Run the agent until ``done``."""
    engine_host = await probe_host()
    driver = XllamacppDriver(engine_host)
    info = await driver.probe()
    files = StateFiles(Path(config.state))
    core = Core(
        identity=Identity(
            node=config.node,
            boot=secrets.token_hex(8),
            controller_key=bytes.fromhex(config.controller_key),
            engine=f"{info.name} {info.version}",
            isolation=info.isolation,
        ),
        accepted_digests=files.accepted(),
    )
    links: list[Link] = []

    async def reconnected() -> None:
        for link in links:
            link.reconnected()

    connecting = connect(
        Path(config.credentials), name=config.node, timeout_s=CONNECT_S, on_reconnect=reconnected
    )
    bus = await program.unless(done, connecting)
    try:
        await _serve(config, core, bus, links, done, driver)
    finally:
        await bus.close()


async def _serve(
    config: AgentConfig,
    core: Core,
    bus: NatsBus,
    links: list[Link],
    done: asyncio.Event,
    driver: XllamacppDriver,
) -> None:
    spool = Spool(Path(config.state) / "spool")
    link = Link(bus, config.node, config.domain, spool)
    links.append(link)
    feed = GatewayFeed(Path(config.runtime) / "agent.sock")
    await feed.start()
    try:
        agent = Agent(core, _world(config, core, link, feed))
        await agent.run(EngineHost(driver, Path(config.runtime), agent.tell), done)
    finally:
        feed.close()


def _world(config: AgentConfig, core: Core, link: Link, feed: GatewayFeed) -> World:
    tls = client_tls(config.tls_certificate, config.tls_key, config.tls_ca)
    return World(
        files=StateFiles(Path(config.state)),
        spool=link.spool,
        link=link,
        feed=feed,
        artifacts=Artifacts(Path(config.artifacts), tls),
        devices=providers(config, core),
        cpu=CpuDevice(config.node),
        trust=SiteTrust(Path(config.trust), Path(config.root).read_bytes(), config.site),
        folder=Path(config.artifacts),
    )


def main() -> None:
    """Run the agent; exit codes are those of the error table."""
    if sys.argv[1:2] == ["enroll"]:
        # Imported here: a node that runs needs none of it.
        from holdfast_agent.enrol.main import main as enroll

        enroll(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="holdfast-agent", description=__doc__)
    parser.add_argument("--config", required=True, help="the agent's configuration file")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tuf").setLevel(logging.WARNING)
    config = parser.parse_args().config
    program.run(lambda done: run(load(config, AgentConfig), done))
