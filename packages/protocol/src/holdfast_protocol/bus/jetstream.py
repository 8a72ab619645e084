"""JetStream's API as JSON requests over the bus's core: streams, last values, pull consumers.

Written against the server's API (nats-io/nats-server, jetstream_api.go) rather than a client's
helpers: the few calls here need no watches, no server-side state per reader and no second parser.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

import msgspec

from holdfast_protocol.bus.port import Ack, Core, Message, Pending, StreamSpec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import FETCH_BATCH
from holdfast_protocol.subjects import direct_get, jetstream_api

A = TypeVar("A")

_NANOSECONDS: Final = 1_000_000_000
_IN_ORDER: Final = Pending(running=1)
_GRACE_S: Final = 1.0
_ASK_S: Final = 5.0
_ACK_WAIT_S: Final = 30
_STREAM_NOT_FOUND: Final = 10059
_WRONG_LAST: Final = 10071


class _Failure(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    err_code: int = 0
    description: str = ""


class _Config(msgspec.Struct, frozen=True, kw_only=True):
    """A stream's configuration, the parts that are ours; the server keeps the rest."""

    name: str
    subjects: tuple[str, ...]
    max_bytes: int
    max_age: int
    max_msgs_per_subject: int
    allow_direct: bool
    duplicate_window: int
    retention: str = "limits"
    discard: str = "old"
    storage: str = "file"
    num_replicas: int = 1
    deny_purge: bool = False


class _StreamAnswer(msgspec.Struct, frozen=True, kw_only=True):
    error: _Failure | None = None
    config: _Config | None = None


class _PublishAnswer(msgspec.Struct, frozen=True, kw_only=True):
    error: _Failure | None = None
    stream: str = ""
    seq: int = 0
    duplicate: bool = False


class _ConsumerConfig(msgspec.Struct, frozen=True, kw_only=True):
    durable_name: str
    ack_policy: str = "explicit"
    ack_wait: int = _ACK_WAIT_S * _NANOSECONDS
    deliver_policy: str = "all"
    max_ack_pending: int = FETCH_BATCH * 4


class _MakeConsumer(msgspec.Struct, frozen=True, kw_only=True):
    stream_name: str
    config: _ConsumerConfig


class _Next(msgspec.Struct, frozen=True, kw_only=True):
    batch: int
    expires: int


class _AnyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    error: _Failure | None = None


class JetStream:
    """Streams over a core bus, on the JetStream of the broker connected to."""

    def __init__(self, core: Core, new_inbox: Callable[[], str]) -> None:
        self._core = core
        self._new_inbox = new_inbox

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """See :class:`~holdfast_protocol.bus.port.Streams`."""
        wanted = _config(spec)
        answer = await self._ask(f"STREAM.INFO.{spec.name}", b"", _StreamAnswer)
        if answer.error is not None and answer.error.err_code == _STREAM_NOT_FOUND:
            await self._change("CREATE", wanted)
            return
        if answer.error is not None or answer.config is None:
            _refuse(f"stream {spec.name}", answer.error)
        widened = _widened(answer.config, wanted)
        if widened != answer.config:
            await self._change("UPDATE", widened)

    async def stream_publish(
        self, subject: str, body: bytes, message_id: str | None, expected_last: int | None
    ) -> Ack:
        """See :class:`~holdfast_protocol.bus.port.Streams`."""
        headers: dict[str, str] = {}
        if message_id is not None:
            headers["Nats-Msg-Id"] = message_id
        if expected_last is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected_last)
        message = await self._core.request(subject, body, headers or None, _ASK_S)
        answer = _decode(message.body, _PublishAnswer)
        if answer.error is not None and answer.error.err_code == _WRONG_LAST:
            raise HoldfastError(Code.PLAN_STALE, f"{subject} has moved on in its stream.")
        if answer.error is not None or not answer.stream:
            _refuse(subject, answer.error)
        return Ack(stream=answer.stream, sequence=answer.seq, duplicate=answer.duplicate)

    async def last_value(self, domain: str | None, stream: str, subject: str) -> bytes | None:
        """See :class:`~holdfast_protocol.bus.port.Streams`."""
        message = await self._core.request(direct_get(domain, stream, subject), b"", None, _ASK_S)
        if message.status == "404":
            return None
        if message.status:
            raise HoldfastError(
                Code.STORE_FAILED, f"{subject} cannot be read: status {message.status}."
            )
        return message.body

    async def ensure_consumer(self, stream: str, consumer: str) -> None:
        """See :class:`~holdfast_protocol.bus.port.Streams`."""
        make = _MakeConsumer(stream_name=stream, config=_ConsumerConfig(durable_name=consumer))
        answer = await self._ask(
            f"CONSUMER.DURABLE.CREATE.{stream}.{consumer}", msgspec.json.encode(make), _AnyAnswer
        )
        if answer.error is not None:
            _refuse(f"consumer {consumer}", answer.error)

    async def fetch(
        self, stream: str, consumer: str, batch: int, wait_s: float
    ) -> tuple[Message, ...]:
        """See :class:`~holdfast_protocol.bus.port.Streams`."""
        assert 0 < batch <= FETCH_BATCH, "a batch is bounded"
        subject = f"{jetstream_api(None)}.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        ask = msgspec.json.encode(_Next(batch=batch, expires=int(wait_s * _NANOSECONDS)))
        found: list[Message] = []
        ended = asyncio.Event()

        async def take(message: Message) -> None:
            if not message.status and len(found) < batch:
                found.append(message)
            if message.status or len(found) == batch:
                ended.set()

        # Messages of a consumer carry their stored subject, so the inbox of requests cannot tell
        # whose they are: each fetch has its own.
        inbox = self._new_inbox()
        subscription = await self._core.subscribe(inbox, take, "", _IN_ORDER)
        try:
            await self._core.publish(subject, ask, None, inbox)
            # The server ends the request itself (status 408); the rest is for its way back.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s + _GRACE_S):
                    await ended.wait()
        finally:
            await self._core.safe_leave(subscription)
            await subscription.idle()
        return tuple(found)

    async def acknowledge(self, message: Message) -> None:
        """See :class:`~holdfast_protocol.bus.port.Streams`."""
        await self._core.publish(message.reply, b"+ACK")

    async def _change(self, verb: str, config: _Config) -> None:
        answer = await self._ask(
            f"STREAM.{verb}.{config.name}", msgspec.json.encode(config), _StreamAnswer
        )
        if answer.error is not None:
            _refuse(f"stream {config.name}", answer.error)

    async def _ask(self, verb: str, body: bytes, kind: type[A]) -> A:
        message = await self._core.request(f"{jetstream_api(None)}.{verb}", body, None, _ASK_S)
        return _decode(message.body, kind)


def _config(spec: StreamSpec) -> _Config:
    return _Config(
        name=spec.name,
        subjects=spec.subjects,
        max_bytes=spec.size_bytes_max,
        max_age=spec.age_s_max * _NANOSECONDS,
        max_msgs_per_subject=1 if spec.last_value else -1,
        allow_direct=spec.last_value,
        duplicate_window=spec.duplicate_window_s * _NANOSECONDS,
    )


def _widened(present: _Config, wanted: _Config) -> _Config:
    """Return ``present`` with what ``wanted`` adds; no bound gets tighter: nothing is lost."""
    added = tuple(s for s in wanted.subjects if s not in present.subjects)
    # 0 and -1 are no bound at all.
    ages = (present.max_age, wanted.max_age)
    sizes = (present.max_bytes, wanted.max_bytes)
    return msgspec.structs.replace(
        present,
        subjects=present.subjects + added,
        max_age=0 if 0 in ages else max(ages),
        max_bytes=-1 if min(sizes) < 0 else max(sizes),
        allow_direct=present.allow_direct or wanted.allow_direct,
    )


def _decode(body: bytes, kind: type[A]) -> A:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise HoldfastError(Code.STORE_FAILED, "The broker's answer does not decode.") from error


def _refuse(what: str, failure: _Failure | None) -> NoReturn:
    why = "no answer" if failure is None else failure.description[:200]
    raise HoldfastError(Code.STORE_FAILED, f"The broker refuses {what}: {why}.")
