"""The agent's loop on a disk that takes nothing: it goes on, says so, and catches up afterwards."""

from __future__ import annotations

import asyncio
import random
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_agent.adapters.artifacts import Artifacts
from holdfast_agent.adapters.engine_host import EngineHost
from holdfast_agent.adapters.gateway_feed import GatewayFeed
from holdfast_agent.adapters.link import Link
from holdfast_agent.adapters.spool import Spool
from holdfast_agent.adapters.state_files import StateFiles
from holdfast_agent.devices.cpu import CpuDevice
from holdfast_agent.engines.isolation import probe_host
from holdfast_agent.engines.xllamacpp import XllamacppDriver
from holdfast_agent.logic.core import Core, Identity
from holdfast_agent.shell import Agent, World
from holdfast_bundles.site.client import SiteTrust
from holdfast_protocol import subjects
from holdfast_protocol.bus.memory import MemoryBroker, MemoryBus
from holdfast_protocol.bus.port import Message
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.messages import Desired, Report, TrustMark
from holdfast_protocol.signed import DESIRED_CONTEXT, sign

from tests.unit.controller.controller_fakes import SITE, keys

NODE = "de-1"


class Node:
    """One agent on a bus in memory, its disk below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = Ed25519PrivateKey.generate()
        self.broker = MemoryBroker(random.Random(1))
        self.other = MemoryBus(self.broker, "controller")
        self.reports: list[Report] = []
        self.done = asyncio.Event()

    async def run(self) -> None:
        identity = Identity(
            node=NODE,
            boot="b1",
            controller_key=self.key.public_key().public_bytes_raw(),
            engine="none",
            isolation="none",
        )
        core = Core(identity=identity)
        link = Link(MemoryBus(self.broker, NODE), NODE, "de", Spool(self.folder / "state/spool"))
        feed = GatewayFeed(self.folder / "run/agent.sock")
        await feed.start()
        world = World(
            files=StateFiles(self.folder / "state"),
            spool=link.spool,
            link=link,
            feed=feed,
            artifacts=Artifacts(self.folder / "artifacts", ssl.create_default_context()),
            devices=(CpuDevice(NODE),),
            cpu=CpuDevice(NODE),
            trust=SiteTrust(self.folder / "trust", keys().founding.files["root"], SITE),
            folder=self.folder,
        )
        agent = Agent(core, world)
        driver = XllamacppDriver(await probe_host("none"))
        try:
            await agent.run(EngineHost(driver, self.folder / "run", agent.tell), self.done)
        finally:
            feed.close()

    async def hear(self, message: Message) -> None:
        self.reports.append(decode(message.body, Report))

    async def desire(self, generation: int) -> None:
        desired = Desired(
            node=NODE, epoch=1, generation=generation, issued=1.0, placements=(), routes=(),
            grants=(), policy_serial=0, trust=TrustMark(snapshot=0, timestamp=0),
        )  # fmt: skip
        signed = encode(sign(encode(desired), self.key, DESIRED_CONTEXT))
        await self.other.publish(subjects.desired(NODE), signed)

    def follows(self, generation: int) -> bool:
        return bool(self.reports) and self.reports[-1].generation == generation


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_full_disk_costs_news_and_not_the_agent(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.other.subscribe(subjects.heartbeat(NODE), node.hear)
    async with asyncio.TaskGroup() as group:
        group.create_task(node.run())
        await until(lambda: bool(node.reports))
        await node.desire(1)
        await until(lambda: node.follows(1))
        for name in ("state", "trust"):
            # What stands in the way of every write, also for root.
            shutil.rmtree(tmp_path / name, ignore_errors=True)
            (tmp_path / name).write_bytes(b"")
        await node.desire(2)
        await node.other.publish(subjects.desired(NODE), b"an event that cannot be kept either")
        count = len(node.reports)
        await until(lambda: len(node.reports) >= count + 4)
        assert node.follows(1)  # what is not safe is not followed
        for name in ("state", "state/spool", "trust"):
            (tmp_path / name).unlink(missing_ok=True)
            (tmp_path / name).mkdir()
        await node.desire(2)
        await until(lambda: node.follows(2))
        node.done.set()
