"""The publisher against a stream that remembers, forgets, or belongs to somebody else by now."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_controller.adapters.publisher import Publisher, Sending
from holdfast_controller.logic.io import PublishDocument
from holdfast_protocol import codec, subjects
from holdfast_protocol.bus.memory import MemoryBroker, MemoryBus
from holdfast_protocol.bus.port import StreamSpec
from holdfast_protocol.messages import DesiredClaims
from holdfast_protocol.signed import DESIRED_CONTEXT, sign

KEY = Ed25519PrivateKey.generate()
STREAM = StreamSpec(
    name=subjects.DESIRED_STREAM,
    subjects=(subjects.ALL_DESIRED,),
    size_bytes_max=1 << 20,
    last_value=True,
)


@pytest.fixture
async def bus() -> MemoryBus:
    made = MemoryBus(MemoryBroker(random.Random(1)), "controller")
    await made.ensure_stream(STREAM)
    return made


def publisher(bus: MemoryBus) -> Publisher:
    return Publisher(bus, "de", KEY.public_key().public_bytes_raw())


def document(generation: int, epoch: int = 1, more: str = "") -> PublishDocument:
    content = DesiredClaims(broker=f"b{more}", epoch=epoch, generation=generation, accounts=())
    body = codec.encode(sign(codec.encode(content), KEY, DESIRED_CONTEXT))
    return PublishDocument(receiver="de-1", epoch=epoch, generation=generation, body=body)


async def stored(bus: MemoryBus) -> bytes | None:
    return await bus.last_value("de", subjects.DESIRED_STREAM, subjects.desired("de-1"))


async def test_documents_follow_one_another_and_a_restarted_controller_goes_on(
    bus: MemoryBus,
) -> None:
    first = publisher(bus)
    assert await first.publish(document(1)) is Sending.SENT
    assert await first.publish(document(2)) is Sending.SENT
    second = publisher(bus)
    assert await second.publish(document(2)) is Sending.SENT
    assert await second.publish(document(3)) is Sending.SENT
    assert await stored(bus) == document(3).body


@pytest.mark.parametrize(
    "newer",
    [document(9), document(1, epoch=2), document(5, more="x")],
    ids=["generation", "epoch", "content"],
)
async def test_a_newer_or_different_document_of_our_key_fences(
    bus: MemoryBus, newer: PublishDocument
) -> None:
    mine = publisher(bus)
    assert await mine.publish(document(4)) is Sending.SENT
    assert await publisher(bus).publish(newer) is Sending.SENT
    assert await mine.publish(document(5)) is Sending.FENCED
    assert await publisher(bus).publish(document(5)) is Sending.FENCED
    assert await stored(bus) == newer.body


async def test_garbage_and_a_stranger_s_document_are_written_over(bus: MemoryBus) -> None:
    await bus.stream_publish(subjects.desired("de-1"), b"garbage")
    assert await publisher(bus).publish(document(1)) is Sending.SENT
    other = Ed25519PrivateKey.generate()
    content = DesiredClaims(broker="b", epoch=99, generation=99, accounts=())
    body = codec.encode(sign(codec.encode(content), other, DESIRED_CONTEXT))
    await bus.stream_publish(subjects.desired("de-1"), body)
    assert await publisher(bus).publish(document(2)) is Sending.SENT
    assert await stored(bus) == document(2).body


async def test_a_stream_that_was_wiped_unnoticed_is_filled_again(bus: MemoryBus) -> None:
    mine = publisher(bus)
    assert await mine.publish(document(1)) is Sending.SENT
    empty = MemoryBus(MemoryBroker(random.Random(2)), "controller")
    await empty.ensure_stream(STREAM)
    mine._bus = empty  # the same address, another store behind it
    assert await mine.publish(document(2)) is Sending.SENT
    assert await stored(empty) == document(2).body


async def test_a_bus_that_is_away_fails_and_nothing_is_believed_sent(bus: MemoryBus) -> None:
    mine = publisher(bus)
    bus.disconnect()
    assert await mine.publish(document(1)) is Sending.FAILED
    bus.reconnect()
    assert await mine.publish(document(1)) is Sending.SENT
