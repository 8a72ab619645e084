"""Golden probes: what a model must answer, signed with it by its vendor.

A probe file is a JSON list; each entry is one probe::

    [{"name": "greeting", "op": "chat", "input": "Say hello.",
      "parameters": {"temperature": 0, "max_tokens": 8},
      "expect": {"kind": "exact", "text": "Hello!"}},
     {"name": "login", "op": "embed", "input": "reset my password",
      "expect": {"kind": "embedding_cosine", "vector": [0.1, 0.2], "min": 0.99}}]

``op`` is ``embed``, ``chat`` or ``complete``. ``exact`` compares the whole text,
``token_prefix`` its beginning, ``embedding_cosine`` the angle to ``vector`` (at least ``min``).
``parameters`` are sampling parameters of the request: numbers, texts and truth values only.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec
from holdfast_protocol.codec import encode, strict_json
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import is_token
from holdfast_protocol.limits import DOCUMENT_BYTES, PROBES_MAX

MEDIA_TYPE: Final = "application/vnd.holdfast.probes.v1+json"


class EmbeddingCosine(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="embedding_cosine"
):
    """The cosine between the answer and ``vector`` is at least ``min``."""

    vector: list[float]
    min: float


class Exact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="exact"):
    """The answer is ``text``."""

    text: str


class TokenPrefix(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="token_prefix"):
    """The answer begins with ``text``."""

    text: str


Expectation = EmbeddingCosine | Exact | TokenPrefix


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question with its expected answer."""

    name: str
    op: Literal["embed", "chat", "complete"]
    input: str
    expect: Expectation
    parameters: dict[str, int | float | str | bool] = {}


def parse(data: bytes, name: str) -> list[Probe]:
    """Return the probes of a probe file; raises ``METADATA_MALFORMED`` naming ``name``."""
    value = strict_json(data, cap_bytes=DOCUMENT_BYTES, name=name, floats=True)
    try:
        probes = msgspec.convert(value, list[Probe])
    except msgspec.ValidationError as error:
        raise _malformed(name, str(error)) from error
    if not 0 < len(probes) <= PROBES_MAX:
        raise _malformed(name, f"it holds {len(probes)} probes, 1 to {PROBES_MAX} are allowed")
    for probe in probes:
        _check(probe, name)
    if len({probe.name for probe in probes}) != len(probes):
        raise _malformed(name, "two probes have the same name")
    return probes


def to_bytes(probes: list[Probe]) -> bytes:
    """Return the layer that carries ``probes``."""
    return encode(probes)


def _check(probe: Probe, name: str) -> None:
    if not is_token(probe.name):
        raise _malformed(name, "a probe's name is not [a-z0-9-]{1,63}")
    embeds = isinstance(probe.expect, EmbeddingCosine)
    if embeds != (probe.op == "embed"):
        raise _malformed(name, f"probe {probe.name} expects what {probe.op} does not answer")
    if isinstance(probe.expect, EmbeddingCosine):
        norm = math.sqrt(sum(x * x for x in probe.expect.vector))
        if not (norm > 0 and math.isfinite(norm) and -1 <= probe.expect.min <= 1):
            raise _malformed(name, f"probe {probe.name} has no usable vector or bound")
    elif not probe.expect.text:
        raise _malformed(name, f"probe {probe.name} expects an empty text, which proves nothing")


def _malformed(name: str, why: str) -> HoldfastError:
    return HoldfastError(Code.METADATA_MALFORMED, f"{name} is not a probe file: {why}.", file=name)
