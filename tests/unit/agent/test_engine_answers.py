"""What engines say: framing, events, errors, numbers, last words."""

from __future__ import annotations

import itertools

import pytest
from holdfast_agent.logic.diagnosis import diagnose
from holdfast_agent.logic.engine_answer import Usage, chunk_of, refusal
from holdfast_agent.logic.engine_stream import Chunked, Events, parse_head
from holdfast_agent.logic.metrics import parse
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import ENGINE_EVENT_BYTES, ENGINE_HEAD_BYTES
from hypothesis import given
from hypothesis import strategies as st

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"


def test_heads() -> None:
    head = parse_head(HEAD)
    assert (head.status, head.events, head.chunked, head.length) == (200, True, True, None)
    head = parse_head(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\nContent-Type: a/json")
    assert (head.status, head.events, head.chunked, head.length) == (400, False, False, 12)


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/2 200 OK", b"HTTP/1.1", b"HTTP/1.1 2x0 OK", b"HTTP/1.1 200 OK\r\nno colon",
     b"HTTP/1.1 200 OK\r\nContent-Length: -1", b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 13,
     b"HTTP/1.1 200 OK\r\nX: " + b"y" * ENGINE_HEAD_BYTES],
)  # fmt: skip
def test_malformed_heads_are_refused(data: bytes) -> None:
    with pytest.raises(HoldfastError) as caught:
        parse_head(data)
    assert caught.value.code is Code.ENGINE_FAILED


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 10**6)))
def test_chunks_survive_any_split(chunks: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    decoder = Chunked()
    content = b"".join(decoder.feed(piece) for piece in split(wire, cuts))
    assert content == b"".join(chunks)
    assert decoder.finished


@pytest.mark.parametrize("data", [b"zz\r\n", b"-1\r\n", b"\r\n\r\n", b"1" * 300, b"fffffffff\r\n"])
def test_malformed_chunks_are_refused(data: bytes) -> None:
    with pytest.raises(HoldfastError) as caught:
        Chunked().feed(data)
    assert caught.value.code is Code.ENGINE_FAILED


@given(st.lists(st.integers(0, 10**6)))
def test_events_survive_any_split(cuts: list[int]) -> None:
    wire = b': ping\n\ndata: {"a":1}\n\n:\n\ndata: {"b":"x y"}\n\ndata: [DONE]\n\n'
    events = Events()
    assert [e for piece in split(wire, cuts) for e in events.feed(piece)] == [
        b'{"a":1}',
        b'{"b":"x y"}',
    ]
    assert events.done


def test_an_event_has_a_bound() -> None:
    Events().feed(b"x" * ENGINE_EVENT_BYTES)
    with pytest.raises(HoldfastError) as caught:
        Events().feed(b"x" * (ENGINE_EVENT_BYTES + 1))
    assert caught.value.code is Code.ENGINE_FAILED


def test_usage_is_found_where_it_is_a_key_only() -> None:
    said = b'{"choices":[{"delta":{"content":"\\"usage\\":{\\"total_tokens\\":9}"}}]}'
    assert chunk_of([said], operation="chat", final=False).usage is None
    counted = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}'
    chunk = chunk_of([said, counted], operation="chat", final=True)
    assert chunk.usage == Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
    assert chunk.objects == (said, counted)


def test_an_error_within_a_stream_is_raised() -> None:
    with pytest.raises(HoldfastError) as caught:
        chunk_of(
            [b'{"error":{"code":500,"message":"boom","type":"server_error"}}'],
            operation="chat",
            final=False,
        )
    assert caught.value.code is Code.ENGINE_FAILED
    assert "boom" in caught.value.message
    said = b'{"choices":[{"delta":{"content":"\\"error\\": 1"}}],"error":null}'
    assert chunk_of([said], operation="chat", final=False).objects == (said,)


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (400, b'{"error":{"code":400,"message":"request (50 tokens) exceeds","type":'
              b'"exceed_context_size_error","n_prompt_tokens":50,"n_ctx":32}}',
         Code.TOO_LARGE, "50 tokens, more than 32"),
        (500, b'{"error":{"code":500,"message":"input (900 tokens) is too large to process. '
              b'increase the physical batch size (current batch size: 128)"}}',
         Code.TOO_LARGE, "900 tokens"),
        (501, b'{"error":{"code":501,"message":"no","type":"not_supported_error"}}',
         Code.OPERATION_UNSUPPORTED, "embed"),
        (500, b'{"error":{"message":"This server does not support completions","type":"x"}}',
         Code.OPERATION_UNSUPPORTED, "embed"),
        (400, b'{"error":{"message":"Expected messages.","type":"invalid_request_error"}}',
         Code.BAD_REQUEST, "Expected messages."),
        (400, b"", Code.BAD_REQUEST, "status 400"),
        (500, b"not json", Code.ENGINE_FAILED, "500"),
        (503, b'{"error":"loading"}', Code.ENGINE_FAILED, "loading"),
    ],
)  # fmt: skip
def test_the_engines_errors_get_our_codes(status: int, body: bytes, code: Code, words: str) -> None:
    error = refusal(status, body, "embed")
    assert error.code is code
    assert words in error.message


def test_metrics() -> None:
    text = (
        '# HELP x y\nllamacpp:requests_processing 1\nlabelled{a="b"} 3\nbad x\nnan NaN\n\ny 2.6\n'
    )
    assert parse(text) == {"llamacpp:requests_processing": 1, "y": 3}


@pytest.mark.parametrize(
    ("returncode", "lines", "code", "words"),
    [
        (3, ["E gguf: tensor 'a' data is not within the file bounds, model is corrupted",
             "E llama_model_load: error loading model: x", "load failed: y"],
         Code.FORMAT_REFUSED, "within the file bounds"),
        (3, ["ggml: failed to allocate buffer", "error loading model"], Code.VRAM_DRIFT,
         "failed to allocate"),
        (3, ["something else"], Code.ENGINE_FAILED, "something else"),
        (-9, [], Code.ENGINE_FAILED, "signal 9"),
        (-6, ["/x/ggml.c:12: fatal error"], Code.ENGINE_FAILED, "fatal error"),
        (-11, ["failed to read magic"], Code.ENGINE_FAILED, "signal 11"),
        (1, [], Code.ENGINE_FAILED, "status 1"),
        (None, [], Code.ENGINE_FAILED, "does not answer"),
    ],
)  # fmt: skip
def test_last_words_become_a_code(
    returncode: int | None, lines: list[str], code: Code, words: str
) -> None:
    found = diagnose("slot-1", returncode, lines)
    assert found.code is code
    assert words in found.message
    assert found.message.endswith(".")
    assert "slot-1" in found.message
