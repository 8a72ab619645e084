"""A gateway's parts, put together, and its subscriptions, which no route ever changes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import Sequence
from typing import Final

from holdfast_policy.tickets import PairKeys
from holdfast_protocol import subjects
from holdfast_protocol.bus.port import Core, Pending
from holdfast_protocol.bus.subscription import Subscription
from holdfast_protocol.limits import SENTENCE_LENGTH
from holdfast_protocol.messages import GatewayCounts

from holdfast_agent.gateway.engine import Infer
from holdfast_agent.gateway.executing import Executing
from holdfast_agent.gateway.forward import Forwarder
from holdfast_agent.gateway.ingress import Ingress
from holdfast_agent.gateway.pairs import Pairs, PublicKeyOf
from holdfast_agent.gateway.runs import Runs
from holdfast_agent.gateway.slots import Slots
from holdfast_agent.gateway.tally import Tally
from holdfast_agent.gateway.world import World
from holdfast_agent.logic.gateway.decide import Judge
from holdfast_agent.logic.gateway.peers import Peers

# Every request is one handler until its last message; slots and lines bound them far below this.
REQUESTS_RUNNING: Final = 2048
FINISH_S: Final = 10.0


class Service:
    """The gateway of one node on one bus."""

    def __init__(
        self,
        bus: Core,
        world: World,
        judge: Judge,
        infer: Infer,
        keys: tuple[PairKeys, PublicKeyOf],
    ) -> None:
        self.tally = Tally()
        self.slots = Slots()
        self._bus = bus
        self._world = world
        self.runs = Runs(bus, infer, self.tally, world)
        peers = Peers(random.Random())  # noqa: S311 - spreads load, not a secret
        pairs = Pairs(world.node, *keys)
        self.forwarder = Forwarder(bus, pairs, peers, self.tally)
        local = (self.slots, self.runs)
        self.ingress = Ingress(bus, world, judge, local, (self.forwarder, peers), self.tally)
        self.executing = Executing(bus, world, judge, local, pairs, self.tally)
        self._entry: list[Subscription] = []
        self._inner: list[Subscription] = []

    async def open(self, zones: Sequence[str]) -> None:
        """Take requests of ``zones``; raises ``NOT_PERMITTED`` where the broker refuses."""
        self.executing.leaving = False
        node, many = self._world.node, Pending(running=REQUESTS_RUNNING)
        for zone in sorted(zones):
            run = functools.partial(self.executing.take, zone)
            relay, entry = subjects.cancel_relay(zone, node), subjects.ingress(zone)
            take, cancel = self.ingress.take, self.ingress.cancel
            self._inner += [
                await self._bus.subscribe(subjects.run(zone, node), run, pending=many),
                await self._bus.subscribe(relay, self.executing.cancel),
                await self._bus.subscribe(subjects.ingress_cancel(zone), cancel),
            ]
            self._entry.append(await self._bus.subscribe(entry, take, subjects.INGRESS_QUEUE, many))

    async def work(self) -> None:
        """Keep streams alive and watch what was forwarded; for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.runs.keep_alive())
            group.create_task(self.forwarder.watch())

    async def leave_entry(self) -> None:
        """Take nothing new from applications; what peers forward is served on."""
        for subscription in self._entry:
            await self._bus.safe_leave(subscription)

    async def leave(self) -> None:
        """Take nothing new and finish what runs here, within ``FINISH_S``.

        Cancels and probes are heard until the end: a peer that heard nothing would tell its caller
        that this node died. What peers still forward is answered ``moved``.
        """
        self.executing.leaving = True
        await self.leave_entry()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                for subscription in self._entry:
                    await subscription.idle()
                await self.runs.idle.wait()
        for subscription in self._inner:
            await self._bus.safe_leave(subscription)
        self._entry, self._inner = [], []

    def counts(self) -> GatewayCounts:
        """Return what the agent is told once a second."""
        policy = self._world.policy
        return GatewayCounts(
            in_flight=self.slots.counts(),
            answered=self.tally.answered,
            refused=self.tally.refused,
            failed=self.tally.failed,
            policy_serial=0 if policy is None else policy.serial,
            policy_refused="" if policy is None else policy.refused[:SENTENCE_LENGTH],
        )
