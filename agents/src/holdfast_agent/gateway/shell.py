"""The gateway's loop: follows its agent and the site's trust, serves, and leaves in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import Final

from holdfast_bundles.site.client import SiteTrust
from holdfast_protocol import local
from holdfast_protocol.codec import encode
from holdfast_protocol.configs import GatewayConfig
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import LOCAL_FRAME_BYTES

from holdfast_agent.adapters.gateway_feed import counts_path
from holdfast_agent.gateway.service import Service
from holdfast_agent.gateway.trust import ViewTrust
from holdfast_agent.gateway.world import World

TRUST_EVERY_S: Final = 5.0
TRUST_LOOK_S: Final = 0.25
TRUST_AWAITED_S: Final = 15.0
FEED_AGAIN_S: Final = 0.3
COUNTS_EVERY_S: Final = 1.0

log = logging.getLogger("holdfast.gateway")


class Knowledge:
    """Keeps the world up to date from the agent's feed, its file, and the trust folder."""

    def __init__(self, config: GatewayConfig, trust: SiteTrust, world: World) -> None:
        self._config = config
        self._trust = trust
        self._world = world
        self.state_taken = asyncio.Event()
        self._snapshot = 0
        self._reading = asyncio.Lock()
        self._begun_at = float("-inf")
        self._said: dict[str, str] = {}

    @property
    def counts_socket(self) -> Path:
        """Where the agent hears what runs here."""
        return counts_path(Path(self._config.agent_socket))

    async def read_trust(self) -> None:
        """Read the trust folder; a view without a readable chain replaces nothing.

        Its denials would be all it knows, and what an older view denied stays denied there too.
        """
        self._begun_at = asyncio.get_running_loop().time()
        try:
            view = await asyncio.to_thread(self._trust.view, time.time())
        except HoldfastError as error:
            self._say("trust", f"The trust folder cannot be read: {error}")
            return
        self._say("trust", f"Trust is {view.health} at snapshot {view.snapshot_version}.")
        if view.chain is not None:
            self._snapshot = view.snapshot_version
            if self._world.policy is not None:
                self._world.policy.take(view)
            self._world.take_trust(ViewTrust(view, self._config.zones))

    async def look_again(self) -> None:
        """Return once the trust was read that lies there now; many who wait share one reading."""
        asked_at = asyncio.get_running_loop().time()
        async with self._reading:
            if self._begun_at < asked_at:
                await self.read_trust()

    def read_file(self) -> None:
        """Take the state that the agent left in its file, if there is one."""
        path = Path(self._config.state_file)
        try:
            if path.stat().st_size <= LOCAL_FRAME_BYTES:
                self._take(path.read_bytes())
        except OSError:
            return  # no agent has run here yet

    async def follow_agent(self) -> None:
        """Follow the agent's feed and connect again whenever it ends; for ever."""
        while True:
            try:
                async with contextlib.aclosing(
                    local.follow(Path(self._config.agent_socket))
                ) as values:
                    async for value in values:
                        self._say("agent", "The agent is connected.")
                        self._take(value)
            except (HoldfastError, TimeoutError):
                self._say("agent", "The agent is away; its last state stays in force.")
            await asyncio.sleep(FEED_AGAIN_S)

    async def follow_trust(self) -> None:
        """Read the trust every few seconds; for ever.

        When the controller names a newer snapshot the agent is about to fetch it, so the folder is
        read often until it is there, or until that has taken too long.
        """
        loop = asyncio.get_running_loop()
        named, named_at, read_at = 0, loop.time(), loop.time()
        while True:
            await asyncio.sleep(TRUST_LOOK_S)
            now = loop.time()
            if self._world.table.snapshot != named:
                named, named_at = self._world.table.snapshot, now
            awaited = self._snapshot < named and now - named_at < TRUST_AWAITED_S
            if awaited or now - read_at >= TRUST_EVERY_S:
                read_at = now
                await self.read_trust()

    def _take(self, data: bytes) -> None:
        try:
            refused = self._world.take_state(data)
        except HoldfastError as error:
            refused = error
        self.state_taken.set()
        if refused is not None:
            self._say("state", f"The agent's state was not taken whole: {refused}")

    def _say(self, about: str, text: str) -> None:
        """Log what has changed, once."""
        if self._said.get(about) != text:
            self._said[about] = text
            log.info("%s", text)


async def certified_zones(world: World, knowledge: Knowledge, stop: asyncio.Event) -> list[str]:
    """Return the zones of this node's site certificate, once there is one; none when stopped."""
    while not stop.is_set():
        facts = world.trust.node(world.node)
        if facts is not None:
            return sorted(facts.zones)
        await asyncio.sleep(TRUST_LOOK_S)
        await knowledge.read_trust()
    return []


async def _stopped_or_revoked(world: World, stop: asyncio.Event) -> None:
    """Return when told to stop, or once officers revoked this node.

    A revoked gateway must not stay in the queue: its peers refuse what it would forward.
    """
    revoked = asyncio.Event()

    def look() -> None:
        if world.revoked():
            revoked.set()

    world.watchers.append(look)
    waits = [asyncio.ensure_future(event.wait()) for event in (stop, revoked)]
    try:
        look()
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        world.watchers.remove(look)
        for wait in waits:
            wait.cancel()
    if revoked.is_set():
        log.error("The site has revoked %s; its gateway serves nothing.", world.node)


async def tell_counts(service: Service, knowledge: Knowledge) -> None:
    """Tell the agent what runs, once a second and after each new state; for ever.

    An agent that withdraws a slot stops its engine when nothing runs on it any more, so it needs
    the count from after the withdrawal, not one from up to a second before.
    """
    while True:
        knowledge.state_taken.clear()
        with contextlib.suppress(HoldfastError):
            # An agent that is away reads the next counts when it is back.
            await local.call(knowledge.counts_socket, encode(service.counts()), COUNTS_EVERY_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COUNTS_EVERY_S):
                await knowledge.state_taken.wait()


async def serve(service: Service, world: World, knowledge: Knowledge, stop: asyncio.Event) -> None:
    """Serve until ``stop``, then finish what is under way."""
    world.look_again = knowledge.look_again
    await knowledge.read_trust()
    knowledge.read_file()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(knowledge.follow_agent()),
            group.create_task(knowledge.follow_trust()),
            group.create_task(service.work()),
            group.create_task(tell_counts(service, knowledge)),
        ]
        while not stop.is_set():
            zones = await certified_zones(world, knowledge, stop)
            if zones:
                await service.open(zones)
                log.info("The gateway of %s serves %s.", world.node, ", ".join(zones))
                await _stopped_or_revoked(world, stop)
                await service.leave()
        for task in tasks:
            task.cancel()
