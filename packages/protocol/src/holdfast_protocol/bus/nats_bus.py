"""The bus over nats-py: connects from a credentials folder, stays connected, never goes deaf.

A supervisor replaces the connection when it ends or when nobody reads it any more, registers every
subscription again and tells the owner. Requests under way when a connection ends fail at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Final

from holdfast_protocol.bus import headers as header_block
from holdfast_protocol.bus.connection import Connection, down, translated
from holdfast_protocol.bus.guarded import Counters, GuardedClient
from holdfast_protocol.bus.jetstream import JetStream
from holdfast_protocol.bus.port import (
    PENDING,
    Ack,
    Handler,
    Headers,
    Message,
    Pending,
    State,
    StreamSpec,
)
from holdfast_protocol.bus.replies import Replies
from holdfast_protocol.bus.subscription import Subscription
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import credentials
from holdfast_protocol.limits import (
    BACKLOG_BYTES,
    BUS_BACKOFF_MAX_S,
    BUS_CONNECT_S,
    BUS_WATCH_S,
    SUBJECT_BYTES,
)

OnReconnect = Callable[[], Awaitable[None]]
_CANCEL_AGAIN_S: Final = 0.2
_BACKOFF_FIRST_S: Final = 0.1
_SUBJECT: Final = re.compile(r"[^\s\x00-\x1f]+")
_AT_ONCE: Final = (Code.NOT_PERMITTED, Code.CONFIG_INVALID)


async def connect(
    folder: Path, *, name: str, timeout_s: float = 10.0, on_reconnect: OnReconnect | None = None
) -> NatsBus:
    """Return a bus that is ready: connected, answered a round trip, listens to its inbox.

    ``on_reconnect`` runs after every later connection, when all subscriptions stand again: read
    anew what may have been missed. Raises ``CONFIG_INVALID`` and ``NOT_PERMITTED`` at once,
    ``BROKER_DOWN`` after ``timeout_s`` of trying.
    """
    bus = NatsBus(folder, name, on_reconnect)
    await bus.start(timeout_s)
    return bus


class NatsBus:
    """A :class:`~holdfast_protocol.bus.port.Bus` over a real broker; see :func:`connect`."""

    def __init__(self, folder: Path, name: str, on_reconnect: OnReconnect | None) -> None:
        self.counters = Counters()
        self._folder = folder
        self._name = name
        self._on_reconnect = on_reconnect
        self._connection: Connection | None = None
        self._state = State.RECONNECTING
        self._replies = Replies(credentials.read(folder).connect.inbox_prefix)
        self._subscriptions: dict[Subscription, int] = {}
        self._refused: set[str] = set()
        self._ended = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._notice: asyncio.Task[None] | None = None
        self._attempts = 0
        self._last_failure: HoldfastError | None = None
        self._streams = JetStream(self, self._replies.new_inbox)
        # Jitter only: a fleet that lost its broker must not come back in one instant.
        self._dice = random.Random()  # noqa: S311 - not a secret

    @property
    def state(self) -> State:
        """Whether messages flow now."""
        return self._state

    async def start(self, timeout_s: float) -> None:
        """Connect; :func:`connect` does this."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._reach(give_up=_AT_ONCE)
        except TimeoutError as error:
            raise self._last_failure or down() from error
        self._supervisor = asyncio.create_task(self._supervise(), name=f"bus {self._name}")

    async def close(self) -> None:
        """End the connection and every handler; idempotent."""
        self._state = State.CLOSED
        await _end(self._supervisor)
        await _end(self._notice)
        for subscription in list(self._subscriptions):
            await subscription.cancel()
        self._subscriptions.clear()
        self._replies.fail_all(down())
        if self._connection is not None:
            await self._connection.close()

    async def __aenter__(self) -> NatsBus:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------ core

    async def publish(
        self, subject: str, body: bytes, headers: Headers | None = None, reply: str = ""
    ) -> None:
        """Send and return; delivery is not confirmed."""
        client = self._live()
        _check_subject(subject)
        if reply:
            _check_subject(reply)
        lines = header_block.checked(headers)
        size = len(body) + header_block.size_bytes(lines)
        if size > client.max_payload:
            raise HoldfastError(
                Code.TOO_LARGE,
                f"A message to {subject} has {size} bytes; at most {client.max_payload} fit.",
            )
        if client.backlog_bytes > BACKLOG_BYTES:
            raise HoldfastError(Code.BUSY, "The broker does not take messages fast enough.")
        with translated(subject):
            await client.publish(subject, body, reply=reply, headers=lines)

    async def request(
        self, subject: str, body: bytes, headers: Headers | None = None, timeout_s: float = 5.0
    ) -> Message:
        """Return the first answer."""
        ends_at = asyncio.get_running_loop().time() + timeout_s
        with self._replies.waiting(subject) as (inbox, waiting), translated(subject):
            async with asyncio.timeout_at(ends_at):
                await self.publish(subject, body, headers, inbox)
            async with asyncio.timeout_at(ends_at):
                return await waiting.get()

    async def request_many(
        self, subject: str, body: bytes, headers: Headers | None = None, timeout_s: float = 60.0
    ) -> AsyncGenerator[Message, None]:
        """Yield answers until the caller closes the generator; ``DEADLINE`` after ``timeout_s``."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        with self._replies.waiting(subject) as (inbox, waiting):
            await self.publish(subject, body, headers, inbox)
            while True:
                # The time-out covers waiting alone: a generator must not hold one over a yield.
                with translated(subject):
                    async with asyncio.timeout_at(ends_at):
                        answer = await waiting.get()
                yield answer

    async def subscribe(
        self, subject: str, handler: Handler, queue: str = "", pending: Pending = PENDING
    ) -> Subscription:
        """Return when the broker has the interest; ``NOT_PERMITTED`` where it refuses."""
        client = self._live()
        _check_subject(subject)
        if queue:
            _check_subject(queue)
        subscription = Subscription(subject, queue, handler, pending)
        self._refused.discard(subject.lower())
        registered = False
        try:
            with translated(subject):
                sid = await client.listen(subject, queue, subscription.deliver)
                self._subscriptions[subscription] = sid
                await client.synchronise(BUS_CONNECT_S)
            registered = subject.lower() not in self._refused
        finally:
            if not registered:
                self._forget(subscription)
        if not registered:
            raise HoldfastError(
                Code.NOT_PERMITTED, f"The broker does not let {self._name} hear {subject}."
            )
        return subscription

    async def safe_leave(self, subscription: Subscription) -> None:
        """End the interest without losing what was on its way."""
        sid = self._subscriptions.get(subscription)
        if sid is None:
            return
        if self._state is State.CONNECTED:
            client = self._live()
            with translated(subscription.subject):
                await client.unlisten(sid)
                # Twice: a sender's reader in the server may have chosen us just before the first
                # round trip and written just after it.
                await client.synchronise(BUS_CONNECT_S)
                await client.synchronise(BUS_CONNECT_S)
        await subscription.started()
        self._forget(subscription)

    async def barrier(self) -> None:
        """Return when the broker has processed all that was sent before."""
        client = self._live()
        with translated("barrier"):
            await client.synchronise(BUS_CONNECT_S)

    # ------------------------------------------------------------ streams

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Make the stream, or widen it."""
        await self._streams.ensure_stream(spec)

    async def stream_publish(
        self,
        subject: str,
        body: bytes,
        message_id: str | None = None,
        expected_last: int | None = None,
    ) -> Ack:
        """Return when the message is stored."""
        return await self._streams.stream_publish(subject, body, message_id, expected_last)

    async def last_value(self, domain: str | None, stream: str, subject: str) -> bytes | None:
        """Return the last body of ``subject``, None where there is none."""
        return await self._streams.last_value(domain, stream, subject)

    async def ensure_consumer(self, stream: str, consumer: str) -> None:
        """Make the durable pull consumer."""
        await self._streams.ensure_consumer(stream, consumer)

    async def fetch(
        self, stream: str, consumer: str, batch: int, wait_s: float
    ) -> tuple[Message, ...]:
        """Return up to ``batch`` messages, none after ``wait_s``."""
        return await self._streams.fetch(stream, consumer, batch, wait_s)

    async def acknowledge(self, message: Message) -> None:
        """Tell the stream that this consumer is done with ``message``."""
        await self._streams.acknowledge(message)

    # ------------------------------------------------------------ staying connected

    def _live(self) -> GuardedClient:
        if self._state is not State.CONNECTED or self._connection is None:
            raise down()
        return self._connection.client

    def _forget(self, subscription: Subscription) -> None:
        sid = self._subscriptions.pop(subscription, None)
        if sid is not None and self._connection is not None:
            self._connection.client.sinks.pop(sid, None)

    async def _supervise(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUS_WATCH_S):
                    await self._ended.wait()
            assert self._connection is not None
            if not self._ended.is_set():
                if not self._connection.client.deaf:
                    continue
                self.counters.deaf += 1
            self._lost()
            await self._connection.close()
            await self._reach(give_up=())
            self.counters.reconnects += 1
            self._tell()

    def _lost(self) -> None:
        self._state = State.RECONNECTING
        self._ended.set()
        self._replies.fail_all(down())

    async def _reach(self, give_up: tuple[Code, ...]) -> None:
        pause_s = _BACKOFF_FIRST_S
        while True:
            try:
                await self._attach()
            except HoldfastError as error:
                self._last_failure = error
                if error.code in give_up:
                    raise
            else:
                return
            await asyncio.sleep(pause_s * self._dice.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, BUS_BACKOFF_MAX_S)

    async def _attach(self) -> None:
        """Make one attempt at the next server: connect and register every subscription."""
        servers = credentials.read(self._folder).connect.servers
        if not servers:
            raise HoldfastError(Code.CONFIG_INVALID, f"{self._folder} names no server.")
        server = servers[self._attempts % len(servers)]
        self._attempts += 1

        def ended() -> None:
            if self._connection is connection and self._state is not State.CLOSED:
                self._lost()

        connection = Connection(self.counters, self._on_refusal, ended)
        await connection.open(self._folder, server, self._name)
        self._ended.clear()
        self._connection = connection
        try:
            with translated("inbox"):
                await connection.client.listen(self._replies.subject, "", self._replies.deliver)
                for one in self._subscriptions:
                    self._subscriptions[one] = await connection.client.listen(
                        one.subject, one.queue, one.deliver
                    )
                await connection.client.synchronise(BUS_CONNECT_S)
        except (HoldfastError, asyncio.CancelledError):
            await connection.close()
            raise
        if self._ended.is_set():
            raise down()
        self._state = State.CONNECTED

    def _tell(self) -> None:
        if self._on_reconnect is None:
            return
        if self._notice is not None:
            self._notice.cancel()
        self._notice = asyncio.create_task(self._run_notice(self._on_reconnect))

    async def _run_notice(self, on_reconnect: OnReconnect) -> None:
        # A failure here means the connection was lost again, and another notice follows that.
        with contextlib.suppress(HoldfastError):
            await on_reconnect()

    def _on_refusal(self, kind: str, subject: str) -> None:
        self.counters.refused += 1
        if kind == "subscription":
            self._refused.add(subject)
        else:
            self._replies.refuse(subject)


async def _end(task: asyncio.Task[None] | None) -> None:
    """Cancel until it is done: ``wait_for`` of Python 3.11, which nats-py uses, can lose one."""
    while task is not None and task is not asyncio.current_task() and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)


def _check_subject(subject: str) -> None:
    if not _SUBJECT.fullmatch(subject) or len(subject.encode()) > SUBJECT_BYTES:
        raise HoldfastError(Code.BAD_REQUEST, f"{subject[:80]!a} is not a subject.")
