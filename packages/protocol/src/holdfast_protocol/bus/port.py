"""What programs need of a message bus, and nothing of nats.

Every failure is a ``HoldfastError``: ``BROKER_DOWN`` while not connected (nothing is queued for
later: a stale request must not arrive after its caller has given up), ``NOT_PERMITTED`` where the
broker refused, ``TOO_LARGE`` before anything is sent, ``DEADLINE`` for silence, and
:class:`NoRespondersError` at once where nobody listens.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Final, Protocol

import msgspec

from holdfast_protocol.bus.subscription import Subscription
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import (
    HANDLERS_RUNNING,
    MESSAGES_WAITING,
    MESSAGES_WAITING_BYTES,
)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it arrived; ``reply`` is empty where no answer is wanted.

    ``status`` is the broker's inline status ("503", "404"), else empty. Header names are exact:
    look a name up as it is written, a twin in other case is another name.
    """

    subject: str
    body: bytes
    reply: str = ""
    headers: dict[str, str] = {}
    status: str = ""


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """A stream has the message on disk; ``duplicate`` where its id had arrived before."""

    stream: str
    sequence: int
    duplicate: bool = False


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A stream; ``last_value`` keeps one message per subject and answers direct gets."""

    name: str
    subjects: tuple[str, ...]
    size_bytes_max: int
    last_value: bool = False
    age_s_max: int = 0
    duplicate_window_s: int = 120


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a subscription may be in work and wait; what is beyond is dropped and counted.

    ``running=1`` keeps the order of messages.
    """

    running: int = HANDLERS_RUNNING
    waiting: int = MESSAGES_WAITING
    waiting_bytes: int = MESSAGES_WAITING_BYTES


PENDING: Final = Pending()


class State(enum.Enum):
    """Whether messages flow."""

    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class NoRespondersError(HoldfastError):
    """Nobody listens on the subject; the broker said so at once."""

    def __init__(self, subject: str) -> None:
        super().__init__(Code.NOT_LOADED, f"Nobody answers on {subject}.")
        self.subject = subject


Handler = Callable[[Message], Awaitable[None]]
Headers = Mapping[str, str]


class Core(Protocol):
    """Messages that are lost when nobody listens."""

    @property
    def state(self) -> State:
        """Whether messages flow now."""
        ...

    async def publish(
        self, subject: str, body: bytes, headers: Headers | None = None, reply: str = ""
    ) -> None:
        """Send and return; delivery is not confirmed."""
        ...

    async def request(
        self, subject: str, body: bytes, headers: Headers | None = None, timeout_s: float = 5.0
    ) -> Message:
        """Return the first answer."""
        ...

    def request_many(
        self, subject: str, body: bytes, headers: Headers | None = None, timeout_s: float = 60.0
    ) -> AsyncGenerator[Message, None]:
        """Yield answers until the caller closes the generator; ``DEADLINE`` after ``timeout_s``.

        Close it (``contextlib.aclosing``): an open one keeps its place among the waiting.
        """
        ...

    async def subscribe(
        self, subject: str, handler: Handler, queue: str = "", pending: Pending = PENDING
    ) -> Subscription:
        """Return when the broker has the interest; each message runs ``handler`` in a task.

        Survives reconnects. Raises ``NOT_PERMITTED`` where the broker refuses it.
        """
        ...

    async def safe_leave(self, subscription: Subscription) -> None:
        """End the interest without losing what was on its way.

        Every message the broker had chosen us for has been handed to the handler on return; wait
        for ``subscription.idle()`` before what the handlers use goes away.
        """
        ...

    async def barrier(self) -> None:
        """Return when the broker has processed all that was sent before."""
        ...

    async def close(self) -> None:
        """End the connection and every handler; idempotent."""
        ...


class Streams(Protocol):
    """Messages that the broker keeps (JetStream)."""

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Make the stream, or widen it; nothing stored is ever removed by this."""
        ...

    async def stream_publish(
        self,
        subject: str,
        body: bytes,
        message_id: str | None = None,
        expected_last: int | None = None,
    ) -> Ack:
        """Return when the message is stored. On ``DEADLINE`` it may be stored: send it again with
        the same id. ``PLAN_STALE`` where the subject's last sequence is not ``expected_last``.
        """
        ...

    async def last_value(self, domain: str | None, stream: str, subject: str) -> bytes | None:
        """Return the last body of ``subject``, None where there is none."""
        ...

    async def ensure_consumer(self, stream: str, consumer: str) -> None:
        """Make the durable pull consumer of every message that waits for acknowledgement."""
        ...

    async def fetch(
        self, stream: str, consumer: str, batch: int, wait_s: float
    ) -> tuple[Message, ...]:
        """Return up to ``batch`` messages, none after ``wait_s``; acknowledge each when it is safe.

        A message that is not acknowledged comes again.
        """
        ...

    async def acknowledge(self, message: Message) -> None:
        """Tell the stream that this consumer is done with ``message``."""
        ...


class Bus(Core, Streams, Protocol):
    """Both; what most programs are given."""
