"""A bus in memory for tests and simulations: subjects, queues, requests, streams; no permissions.

Every :class:`MemoryBus` of one :class:`MemoryBroker` meets the others. Delivery is in order and on
the running loop's next turn, as if it came from a socket; it passes the same conformance tests as
the adapter. Queue members are chosen by the dice handed in.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

import msgspec

from holdfast_protocol.bus import headers as header_block
from holdfast_protocol.bus.port import (
    PENDING,
    Ack,
    Handler,
    Headers,
    Message,
    NoRespondersError,
    Pending,
    State,
    StreamSpec,
)
from holdfast_protocol.bus.replies import NO_RESPONDERS, Replies
from holdfast_protocol.bus.subscription import Subscription
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import BROKER_PAYLOAD_BYTES, FETCH_BATCH
from holdfast_protocol.subjects import inbox_prefix


def matches(pattern: str, subject: str) -> bool:
    """Tell whether ``subject`` is within ``pattern`` (``*`` one token, a last ``>`` the rest)."""
    wanted, tokens = pattern.split("."), subject.split(".")
    for index, one in enumerate(wanted):
        if one == ">":
            return len(tokens) > index
        if index >= len(tokens) or one not in ("*", tokens[index]):
            return False
    return len(tokens) == len(wanted)


class Interest(NamedTuple):
    """Who hears a subject."""

    subject: str
    queue: str
    deliver: Callable[[Message], None]


class MemoryBroker:
    """What buses share: interests and streams."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._interests: list[Interest] = []
        self._streams: dict[str, MemoryStream] = {}

    def add(self, interest: Interest) -> None:
        """Register interest."""
        self._interests.append(interest)

    def remove(self, interest: Interest) -> None:
        """End interest; what was chosen for it before still arrives."""
        self._interests.remove(interest)

    def route(self, message: Message) -> bool:
        """Give ``message`` to every plain interest and one member of each queue."""
        heard = [one for one in self._interests if matches(one.subject, message.subject)]
        queues: dict[str, list[Interest]] = {}
        for one in heard:
            if one.queue:
                queues.setdefault(one.queue, []).append(one)
        chosen = [self._dice.choice(members) for _, members in sorted(queues.items())]
        loop = asyncio.get_running_loop()
        for one in (*(one for one in heard if not one.queue), *chosen):
            loop.call_soon(one.deliver, message)
        return bool(heard)

    def ensure(self, spec: StreamSpec) -> None:
        """Make or widen a stream."""
        present = self._streams.get(spec.name)
        if present is None:
            self._streams[spec.name] = MemoryStream(spec)
            return
        added = tuple(s for s in spec.subjects if s not in present.spec.subjects)
        present.spec = msgspec.structs.replace(present.spec, subjects=present.spec.subjects + added)

    def keeper(self, subject: str) -> MemoryStream | None:
        """Return the stream that keeps ``subject``, if any."""
        for stream in self._streams.values():
            if any(matches(pattern, subject) for pattern in stream.spec.subjects):
                return stream
        return None

    def stream(self, name: str) -> MemoryStream:
        """Return a stream by name; raises ``STORE_FAILED``."""
        stream = self._streams.get(name)
        if stream is None:
            raise HoldfastError(Code.STORE_FAILED, f"There is no stream {name}.")
        return stream


class MemoryStream:
    """Messages kept in order; a last-value stream keeps one per subject."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self._kept: dict[int, Message] = {}
        self._ids: dict[str, int] = {}
        self._sequence = 0
        self._acknowledged: dict[str, set[int]] = {}

    def store(self, message: Message, message_id: str | None, expected_last: int | None) -> Ack:
        """Keep a message once; raises ``PLAN_STALE`` where its subject has moved on."""
        if message_id is not None and message_id in self._ids:
            return Ack(stream=self.spec.name, sequence=self._ids[message_id], duplicate=True)
        last = self._last(message.subject)
        if expected_last is not None and expected_last != last:
            raise HoldfastError(Code.PLAN_STALE, f"{message.subject} has moved on in its stream.")
        if self.spec.last_value:
            self._kept.pop(last, None)
        self._sequence += 1
        self._kept[self._sequence] = message
        if message_id is not None:
            self._ids[message_id] = self._sequence
        return Ack(stream=self.spec.name, sequence=self._sequence)

    def last_value(self, subject: str) -> bytes | None:
        """Return the last body kept for ``subject``."""
        kept = self._kept.get(self._last(subject))
        return None if kept is None else kept.body

    def consumer(self, name: str) -> None:
        """Make a consumer that has acknowledged nothing."""
        self._acknowledged.setdefault(name, set())

    def waiting(self, name: str, batch: int) -> tuple[Message, ...]:
        """Return what ``name`` has not acknowledged; raises ``STORE_FAILED`` for a stranger."""
        done = self._acknowledged.get(name)
        if done is None:
            raise HoldfastError(Code.STORE_FAILED, f"There is no consumer {name}.")
        waiting = [(number, kept) for number, kept in self._kept.items() if number not in done]
        return tuple(
            msgspec.structs.replace(kept, reply=f"$JS.ACK.{self.spec.name}.{name}.{number}")
            for number, kept in waiting[:batch]
        )

    def acknowledge(self, name: str, sequence: int) -> None:
        """Remember that ``name`` is done with a message."""
        self._acknowledged[name].add(sequence)

    def _last(self, subject: str) -> int:
        return max((n for n, kept in self._kept.items() if kept.subject == subject), default=0)


class MemoryBus:
    """A :class:`~holdfast_protocol.bus.port.Bus` on a :class:`MemoryBroker`."""

    def __init__(self, broker: MemoryBroker, who: str) -> None:
        self._broker = broker
        self._replies = Replies(inbox_prefix(who))
        self._inbox = Interest(self._replies.subject, "", self._replies.deliver)
        self._interests: dict[Subscription, Interest] = {}
        self._state = State.CONNECTED
        broker.add(self._inbox)

    @property
    def state(self) -> State:
        """Whether messages flow now."""
        return self._state

    def disconnect(self) -> None:
        """Behave as if the broker were gone: what waits fails, nothing arrives."""
        self._state = State.RECONNECTING
        for interest in (self._inbox, *self._interests.values()):
            self._broker.remove(interest)
        self._replies.fail_all(_down())

    def reconnect(self) -> None:
        """Be connected again, with every subscription."""
        for interest in (self._inbox, *self._interests.values()):
            self._broker.add(interest)
        self._state = State.CONNECTED

    async def publish(
        self, subject: str, body: bytes, headers: Headers | None = None, reply: str = ""
    ) -> None:
        """Send and return."""
        self._check()
        lines = header_block.checked(headers)
        if len(body) + header_block.size_bytes(lines) > BROKER_PAYLOAD_BYTES:
            raise HoldfastError(
                Code.TOO_LARGE,
                f"A message to {subject} has more than {BROKER_PAYLOAD_BYTES} bytes.",
            )
        message = Message(subject=subject, body=body, reply=reply, headers=lines or {})
        stream = self._broker.keeper(subject)
        if stream is not None:
            stream.store(message, None, None)
        if not self._broker.route(message) and reply:
            self._broker.route(Message(subject=reply, body=b"", status=NO_RESPONDERS))

    async def request(
        self, subject: str, body: bytes, headers: Headers | None = None, timeout_s: float = 5.0
    ) -> Message:
        """Return the first answer."""
        with self._replies.waiting(subject) as (inbox, waiting):
            try:
                async with asyncio.timeout(timeout_s):
                    await self.publish(subject, body, headers, inbox)
                    return await waiting.get()
            except TimeoutError as error:
                raise _late(subject) from error

    async def request_many(
        self, subject: str, body: bytes, headers: Headers | None = None, timeout_s: float = 60.0
    ) -> AsyncGenerator[Message, None]:
        """Yield answers until the caller closes the generator."""
        ends_at = asyncio.get_running_loop().time() + timeout_s
        with self._replies.waiting(subject) as (inbox, waiting):
            await self.publish(subject, body, headers, inbox)
            while True:
                try:
                    async with asyncio.timeout_at(ends_at):
                        answer = await waiting.get()
                except TimeoutError as error:
                    raise _late(subject) from error
                yield answer

    async def subscribe(
        self, subject: str, handler: Handler, queue: str = "", pending: Pending = PENDING
    ) -> Subscription:
        """Register interest."""
        self._check()
        subscription = Subscription(subject, queue, handler, pending)
        interest = Interest(subject, queue, subscription.deliver)
        self._interests[subscription] = interest
        self._broker.add(interest)
        return subscription

    async def safe_leave(self, subscription: Subscription) -> None:
        """End the interest without losing what was on its way."""
        interest = self._interests.pop(subscription, None)
        if interest is None:
            return
        if self._state is State.CONNECTED:
            self._broker.remove(interest)
        await self._turn()
        await subscription.started()

    async def barrier(self) -> None:
        """Return when all that was sent before is delivered."""
        self._check()
        await self._turn()

    async def close(self) -> None:
        """End it and every handler."""
        if self._state is State.CONNECTED:
            self.disconnect()
        self._state = State.CLOSED
        for subscription in list(self._interests):
            await subscription.cancel()
        self._interests.clear()

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Make the stream, or widen it."""
        self._check()
        self._broker.ensure(spec)

    async def stream_publish(
        self,
        subject: str,
        body: bytes,
        message_id: str | None = None,
        expected_last: int | None = None,
    ) -> Ack:
        """Keep the message and give it to whoever listens."""
        self._check()
        stream = self._broker.keeper(subject)
        if stream is None:
            raise NoRespondersError(subject)
        message = Message(subject=subject, body=body)
        ack = stream.store(message, message_id, expected_last)
        if not ack.duplicate:
            self._broker.route(message)
        return ack

    async def last_value(self, domain: str | None, stream: str, subject: str) -> bytes | None:
        """Return the last body of ``subject``; every domain is this broker."""
        self._check()
        return self._broker.stream(stream).last_value(subject)

    async def ensure_consumer(self, stream: str, consumer: str) -> None:
        """Make the consumer."""
        self._check()
        self._broker.stream(stream).consumer(consumer)

    async def fetch(
        self, stream: str, consumer: str, batch: int, wait_s: float
    ) -> tuple[Message, ...]:
        """Return what is not acknowledged; waits a turn of the loop at most."""
        self._check()
        assert 0 < batch <= FETCH_BATCH, "a batch is bounded"
        await self._turn()
        return self._broker.stream(stream).waiting(consumer, batch)

    async def acknowledge(self, message: Message) -> None:
        """Tell the stream that this consumer is done with ``message``."""
        self._check()
        stream, consumer, sequence = message.reply.split(".")[2:]
        self._broker.stream(stream).acknowledge(consumer, int(sequence))

    def _check(self) -> None:
        if self._state is not State.CONNECTED:
            raise _down()

    async def _turn(self) -> None:
        turned = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turned.set_result, None)
        await turned


def _down() -> HoldfastError:
    return HoldfastError(Code.BROKER_DOWN, "The broker is not connected.")


def _late(subject: str) -> HoldfastError:
    return HoldfastError(Code.DEADLINE, f"No answer on {subject} in time.")
