"""The controller's loop: one queue of inputs, the core decides, effects are done.

Effects that take time become tasks of one group and answer with inputs. A defect anywhere ends
the process: nothing is lost with it, the supervisor starts it again from the journal.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import assert_never

from holdfast_protocol import limits
from holdfast_protocol.bus.port import Bus
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.adapters.clock import SteadyClock
from holdfast_controller.adapters.inbox import Inbox
from holdfast_controller.adapters.publisher import Publisher
from holdfast_controller.adapters.services import Services
from holdfast_controller.journal.port import Journal
from holdfast_controller.logic import io
from holdfast_controller.logic.core import Core, Setup

_REPLAY_COMMITS = 1000
_log = logging.getLogger("holdfast.controller")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the controller acts through."""

    journal: Journal
    bus: Bus
    publisher: Publisher
    services: Services
    clock: SteadyClock


class Controller:
    """One controller, from the journal's end until it is told to stop or must."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        # Answers to our own effects are bounded by the effects and must never wait, or stopping
        # could; what comes from outside needs room.
        self._queue: asyncio.Queue[io.AnyInput] = asyncio.Queue()
        self._room = asyncio.Semaphore(limits.CONTROLLER_INPUTS)
        self._inbox = Inbox(outside.bus, self._tell, self._hint)
        self._running = asyncio.Semaphore(limits.EFFECTS_RUNNING)
        self._returned = asyncio.Event()
        self._tick_waits = False
        self._jumped = False

    def bus_returned(self) -> None:
        """After a new connection: the bus may have lost what it stored."""
        self._returned.set()

    async def run(self, setup: Setup, done: asyncio.Event) -> None:
        """Run until ``done``; raises the reason where it must stop by itself."""
        core = Core(setup, self._outside.journal.tail)
        await self._replay(core)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._decide(core, group)),
                group.create_task(self._tick()),
                group.create_task(self._follow_bus()),
                group.create_task(self._inbox.follow_events()),
            ]
            await done.wait()
            _log.info("the controller stops as asked")
            for task in tasks:
                task.cancel()

    async def _replay(self, core: Core) -> None:
        after = 0
        while after < self._outside.journal.tail.commit:
            commits = await self._outside.journal.read(after, _REPLAY_COMMITS)
            if not commits:
                raise HoldfastError(
                    Code.JOURNAL_DAMAGED, f"Commit {after + 1} is missing in the journal."
                )
            for commit in commits:
                core.replay(commit)
            after = commits[-1].number
        _log.info("the journal ends with commit %d", after)

    async def _decide(self, core: Core, group: asyncio.TaskGroup) -> None:
        for effect in core.begin(self._outside.clock.now_s()):
            self._do(effect, group)
        await self._inbox.open()
        _log.info("the controller is ready")
        while True:
            given = await self._queue.get()
            if isinstance(given, io.Ticked):
                self._tick_waits = False
            elif isinstance(given, io.ApiCalled | io.TrustAsked | io.EnrolAsked | io.EventSeen):
                self._room.release()
            for effect in core.step(self._outside.clock.now_s(), given):
                self._do(effect, group)

    def _do(self, effect: io.AnyEffect, group: asyncio.TaskGroup) -> None:
        match effect:
            case io.AppendRecords():
                group.create_task(self._append(effect))
            case io.AnswerCall():
                group.create_task(self._inbox.answer(effect))
            case io.PublishDocument():
                group.create_task(self._publish(effect))
            case io.AskImporter():
                group.create_task(self._ask_importer(effect))
            case io.AskMinter():
                group.create_task(self._ask_minter(effect))
            case io.CheckPolicy():
                group.create_task(self._check_policy(effect))
            case io.AckEvent():
                group.create_task(self._inbox.acknowledge(effect))
            case io.Stop():
                _log.error("the controller must stop: %s %s", effect.code, effect.message)
                raise HoldfastError(effect.code, effect.message)
            case _:
                assert_never(effect)

    # ------------------------------------------------------------ effects

    async def _append(self, effect: io.AppendRecords) -> None:
        try:
            outcome = await self._outside.journal.append(effect.expected, effect.commit)
        except HoldfastError as error:
            self._queue.put_nowait(io.AppendRefused(code=error.code, message=error.message))
            return
        self._queue.put_nowait(io.AppendDone(outcome=outcome))

    async def _publish(self, effect: io.PublishDocument) -> None:
        async with self._running:
            result = await self._outside.publisher.publish(effect)
        self._queue.put_nowait(
            io.PublishDone(
                receiver=effect.receiver,
                epoch=effect.epoch,
                generation=effect.generation,
                result=result.value,
            )
        )

    async def _ask_importer(self, effect: io.AskImporter) -> None:
        async with self._running:
            reply = await self._outside.services.importer(effect.request)
        self._queue.put_nowait(io.ImporterAnswered(key=effect.key, reply=reply))

    async def _ask_minter(self, effect: io.AskMinter) -> None:
        async with self._running:
            reply = await self._outside.services.minter(effect.request)
        self._queue.put_nowait(io.MinterAnswered(key=effect.key, reply=reply))

    async def _check_policy(self, effect: io.CheckPolicy) -> None:
        async with self._running:
            seen = await self._outside.services.checker(effect.request)
        self._queue.put_nowait(io.PolicyChecked(called=effect.called, seen=seen))

    # ------------------------------------------------------------ time and the bus

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(limits.CONTROLLER_TICK_S)
            jumped = abs(self._outside.clock.jumped_s()) > limits.CLOCK_JUMP_S
            if jumped and not self._jumped:
                _log.warning("the wall clock jumped; it is not followed until the next start")
            self._jumped = jumped
            if not self._tick_waits:
                self._tick_waits = True
                self._queue.put_nowait(io.Ticked())

    async def _follow_bus(self) -> None:
        while True:
            await self._returned.wait()
            self._returned.clear()
            try:
                await self._inbox.ensure()
            except HoldfastError as error:
                _log.warning("the streams are not there: %s", error.code)
                await asyncio.sleep(1.0)
                self._returned.set()
                continue
            self._outside.publisher.forget()
            self._queue.put_nowait(io.BusReturned())

    async def _tell(self, given: io.AnyInput) -> None:
        """Hand on what somebody waits for, once there is room."""
        await self._room.acquire()
        self._queue.put_nowait(given)

    def _hint(self, given: io.AnyInput) -> None:
        """Hand on what is lossy by design: the next report says it all."""
        if self._queue.qsize() < limits.CONTROLLER_INPUTS:
            self._queue.put_nowait(given)
