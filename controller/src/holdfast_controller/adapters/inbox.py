"""The bus as inputs: calls, reports, events and trust questions, each decoded and bounded once.

What cannot be decoded is dropped where it is lossy, answered where somebody waits, and put aside
where it would come again for ever. Who speaks is read from the subject, and a message that says
otherwise about itself is not believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable

import msgspec
from holdfast_protocol import codec, limits, subjects
from holdfast_protocol.api import error_answer
from holdfast_protocol.bus.port import Bus, Message, StreamSpec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import HeartbeatMessage, NodeEvent, Report, TrustQuery

from holdfast_controller.logic import io

CONSUMER = "controller"
_REPLIES_KEPT = 4 * limits.CONTROLLER_INPUTS
_HEARTBEATS: msgspec.json.Decoder[HeartbeatMessage] = msgspec.json.Decoder(HeartbeatMessage)
_log = logging.getLogger("holdfast.controller")

Tell = Callable[[io.AnyInput], Awaitable[None]]


class Inbox:
    """Subscriptions of one controller; answers go back through it."""

    def __init__(self, bus: Bus, tell: Tell, hint: Callable[[io.AnyInput], None]) -> None:
        self._bus = bus
        self._tell = tell
        self._hint = hint
        self._numbers = itertools.count(1)
        self.refused = 0
        self._told: set[str] = set()
        self._replies: dict[int, str] = {}
        self._events: dict[int, Message] = {}

    async def open(self) -> None:
        """Make the streams and listen; raises what the bus raises."""
        await self.ensure()
        await self._bus.subscribe(subjects.ALL_HEARTBEATS, self._heartbeat)
        await self._bus.subscribe(subjects.ALL_TUF, self._trust)
        await self._bus.subscribe(subjects.ALL_ENROLMENTS, self._enrol)
        await self._bus.subscribe(subjects.ALL_API, self._call)

    async def ensure(self) -> None:
        """Make the streams and the consumer where they are not there."""
        await self._bus.ensure_stream(
            StreamSpec(
                name=subjects.DESIRED_STREAM,
                subjects=(subjects.ALL_DESIRED,),
                size_bytes_max=limits.DESIRED_STREAM_BYTES,
                last_value=True,
            )
        )
        await self._bus.ensure_stream(
            StreamSpec(
                name=subjects.EVENT_STREAM,
                subjects=(subjects.ALL_EVENTS,),
                size_bytes_max=limits.EVENT_STREAM_BYTES,
                age_s_max=limits.EVENT_STREAM_AGE_S,
            )
        )
        await self._bus.ensure_consumer(subjects.EVENT_STREAM, CONSUMER)

    async def answer(self, effect: io.AnswerCall) -> None:
        """Send an answer to whoever asked; one that has gone is nobody's loss."""
        reply = self._replies.pop(effect.call, "")
        if not reply:
            return
        try:
            await self._bus.publish(reply, effect.body)
        except HoldfastError as error:
            if error.code is Code.TOO_LARGE:
                with contextlib.suppress(HoldfastError):
                    await self._bus.publish(reply, codec.encode(error_answer(error)))

    async def acknowledge(self, effect: io.AckEvent) -> None:
        """Tell the stream that an event is safe; where that fails it comes again."""
        message = self._events.pop(effect.delivery, None)
        if message is None:
            return
        try:
            await self._bus.acknowledge(message)
        except HoldfastError as error:
            _log.info("event not acknowledged: %s", error.code)

    async def follow_events(self) -> None:
        """Hand stored events on in order, for ever."""
        while True:
            try:
                batch = await self._bus.fetch(
                    subjects.EVENT_STREAM, CONSUMER, limits.EVENT_BATCH, limits.EVENT_WAIT_S
                )
            except HoldfastError:
                await asyncio.sleep(1.0)
                continue
            for message in batch:
                await self._event(message)
            if not batch:
                # A bus that answers at once must not make this a busy loop.
                await asyncio.sleep(limits.CONTROLLER_TICK_S)

    # ------------------------------------------------------------ what arrives

    async def _heartbeat(self, message: Message) -> None:
        if len(message.body) > limits.REPORT_BYTES:
            return  # what it makes the journal hold must fit a commit
        try:
            said = _HEARTBEATS.decode(message.body)
            speaker = subjects.parse_node(message.subject, "hb")
        except (msgspec.MsgspecError, HoldfastError):
            return
        if isinstance(said, Report):
            if said.node == speaker:
                self._hint(io.ReportSeen(report=said))
        elif said.broker == speaker:
            self._hint(io.RelayReportSeen(report=said))

    async def _trust(self, message: Message) -> None:
        try:
            node = subjects.parse_node(message.subject, "tuf")
            query = codec.decode(message.body, TrustQuery)
        except HoldfastError:
            return
        if not self._answerable(message, node):
            return
        call = self._noted(message.reply)
        await self._tell(io.TrustAsked(call=call, node=node, name=query.name[: limits.KIB]))

    async def _enrol(self, message: Message) -> None:
        try:
            nonce = subjects.parse_node(message.subject, "enr")
        except HoldfastError:
            return
        if self._answerable(message, nonce) and len(message.body) <= limits.ENROL_BYTES:
            call = self._noted(message.reply)
            await self._tell(io.EnrolAsked(call=call, nonce=nonce, body=message.body))

    async def _call(self, message: Message) -> None:
        try:
            asked = subjects.parse_api(message.subject)
        except HoldfastError:
            return  # of nobody: there is no name under which it could be answered
        if not self._answerable(message, asked.who):
            return
        await self._tell(
            io.ApiCalled(
                call=self._noted(message.reply),
                who=asked.who,
                resource=asked.resource,
                verb=asked.verb,
                body=message.body,
            )
        )

    async def _event(self, message: Message) -> None:
        event = _event_of(message)
        if event is None:
            _log.warning("an event on %s cannot be read and is put aside", message.subject[:200])
            await self._bus.acknowledge(message)
            return
        delivery = next(self._numbers)
        self._events[delivery] = message
        await self._tell(io.EventSeen(delivery=delivery, event=event))

    def _answerable(self, message: Message, who: str) -> bool:
        """Tell whether the answer goes to ``who`` alone; what asks for another way is dropped.

        The controller may publish documents and rule the streams: a reply subject among those
        would lend that right to whoever may ask a question.
        """
        if subjects.is_inbox_of(message.reply, who):
            return True
        self.refused += 1
        if who not in self._told:
            self._told.add(who)  # once each: a flood must not become one of the log
            _log.warning("%s names a reply subject that is not its own and is not heard", who)
        return False

    def _noted(self, reply: str) -> int:
        number = next(self._numbers)
        self._replies[number] = reply
        while len(self._replies) > _REPLIES_KEPT:
            # Of a question that was dropped because too many waited.
            del self._replies[next(iter(self._replies))]
        return number


def _event_of(message: Message) -> NodeEvent | None:
    if len(message.body) > limits.EVENT_BYTES:
        return None
    try:
        node, kind = subjects.parse_event(message.subject)
        event = codec.decode(message.body, NodeEvent)
    except HoldfastError:
        return None
    return event if (event.node, event.kind) == (node, kind) else None
