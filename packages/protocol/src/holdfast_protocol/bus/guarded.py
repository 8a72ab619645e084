"""nats-py's client with the parts replaced that let one message silence a program.

In nats-py 2.16 header and subject decoding, and the answer to a late PONG, run inside the read
loop; any exception there ends it silently while ``is_connected`` stays true. Here a message is
parsed by code that cannot raise and handed to a synchronous sink by subscription id; the protocol
itself is read by ``wire``. Reconnecting
is not left to the client either: a connection that ended is replaced by a fresh one (see
``nats_bus``), so no half-dead state survives.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.protocol import command

from holdfast_protocol.bus import headers as header_block
from holdfast_protocol.bus.port import Message
from holdfast_protocol.bus.wire import WireParser
from holdfast_protocol.limits import SUBJECT_BYTES

Sink = Callable[[Message], None]

PINNED: Final = "2.16.0"
_PRIVATE: Final = (
    "_process_msg",
    "_process_pong",
    "_send_command",
    "_flush_pending",
    "_send_ping",
    "_send_unsubscribe",
)
_STATE: Final = (
    "_ps",
    "_sid",
    "_pongs",
    "_pings_outstanding",
    "_reading_task",
    "_pending_data_size",
)


def _check_pin() -> None:
    """Refuse to run on another nats-py: what is replaced here is private and may have moved."""
    found = importlib.metadata.version("nats-py")
    client = Client()
    missing = [name for name in (*_PRIVATE, *_STATE) if not hasattr(client, name)]
    if found != PINNED or missing:
        raise ImportError(
            f"the bus adapter is written for nats-py {PINNED}, found {found}; missing: {missing}"
        )


_check_pin()


class _NoEofNoise(logging.Filter):
    """asyncio warns of TLS end-of-file in nats-py's transport on every close; it means nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "eof_received" not in str(record.msg)


logging.getLogger("asyncio").addFilter(_NoEofNoise())


class Counters(msgspec.Struct, kw_only=True):
    """What happened on a connection, for metrics; mutable, owned by the bus."""

    received: int = 0
    malformed: int = 0
    unclaimed: int = 0
    refused: int = 0
    deaf: int = 0
    reconnects: int = 0


class GuardedClient(Client):
    """A connection whose reader no message can end."""

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self._ps = WireParser(self)
        self.counters = counters
        self.sinks: dict[int, Sink] = {}

    @property
    def deaf(self) -> bool:
        """Whether the client believes to be connected while nobody reads."""
        reading = self._reading_task
        return self.is_connected and reading is not None and reading.done()

    @property
    def backlog_bytes(self) -> int:
        """What is written but not yet on its way."""
        return self._pending_data_size

    async def listen(self, subject: str, queue: str, sink: Sink) -> int:
        """Register interest and return its id; messages go to ``sink`` from the reader itself."""
        self._sid += 1
        sid = self._sid
        self.sinks[sid] = sink
        await self._send_command(command.sub_cmd(subject, queue, sid))
        await self._flush_pending()
        return sid

    async def unlisten(self, sid: int) -> None:
        """Ask the server to end the interest; messages under way still reach the sink."""
        await self._send_unsubscribe(sid)

    async def synchronise(self, timeout_s: float) -> None:
        """Return when the server has answered a PING sent after everything before.

        The client's own ``flush`` is no barrier: its PING overtakes commands that still wait to be
        written. Raises ``TimeoutError``.
        """
        await self._flush_pending(force_flush=True)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self._send_ping(answered)
        await asyncio.wait_for(answered, timeout_s)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        # The original swallows cancellation: a caller's deadline would pass unnoticed.
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        flushed = await super()._flush_pending(force_flush)
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
        return flushed

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self.counters.received += 1
        sink = self.sinks.get(sid)
        if sink is None:
            self.counters.unclaimed += 1
            return
        message = to_message(subject, reply, data, headers)
        if message is None:
            self.counters.malformed += 1
            return
        sink(message)

    async def _process_pong(self) -> None:
        self._pings_outstanding = 0
        if self._pongs:
            answered = self._pongs.pop(0)
            # A waiter that timed out is done already; setting its result would raise and end the
            # read loop.
            if not answered.done():
                answered.set_result(True)


def to_message(subject: bytes, reply: bytes, body: bytes, headers: bytes | None) -> Message | None:
    """Return the message, or None where subject, reply or headers are not acceptable."""
    block = header_block.parse(headers or b"")
    # A longer reply subject could make our answer's control line longer than the server takes, and
    # it would end our connection for it.
    if block is None or len(subject) > SUBJECT_BYTES or len(reply) > SUBJECT_BYTES:
        return None
    try:
        return Message(
            subject=subject.decode("utf-8"),
            reply=reply.decode("utf-8"),
            headers=block.headers,
            body=body,
            status=block.status,
        )
    except UnicodeDecodeError:
        return None
