"""Golden probes are judged on the whole answer, and memory is estimated from the header."""

from __future__ import annotations

import json
import math

import pytest
from holdfast_agent.logic.estimate import ModelHeader, estimate
from holdfast_agent.logic.probes import check, request_body
from holdfast_bundles.logic.probes import EmbeddingCosine, Exact, Probe, TokenPrefix
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import MIB
from holdfast_protocol.messages import EngineSettings

CHAT = Probe(name="hi", op="chat", input="Hi", expect=Exact(text="Hello!"))
COMPLETE = Probe(name="go", op="complete", input="Go", expect=TokenPrefix(text="on"))
EMBED = Probe(
    name="e", op="embed", input="x", expect=EmbeddingCosine(vector=[1.0, 0.0], min=0.9)
)  # fmt: skip


def chat(text: str | None) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def complete(text: str) -> bytes:
    return json.dumps({"choices": [{"text": text}]}).encode()


def embed(*vector: float) -> bytes:
    return json.dumps({"data": [{"embedding": vector}]}).encode()


@pytest.mark.parametrize(
    ("probe", "answer"),
    [(CHAT, chat("Hello!")), (COMPLETE, complete("on and on")), (COMPLETE, complete("on")),
     (EMBED, embed(2.0, 0.1)), (EMBED, embed(0.9, math.sqrt(1 - 0.81) - 1e-9))],
)  # fmt: skip
def test_right_answers_pass(probe: Probe, answer: bytes) -> None:
    check(probe, answer)


@pytest.mark.parametrize(
    ("probe", "answer", "words"),
    [
        (CHAT, chat("Hello"), "'Hello' instead of 'Hello!'"),
        (CHAT, chat("Hello! "), "instead of"),
        (CHAT, chat(None), "no text"),
        (CHAT, b'{"choices":[]}', "no text"),
        (CHAT, b"{}", "no text"),
        (CHAT, b"", "shape"),
        (CHAT, b'{"choices":7}', "shape"),
        (COMPLETE, complete("off"), "'off' instead of 'on'"),
        (EMBED, embed(0.0, 1.0), "the cosine is 0.0000, less than 0.9"),
        (EMBED, embed(1.0), "1 dimensions instead of 2"),
        (EMBED, embed(1.0, 0.0, 0.0), "3 dimensions"),
        (EMBED, embed(0.0, 0.0), "none"),
        (EMBED, b'{"data":[]}', "0 dimensions"),
        (EMBED, b'{"data":[{"embedding":[NaN,1]}]}', "shape"),
        (EMBED, b'{"data":[{"embedding":[1e308,1e308]}]}', "none"),
    ],
)
def test_wrong_answers_fail_and_say_why(probe: Probe, answer: bytes, words: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        check(probe, answer)
    assert caught.value.code is Code.PROBE_FAILED
    assert words in caught.value.message
    assert f"probe {probe.name} " in caught.value.message


def test_a_probe_cannot_replace_its_own_question() -> None:
    parameters: dict[str, int | float | str | bool] = {
        "stream": True,
        "messages": "x",
        "max_tokens": 3,
    }
    probe = Probe(name="p", op="chat", input="Hi", expect=Exact(text="x"), parameters=parameters)
    assert json.loads(request_body(probe)) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
        "temperature": 0,
        "seed": 0,
        "max_tokens": 3,
    }
    assert json.loads(request_body(EMBED)) == {"input": "x", "stream": False}


def header(encoder: bool = False) -> ModelHeader:
    return ModelHeader(
        weights_bytes=200 * MIB,
        kv_heads_total=0 if encoder else 16 * 4,
        key_length=64,
        value_length=64,
        embedding_length=1024,
        vocabulary=8000,
        context_length=4096,
        encoder=encoder,
    )


def test_the_estimate_is_the_engines_own_figure() -> None:
    """16 blocks of 4 heads of 64 over 4096 cells: the engine logged 64 MiB, and 28.5 to compute."""
    found = estimate(header(), EngineSettings(context_length=1024, parallel=4))
    assert found.kv_bytes == 64 * MIB
    assert 28.5 * MIB <= found.compute_bytes <= 40 * MIB
    assert found.total_bytes >= 292 * MIB
    on_gpu = estimate(header(), EngineSettings(context_length=1024, parallel=4), gpu=True)
    assert on_gpu.total_bytes == found.total_bytes + 512 * MIB


def test_the_cache_is_padded_and_encoders_have_none() -> None:
    assert estimate(header(), EngineSettings(context_length=1, parallel=1)).kv_bytes == 4 * MIB
    assert estimate(header(encoder=True), EngineSettings()).kv_bytes == 0
