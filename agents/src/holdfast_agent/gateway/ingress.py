"""Applications' requests: read, decided, and run here, forwarded, held or refused."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from typing import Final, get_args

from holdfast_protocol import subjects
from holdfast_protocol.bus.port import Core, Message
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import FORWARD_HOPS_MAX
from holdfast_protocol.messages import LocalSlot, Operation
from holdfast_protocol.subjects import IngressSubject

from holdfast_agent.gateway.forward import Forwarder
from holdfast_agent.gateway.request import Request
from holdfast_agent.gateway.runs import Run, Runs
from holdfast_agent.gateway.slots import Slots
from holdfast_agent.gateway.tally import Tally
from holdfast_agent.gateway.waiting import Lines, Waiter
from holdfast_agent.gateway.world import World
from holdfast_agent.logic.gateway import headers
from holdfast_agent.logic.gateway.body import engine_body
from holdfast_agent.logic.gateway.decide import Asked, Judge, Legal
from holdfast_agent.logic.gateway.dedupe import RequestKey
from holdfast_agent.logic.gateway.peers import Peers

CANCEL: Final = "cancel"
LOOK_AGAIN_S: Final = 0.05
UNREACHABLE_S: Final = 2.0
_OPERATIONS: Final[dict[str, Operation]] = {op: op for op in get_args(Operation)}


class BusyError(HoldfastError):
    """Everything is in use and nobody more may wait; ``retry_ms`` is the hint."""

    def __init__(self, alias: str, retry_ms: int) -> None:
        super().__init__(Code.BUSY, f"All replicas of {alias} are busy.")
        self.retry_ms = retry_ms


class _Taken:
    """The request is in a peer's hands."""


class Ingress:
    """Takes what the broker hands to this member of the queue group."""

    def __init__(
        self,
        bus: Core,
        world: World,
        judge: Judge,
        local: tuple[Slots, Runs],
        peers: tuple[Forwarder, Peers],
        tally: Tally,
    ) -> None:
        self._bus = bus
        self._world = world
        self._judge = judge
        self._slots, self._runs = local
        self._forwarder, self._peers = peers
        self._tally = tally
        self._placing: dict[RequestKey, bool] = {}
        self._lines = Lines(random.Random())  # noqa: S311 - jitter, not a secret
        self._slots.on_free = self._lines.wake
        world.watchers.append(self._lines.wake_all)

    async def take(self, message: Message) -> None:
        """Answer one request; the queue subscription's handler. Never raises."""
        if not message.reply or message.status:
            # Work for nobody: an answer has nowhere to go.
            self._tally.dropped += 1
            return
        try:
            subject = subjects.parse_ingress(message.subject)
            if subject.op == CANCEL:
                return  # every gateway of the zone hears cancels on its own subscription
            request = self._read(message, subject)
            await self._answer(request)
        except HoldfastError as error:
            self._tally.refused += 1
            await self._refuse(message.reply, error)

    async def cancel(self, message: Message) -> None:
        """End a request of the application that says so; the plain subscription's handler."""
        try:
            subject = subjects.parse_ingress(message.subject)
            request = headers.read_id(message.headers)
        except HoldfastError:
            self._tally.dropped += 1
            return
        if request is None:
            self._tally.dropped += 1
            return
        key = RequestKey(subject.app, request)
        here = self._runs.cancel(key)
        if key in self._placing:
            here = self._placing[key] = True
            self._lines.cancel(key)
        if (await self._forwarder.cancel(key) or here) and message.reply:
            with contextlib.suppress(HoldfastError):
                # A courtesy to whoever used a request to cancel; the run's last message counts.
                await self._bus.publish(
                    message.reply, encode({"cancelled": request}), {headers.STATUS: "200"}
                )

    def _read(self, message: Message, subject: IngressSubject) -> Request:
        op = _OPERATIONS.get(subject.op)
        if op is None:
            raise HoldfastError(Code.OPERATION_UNSUPPORTED, f"There is no operation {subject.op}.")
        meta = headers.read_request(message.headers, secrets.token_hex(16))
        asked = Asked(
            zone=subject.zone,
            app=subject.app,
            alias=subject.alias,
            op=op,
            narrowing=meta.narrowing,
        )
        now = asyncio.get_running_loop().time()
        return Request(
            key=RequestKey(subject.app, meta.request),
            asked=asked,
            body=message.body,
            reply=message.reply,
            stream=meta.stream,
            deadline=now + meta.deadline_ms / 1000,
        )

    async def _answer(self, request: Request) -> None:
        asked = request.asked
        # Who may not ask learns nothing from how its body would have been read.
        legal = self._decide(request)
        body = engine_body(asked.op, request.body, alias=asked.alias, stream=request.stream)
        self._check_unused(request)
        self._placing[request.key] = False
        try:
            place: LocalSlot | _Taken | None = None
            if not len(self._lines.line(asked.alias).hold):
                place = await self._place(request)
            if place is None:
                place = await self._wait(request, legal)
        finally:
            # A cancel that came while nobody ran it yet must not be lost.
            cancelled = self._placing.pop(request.key)
        if isinstance(place, LocalSlot):
            await self._run(request, place, body, cancelled=cancelled)
        elif cancelled:
            await self._forwarder.cancel(request.key)

    def _check_unused(self, request: Request) -> None:
        key = request.key
        if (
            self._runs.seen.state(key) == "running"
            or key in self._placing
            or self._forwarder.watches(key)
        ):
            raise HoldfastError(
                Code.ALREADY_EXISTS, f"A request with the id {key.request} is under way."
            )

    def _decide(self, request: Request) -> Legal:
        if self._world.revoked():
            # No peer takes anything from here any more; the caller's next try goes elsewhere.
            raise HoldfastError(Code.NODE_DIED, f"{self._world.node} is revoked.")
        return self._judge.decide(request.asked, self._world.table, self._world.trust, time.time())

    async def _place(self, request: Request) -> LocalSlot | _Taken | None:
        """Return a place on a local slot, or that a peer took it; None where all were full.

        Every step reads the newest table and decides again; nothing widens the choice.
        """
        tried: set[tuple[str, str]] = set()
        loop = asyncio.get_running_loop()
        for _ in range(FORWARD_HOPS_MAX):
            legal = self._decide(request)
            for target in legal.targets:
                slot = self._world.local(target, legal.route.digest)
                if slot is not None and self._slots.acquire(slot):
                    return slot
            others = [t for t in legal.targets if t.node != self._world.node]
            target_or_none = self._peers.choose(others, tried, loop.time())
            if target_or_none is None or loop.time() >= request.deadline:
                return None
            tried.add((target_or_none.node, target_or_none.slot))
            if await self._forwarder.forward(request, target_or_none, legal):
                return _Taken()
        return None

    async def _wait(self, request: Request, legal: Legal) -> LocalSlot | _Taken:
        """Return a place once there is one; raises ``BUSY``, ``DEADLINE``, ``CANCELLED``, and
        what deciding again raises."""
        loop = asyncio.get_running_loop()
        line = self._lines.line(request.asked.alias)
        slots = sum(target.capacity for target in legal.targets)
        ahead = len(line.hold)
        left_s = request.deadline - loop.time()
        if not line.hold.admits(slots, line.pace.wait_s(ahead, slots), left_s):
            raise BusyError(request.asked.alias, line.pace.retry_ms(ahead, slots, self._lines.dice))
        waiter = Waiter(request)
        with self._lines.standing(line, waiter):
            while True:
                first = line.hold.head is waiter
                place = await self._place(request) if first else None
                if place is not None:
                    return place
                await waiter.wait(LOOK_AGAIN_S if first else left_s)

    async def _run(
        self, request: Request, slot: LocalSlot, body: bytes, *, cancelled: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        run = Run(request.key, request.reply, stream=request.stream, deadline=request.deadline)
        run.cancelled = cancelled
        try:
            await self._runs.execute(run, slot, request.asked.op, body)
        finally:
            self._lines.line(request.asked.alias).pace.took(loop.time() - began)
            self._slots.release(slot)

    async def _refuse(self, reply: str, error: HoldfastError) -> None:
        retry_ms = error.retry_ms if isinstance(error, BusyError) else None
        told, body = headers.failed(error, retry_ms=retry_ms)
        with contextlib.suppress(HoldfastError):
            # Without the bus nobody can be told.
            await self._bus.publish(reply, body, told)
