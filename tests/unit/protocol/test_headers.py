"""Header blocks: what is accepted, and that nothing raises."""

from __future__ import annotations

import pytest
from holdfast_protocol.bus.guarded import to_message
from holdfast_protocol.bus.headers import Block, parse
from holdfast_protocol.limits import HEADER_LINES, SUBJECT_BYTES
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"", Block("", {})),
        (b"NATS/1.0\r\n\r\n", Block("", {})),
        (b"NATS/1.0 503\r\n\r\n", Block("503", {})),
        (b"NATS/1.0 404 No Messages\r\n\r\n", Block("404", {})),
        (b"NATS/1.0 408 Request Timeout\r\nA: 1\r\n\r\n", Block("408", {"A": "1"})),
        (b"NATS/1.0\r\nA:  b c \r\nD:e\r\n\r\n", Block("", {"A": "b c", "D": "e"})),
        ("NATS/1.0\r\nA: gr\u00fc\u00df\r\n\r\n".encode(), Block("", {"A": "gr\u00fc\u00df"})),
        (b"NATS/1.0\r\nA: b\r\na: c\r\n\r\n", Block("", {"A": "b", "a": "c"})),
    ],
)
def test_well_formed_blocks(block: bytes, expected: Block) -> None:
    assert parse(block) == expected


def test_lines_at_the_bound_and_one_past_it() -> None:
    def block(count: int) -> bytes:
        return b"NATS/1.0\r\n" + b"".join(b"A%d: x\r\n" % n for n in range(count)) + b"\r\n"

    at_bound = parse(block(HEADER_LINES))
    assert at_bound is not None
    assert len(at_bound.headers) == HEADER_LINES
    assert parse(block(HEADER_LINES + 1)) is None


@given(st.binary(max_size=300), st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_raise(block: bytes, subject: bytes, reply: bytes) -> None:
    to_message(subject, reply, b"", block)
    to_message(subject, reply, b"", b"NATS/1.0" + block + b"\r\n\r\n")


def test_subjects_at_the_bound_and_one_past_it() -> None:
    assert to_message(b"s" * SUBJECT_BYTES, b"", b"", None) is not None
    assert to_message(b"s" * (SUBJECT_BYTES + 1), b"", b"", None) is None
    assert to_message(b"s", b"r" * (SUBJECT_BYTES + 1), b"", None) is None
