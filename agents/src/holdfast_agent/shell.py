"""The agent's loop: one queue of inputs, the core decides, effects are done.

Effects that take time become tasks of one group and answer with inputs. A defect in a task ends
the agent: engines end with it, the supervisor starts it again and it reloads what it had accepted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, assert_never

from holdfast_bundles.site.client import SiteTrust
from holdfast_bundles.site.fetch import Unreachable
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_agent.adapters import host
from holdfast_agent.adapters.artifacts import Artifacts, ModelFiles
from holdfast_agent.adapters.engine_host import EngineHost
from holdfast_agent.adapters.gateway_feed import GatewayFeed
from holdfast_agent.adapters.link import Link
from holdfast_agent.adapters.spool import Spool
from holdfast_agent.adapters.state_files import StateFiles
from holdfast_agent.devices.cpu import CpuDevice
from holdfast_agent.devices.port import DeviceProvider
from holdfast_agent.logic import io
from holdfast_agent.logic.core import Core
from holdfast_agent.logic.trust import NodeTrust

TICK_S = 0.25
DEVICES_EVERY_S = 1.0
REFRESH_S = 30.0
WAITING_MAX = 256

T = TypeVar("T")

_log = logging.getLogger("holdfast.agent")


@dataclass(frozen=True)
class World:
    """Everything the agent acts through."""

    files: StateFiles
    spool: Spool
    link: Link
    feed: GatewayFeed
    artifacts: Artifacts
    devices: tuple[DeviceProvider, ...]
    cpu: CpuDevice
    trust: SiteTrust
    folder: Path


class Agent:
    """One node's loop."""

    def __init__(self, core: Core, world: World) -> None:
        self._core = core
        self._world = world
        self._queue: asyncio.Queue[io.Input] = asyncio.Queue()
        self._files: dict[str, tuple[int, ModelFiles]] = {}
        self._engines: EngineHost | None = None
        self._trust: NodeTrust

    def tell(self, given: io.Input) -> None:
        """Queue an input; callable from any task of the loop."""
        self._queue.put_nowait(given)

    async def run(self, engines: EngineHost, done: asyncio.Event) -> None:
        """Run until ``done``; engines are ended before it returns."""
        self._engines = engines
        stored = self._world.files.desired()
        view = self._world.trust.view(time.time())
        self._trusted(NodeTrust(self._core.identity.node, view.health, view))
        if stored is not None:
            self.tell(io.DesiredArrived(document=stored))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._loop(group)),
                    group.create_task(self._ticks()),
                    group.create_task(self._inventory()),
                    group.create_task(self._world.link.follow_desired(self._arrived)),
                    group.create_task(self._world.link.drain_spool()),
                ]
                await done.wait()
                for task in tasks:
                    task.cancel()
                await engines.close()
        finally:
            for provider in self._world.devices:
                await provider.close()

    def _arrived(self, document: bytes) -> None:
        if self._queue.qsize() < WAITING_MAX:  # it lies in the stream and is read again
            self.tell(io.DesiredArrived(document=document))

    async def _loop(self, group: asyncio.TaskGroup) -> None:
        while True:
            given = await self._queue.get()
            for effect in self._core.step(time.time(), given):
                await self._do(group, effect)

    async def _do(self, group: asyncio.TaskGroup, effect: io.Effect) -> None:
        world, engines = self._world, self._engines
        assert engines is not None
        match effect:
            case io.StoreDesired():
                kept = _kept("desired document", world.files.store_desired, effect.document)
                told = io.DesiredStored(digest=effect.digest) if kept else io.DesiredNotStored()
                self.tell(told)
            case io.RefreshTrust():
                group.create_task(self._refresh())
            case io.Fetch():
                group.create_task(self._fetch(effect))
            case io.StartEngine():
                self._start(group, engines, effect)
            case io.StopEngine():
                group.create_task(engines.stop(effect))
            case io.PublishReport():
                await self._report(effect)
            case io.PublishGateway():
                _kept("gateway's state", world.files.store_gateway, effect.state)
                await world.feed.publish(effect.state)
            case io.RecordEvent():
                event = effect.event
                _log.info("%s %s %s %s", event.kind, event.subject, event.code, event.message)
                _kept("event", world.spool.append, event)
            case io.RememberAccepted():
                _kept("list of accepted models", world.files.store_accepted, effect.digests)
            case _:
                assert_never(effect)

    def _start(self, group: asyncio.TaskGroup, engines: EngineHost, order: io.StartEngine) -> None:
        """Load what was verified for this very attempt, never what an older one left."""
        attempt, files = self._files[order.placement.slot]
        if attempt == order.attempt:
            engines.start(group, order, files)
            return
        self.tell(
            io.Failed(
                slot=order.placement.slot,
                attempt=order.attempt,
                code=Code.BLOB_MISSING.value,
                message="The files of another attempt lie here.",
            )
        )

    async def _report(self, effect: io.PublishReport) -> None:
        try:
            await self._world.link.report(effect.report)
        except HoldfastError as error:
            _log.warning("report not sent: %s", error.code)

    async def _refresh(self) -> None:
        """Refresh the site's trust beside the loop; the verifier is synchronous."""
        world, loop = self._world, asyncio.get_running_loop()

        end_s = time.monotonic() + REFRESH_S

        def fetch(name: str) -> bytes | None:
            if time.monotonic() > end_s:
                raise Unreachable(f"{name}: the refresh took longer than {REFRESH_S:.0f} s")
            return world.link.role_file_from_thread(loop, name)

        now_s = time.time()
        try:
            result = await asyncio.to_thread(world.trust.refresh, fetch, now_s)
            view = await asyncio.to_thread(world.trust.view, now_s)
        except HoldfastError as error:
            # A disk that is full or fails: what was verified before still holds, dates and all.
            _log.error("trust is not refreshed: %s", error)
            last = self._trust
            self._trusted(NodeTrust(last.node, last.view.health, last.view))
            return
        if result.reason:
            _log.info("trust is %s: %s", result.outcome.value, result.reason)
        self._trusted(NodeTrust(self._core.identity.node, result.outcome, view))

    def _trusted(self, trust: NodeTrust) -> None:
        self._trust = trust
        self.tell(io.TrustRefreshed(view=trust))

    async def _fetch(self, effect: io.Fetch) -> None:
        placement, attempt = effect.placement, effect.attempt

        def progressed(done: int, total: int) -> None:
            self.tell(
                io.FetchProgressed(
                    slot=placement.slot, attempt=attempt, bytes_done=done, bytes_total=total
                )
            )

        try:
            view = await asyncio.to_thread(self._world.trust.view, time.time())
            files = await self._world.artifacts.fetch(placement, view, progressed)
        except (HoldfastError, OSError) as error:
            # A disk that cannot be read must cost this load, not the engines that run.
            code, message = (
                (error.code, error.message)
                if isinstance(error, HoldfastError)
                else (Code.STORE_FAILED, f"The model's files cannot be used: {error.strerror}.")
            )
            self.tell(
                io.Failed(slot=placement.slot, attempt=attempt, code=code.value, message=message)
            )
            return
        if attempt >= self._files.get(placement.slot, (0, files))[0]:
            self._files[placement.slot] = (attempt, files)
        self.tell(io.Fetched(slot=placement.slot, attempt=attempt))

    async def _ticks(self) -> None:
        while True:
            if self._queue.qsize() < WAITING_MAX:
                self.tell(io.Ticked())
            feed = self._world.feed
            self.tell(
                io.GatewaySeen(
                    connected=feed.connected,
                    in_flight=dict(feed.in_flight),
                    policy_serial=feed.policy_serial,
                    policy_refused=feed.policy_refused,
                )
            )
            await asyncio.sleep(TICK_S)

    async def _inventory(self) -> None:
        while True:
            devices = [one for provider in self._world.devices for one in await provider.read()]
            self.tell(io.DevicesRead(devices=tuple(devices)))
            self.tell(host.read(self._world.cpu, self._world.folder, len(self._world.spool)))
            await asyncio.sleep(DEVICES_EVERY_S)


def _kept(what: str, store: Callable[[T], None], value: T) -> bool:
    """Store ``value``; tell whether it is stored.

    A full disk must not end the agent: its engines would end with it, and starting again makes no
    room. What is not kept is said in the log and repaired by what comes next.
    """
    try:
        store(value)
    except HoldfastError as error:
        _log.error("the %s is not kept: %s", what, error.message)
        return False
    return True
