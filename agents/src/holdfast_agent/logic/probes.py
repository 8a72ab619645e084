"""Golden probes: the request that each makes, and whether the whole answer is the signed one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, assert_never

import msgspec
from holdfast_bundles.logic.probes import EmbeddingCosine, Exact, Probe, TokenPrefix
from holdfast_protocol import codec
from holdfast_protocol.errors import Code, HoldfastError

_QUOTE_LENGTH: Final = 60
_MAX_TOKENS: Final = 64


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    message: _Message | None = None


class _Embedding(msgspec.Struct):
    embedding: list[float]


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    data: list[_Embedding] = []


def request_body(probe: Probe) -> bytes:
    """Return the engine's request: greedy and short unless the probe says otherwise."""
    body: dict[str, object] = {}
    if probe.op != "embed":
        body |= {"temperature": 0, "seed": 0, "max_tokens": _MAX_TOKENS}
    body |= probe.parameters
    # After the parameters, so that none of them can replace the question or ask for a stream.
    body |= {"stream": False}
    if probe.op == "chat":
        body["messages"] = [{"role": "user", "content": probe.input}]
    else:
        body["input" if probe.op == "embed" else "prompt"] = probe.input
    return codec.encode(body)


def check(probe: Probe, answer: bytes) -> None:
    """Return if ``answer`` (the engine's whole JSON) is as expected.

    Raises ``PROBE_FAILED`` naming the probe and what differed.
    """
    why = _difference(probe, answer)
    if why is not None:
        raise HoldfastError(Code.PROBE_FAILED, f"Golden probe {probe.name} failed: {why}.")


def _difference(probe: Probe, data: bytes) -> str | None:
    try:
        answer = msgspec.json.decode(data, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "the answer has not the expected shape"
    match probe.expect:
        case EmbeddingCosine():
            vector = answer.data[0].embedding if answer.data else []
            return _angle_difference(probe.expect, vector)
        case Exact():
            text = _text(answer)
            return None if text == probe.expect.text else _text_difference(probe.expect.text, text)
        case TokenPrefix():
            text = _text(answer)
            if text is not None and text.startswith(probe.expect.text):
                return None
            return _text_difference(probe.expect.text, text)
        case _:
            assert_never(probe.expect)


def _text(answer: _Answer) -> str | None:
    if not answer.choices:
        return None
    choice = answer.choices[0]
    return choice.message.content if choice.message is not None else choice.text


def _text_difference(expected: str, text: str | None) -> str:
    if text is None:
        return "there is no text in the answer"
    return f"{text[:_QUOTE_LENGTH]!a} instead of {expected[:_QUOTE_LENGTH]!a}"


def _angle_difference(expected: EmbeddingCosine, vector: Sequence[float]) -> str | None:
    if len(vector) != len(expected.vector):
        return f"{len(vector)} dimensions instead of {len(expected.vector)}"
    cosine = _cosine(expected.vector, vector)
    # Written so that a NaN fails as well.
    if cosine is not None and cosine >= expected.min:
        return None
    found = "none" if cosine is None else f"{cosine:.4f}"
    return f"the cosine is {found}, less than {expected.min:g}"


def _cosine(one: Sequence[float], other: Sequence[float]) -> float | None:
    norms = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in other))
    if not norms > 0 or not math.isfinite(norms):
        return None
    return sum(x * y for x, y in zip(one, other, strict=True)) / norms
