"""What peers forward: verified, decided again, acknowledged, run, probed, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from holdfast_policy import tickets
from holdfast_policy.tickets import ReplayWindow, RunTicket
from holdfast_protocol.bus.port import Core, Message
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import DEADLINE_MS_CAP
from holdfast_protocol.messages import LocalSlot

from holdfast_agent.gateway.pairs import Pairs
from holdfast_agent.gateway.runs import Run, Runs
from holdfast_agent.gateway.slots import Slots
from holdfast_agent.gateway.tally import Tally
from holdfast_agent.gateway.world import World
from holdfast_agent.logic.gateway import headers
from holdfast_agent.logic.gateway.body import engine_body
from holdfast_agent.logic.gateway.decide import Asked, Judge
from holdfast_agent.logic.gateway.dedupe import RequestKey
from holdfast_agent.logic.gateway.peers import Ack

ANSWER_PREFIX: Final = "_R_."
_KEYS_MAX: Final = 1000
_MOVED: Final = Ack(answer="moved")
_REFUSED: Final = Ack(answer="refused")


class Executing:
    """Serves ``hf.v1.run`` and ``hf.v1.can`` of one zone for this node."""

    def __init__(
        self,
        bus: Core,
        world: World,
        judge: Judge,
        local: tuple[Slots, Runs],
        pairs: Pairs,
        tally: Tally,
    ) -> None:
        self.answer_prefix = ANSWER_PREFIX
        self.leaving = False
        self._bus = bus
        self._world = world
        self._judge = judge
        self._slots, self._runs = local
        self._pairs = pairs
        self._tally = tally
        self._window = ReplayWindow()

    async def take(self, zone: str, message: Message) -> None:
        """Answer a forwarded request or a probe; never raises."""
        if not message.reply:
            self._tally.dropped += 1
        elif headers.PROBE in message.headers:
            await self._probed(message)
        else:
            await self._forwarded(zone, message)

    async def cancel(self, message: Message) -> None:
        """End a request that a peer relays the cancel of; never raises."""
        try:
            key = self._pairs.receiving(message.headers.get(headers.TICKET, ""))
            given = message.headers.get(headers.MAC, "")
            tickets.verify_mac(key, given, b"cancel", message.body)
            self._runs.cancel(decode(message.body, RequestKey))
        except HoldfastError:
            self._tally.tickets_refused += 1

    async def _forwarded(self, zone: str, message: Message) -> None:
        slot: LocalSlot | None = None
        try:
            ticket = self._verified(zone, message)
            key = RequestKey(ticket.app, ticket.request)
            reply = message.headers[headers.REPLY]
            ack, slot = self._admit(ticket, key, reply)
            body = b""
            if slot is not None:
                body = engine_body(
                    ticket.op, message.body, alias=ticket.alias, stream=ticket.stream
                )
        except HoldfastError:
            self._tally.tickets_refused += 1
            await self._acknowledge(message.reply, _REFUSED)
            if slot is not None:
                self._slots.release(slot)
            return
        if slot is None:
            await self._acknowledge(message.reply, ack)
            return
        try:
            await self._run(ticket, slot, message, body)
        finally:
            self._slots.release(slot)

    async def _run(self, ticket: RunTicket, slot: LocalSlot, message: Message, body: bytes) -> None:
        left_s = min(DEADLINE_MS_CAP, ticket.deadline_ms - time.time() * 1000) / 1000
        run = Run(
            RequestKey(ticket.app, ticket.request),
            message.headers[headers.REPLY],
            stream=ticket.stream,
            deadline=asyncio.get_running_loop().time() + left_s,
        )
        in_flight = self._slots.in_flight(slot.slot)
        self._runs.seen.begin(run.key, run.reply)
        await self._acknowledge(
            message.reply, Ack(answer="accepted", in_flight=in_flight, capacity=slot.capacity)
        )
        await self._runs.execute(run, slot, ticket.op, body)

    def _verified(self, zone: str, message: Message) -> RunTicket:
        """Return the ticket if every byte of the request stands; raises ``TICKET_REFUSED``."""
        data = message.headers.get(headers.TICKET, "").encode()
        reply = message.headers.get(headers.REPLY, "")
        ticket = tickets.read_unverified(data)
        key = self._pairs.receiving(ticket.origin)
        given = message.headers.get(headers.MAC, "")
        tickets.verify_mac(key, given, data, message.body, reply.encode())
        now_ms = int(time.time() * 1000)
        tickets.check(ticket, zone, self._world.node, now_ms)
        if not reply.startswith(self.answer_prefix):
            raise HoldfastError(Code.TICKET_REFUSED, "The answer would go to no application.")
        self._window.admit(ticket, now_ms)
        return ticket

    def _admit(
        self, ticket: RunTicket, key: RequestKey, reply: str
    ) -> tuple[Ack, LocalSlot | None]:
        """Return the word for the peer, and the place where the request is to run.

        Decides again from this node's own table and its own view of the trust; raises what
        deciding raises, ``TICKET_REFUSED`` where the labels differ.
        """
        verdict = self._runs.seen.judge(key, reply)
        if verdict == "again":
            return Ack(answer="accepted"), None
        if verdict == "taken":
            return _REFUSED, None
        if self.leaving:
            return _MOVED, None
        asked = Asked(
            zone=ticket.zone,
            app=ticket.app,
            alias=ticket.alias,
            op=ticket.op,
            narrowing=ticket.narrowing,
        )
        legal = self._judge.decide(asked, self._world.table, self._world.trust, time.time())
        if legal.label_digest != ticket.label_digest:
            raise HoldfastError(Code.TICKET_REFUSED, "The label is another one here.")
        for target in legal.targets:
            slot = self._world.local(target, legal.route.digest)
            if slot is None or target.slot != ticket.slot:
                continue
            if self._slots.acquire(slot):
                return _MOVED, slot
            return Ack(answer="full", in_flight=slot.capacity, capacity=slot.capacity), None
        return _MOVED, None

    async def _probed(self, message: Message) -> None:
        try:
            keys = decode(message.body, list[RequestKey])[:_KEYS_MAX]
            states = [self._runs.seen.state(key) for key in keys]
        except HoldfastError:
            self._tally.dropped += 1
            return
        with contextlib.suppress(HoldfastError):
            await self._bus.publish(message.reply, encode(states))

    async def _acknowledge(self, reply: str, ack: Ack) -> None:
        with contextlib.suppress(HoldfastError):
            # Without the bus the peer hears silence, asks again, and we know the request.
            await self._bus.publish(reply, encode(ack))
