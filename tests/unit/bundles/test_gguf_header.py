from __future__ import annotations

import struct
from pathlib import Path

import pytest
from holdfast_bundles.logic import gguf_header
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import GGUF_ARRAY_ITEMS, GGUF_BLOCKS, GGUF_KEYS, GGUF_TENSORS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.bundles.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    I32,
    KEYS,
    STRING,
    U32,
    U64,
    File,
    Tensor,
    array,
    build,
    changed,
    model_of,
    text,
    u32,
)
from tools.demo.models import tiny_llama

GOOD = build(File())


def parse(data: bytes) -> gguf_header.GgufFacts:
    return gguf_header.parse(data, len(data))


def test_facts_of_a_plain_file() -> None:
    facts = parse(GOOD)
    assert (facts.architecture, facts.context_length, facts.block_count) == ("llama", 512, 2)
    assert facts.tensor_bytes == 64 * 4 * 4 + 64 * 4 * 2
    assert facts.operations == ["complete"]
    # Two blocks, two key/value heads each of 16, keys and values of two bytes.
    assert facts.kv_bytes_per_token == 2 * 2 * (16 + 16) * 2


def test_facts_of_a_generated_file(tmp_path: Path) -> None:
    facts = parse(tiny_llama(tmp_path / "tiny.gguf", 1).read_bytes())
    assert facts.operations == ["chat", "complete"]
    assert (facts.embedding_length, facts.precision) == (64, "f16")


def test_heads_may_differ_per_block() -> None:
    name = "llama.attention.head_count_kv"
    facts = parse(build(File(keys=changed(name, ARRAY, array(I32, [u32(1), u32(3)])))))
    assert facts.kv_heads_total == 4


def test_embedding_models_embed() -> None:
    keys = changed("llama.attention.causal", BOOL, b"\0")
    facts = parse(build(File(keys=keys)))
    assert (facts.operations, facts.kv_bytes_per_token) == (["embed"], 0)
    facts = parse(build(File(keys=changed("llama.pooling_type", U32, u32(1)))))
    assert facts.operations == ["embed"]


def without(*names: str) -> File:
    return File(keys=tuple(key for name, key in KEYS.items() if name not in names))


def tokens(*items: bytes) -> bytes:
    return array(STRING, [text(item) for item in items])


HUGE = 2**63
BAD: dict[str, bytes] = {
    "empty": b"",
    "magic": build(File(magic=b"GGML")),
    "version 1": build(File(version=u32(1))),
    "version 4": build(File(version=u32(4))),
    "big endian": build(File(version=struct.pack(">I", 3))),
    "no tensors": build(File(tensors=())),
    "tensor count huge": build(File(tensor_count=HUGE)),
    "tensor count past the bound": build(File(tensor_count=GGUF_TENSORS + 1)),
    "key count huge": build(File(key_count=HUGE)),
    "key count past the bound": build(File(key_count=GGUF_KEYS + 1)),
    "key count zero": build(File(key_count=0)),
    "key twice": build(File(keys=(*KEYS.values(), KEYS["llama.block_count"]))),
    "key name": build(File(keys=(*KEYS.values(), (b"a\0b", U32, u32(1))))),
    "key name empty": build(File(keys=(*KEYS.values(), ("", U32, u32(1))))),
    "value type": build(File(keys=changed("x.y", 13, b""))),
    "string length": build(File(keys=changed("x.y", STRING, struct.pack("<Q", HUGE)))),
    "array length": build(File(keys=changed("x.y", ARRAY, array(U32, [], HUGE)))),
    "array past the bound": build(
        File(keys=changed("x.y", ARRAY, array(U32, [], GGUF_ARRAY_ITEMS + 1)))
    ),
    "array of arrays": build(File(keys=changed("x.y", ARRAY, array(ARRAY, [], 1)))),
    "string array length": build(File(keys=changed("x.y", ARRAY, array(STRING, [], 10**6)))),
    "truth value": build(File(keys=changed("llama.attention.causal", BOOL, b"\x02"))),
    "causal type": build(File(keys=changed("llama.attention.causal", U32, u32(0)))),
    "no architecture": build(without("general.architecture")),
    "architecture type": build(File(keys=changed("general.architecture", U32, u32(1)))),
    "architecture name": build(File(keys=changed("general.architecture", STRING, text("../x")))),
    "no blocks": build(without("llama.block_count")),
    "zero blocks": build(File(keys=changed("llama.block_count", U32, u32(0)))),
    "blocks past the bound": build(
        File(keys=changed("llama.block_count", U32, u32(GGUF_BLOCKS + 1)))
    ),
    "blocks type": build(File(keys=changed("llama.block_count", F32, b"\0\0\0\0"))),
    "context": build(File(keys=changed("llama.context_length", U64, struct.pack("<Q", HUGE)))),
    "heads per block": build(
        File(keys=changed("llama.attention.head_count_kv", ARRAY, array(I32, [u32(1)])))
    ),
    "negative heads": build(
        File(keys=changed("llama.attention.head_count", I32, struct.pack("<i", -1)))
    ),
    "shard": build(File(keys=changed("split.count", U32, u32(2)))),
    "alignment zero": build(File(keys=changed("general.alignment", U32, u32(0)))),
    "alignment odd": build(File(keys=changed("general.alignment", U32, u32(48)))),
    "alignment huge": build(File(keys=changed("general.alignment", U32, u32(1 << 30)))),
    "alignment type": build(File(keys=changed("general.alignment", STRING, text("32")))),
    "byte token negative": build(
        File(keys=changed("tokenizer.ggml.tokens", ARRAY, tokens(b"a", b"<0x-1>")))
    ),
    "byte token long": build(
        File(keys=changed("tokenizer.ggml.tokens", ARRAY, tokens(b"a", b"<0x100>")))
    ),
    "byte token plain": build(
        File(keys=changed("tokenizer.ggml.tokens", ARRAY, tokens(b"a", b"b")))
    ),
    "token type unknown": build(
        File(keys=changed("tokenizer.ggml.token_type", ARRAY, array(I32, [u32(1), u32(7)])))
    ),
    "token types fewer": build(
        File(keys=changed("tokenizer.ggml.token_type", ARRAY, array(I32, [u32(1)])))
    ),
    "token types kind": build(
        File(keys=changed("tokenizer.ggml.token_type", ARRAY, array(U32, [u32(1), u32(6)])))
    ),
    "scores fewer": build(
        File(keys=changed("tokenizer.ggml.scores", ARRAY, array(F32, [b"\0" * 4])))
    ),
    "tokens kind": build(
        File(keys=changed("tokenizer.ggml.tokens", ARRAY, array(U32, [u32(1)] * 2)))
    ),
    "tensor twice": build(File(tensors=(Tensor("a", (64,)), Tensor("a", (64,))))),
    "tensor without name": build(File(tensors=(Tensor("", (64,)),))),
    "tensor name long": build(File(tensors=(Tensor("a" * 64, (64,)),))),
    "no dimensions": build(File(tensors=(Tensor("a", (), size=0),))),
    "five dimensions": build(File(tensors=(Tensor("a", (1, 1, 1, 1, 1)),))),
    "dimension zero": build(File(tensors=(Tensor("a", (64, 0)),))),
    "product overflow": build(File(tensors=(Tensor("a", (2**33, 2**33), size=0),))),
    "product wraps to small": build(File(tensors=(Tensor("a", (2**62, 2**2), size=0),))),
    "padded size wraps": build(File(tensors=(Tensor("a", (2**64 - 31,), 24, size=0),))),
    "tensor type": build(File(tensors=(Tensor("a", (64,), 99),))),
    "removed tensor type": build(File(tensors=(Tensor("a", (64,), 4),))),
    "block does not divide": build(File(tensors=(Tensor("a", (33,), 8, size=34),))),
    "overlap": build(File(tensors=(Tensor("a", (64,)), Tensor("b", (64,), offset=0)))),
    "hole": build(File(tensors=(Tensor("a", (64,)), Tensor("b", (64,), offset=512)))),
    "unaligned": build(File(tensors=(Tensor("a", (64,)), Tensor("b", (64,), offset=257)))),
    "outside": build(File(tensors=(Tensor("a", (64,), offset=HUGE),))),
    "truncated data": build(File(cut=1)),
    "truncated header": GOOD[:100],
    "trailing bytes": build(File(tail=b"PK\x03\x04")),
    "pickle": b"\x80\x04\x95" + b"\0" * 64,
    "zip": b"PK\x03\x04" + b"\0" * 64,
    "51 bytes that hang others": b"GGUF" + u32(3) + struct.pack("<QQ", 1, 1)
    + text("a") + u32(ARRAY) + struct.pack("<IQ", U32, HUGE),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_headers_are_refused(name: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        parse(BAD[name])
    assert caught.value.code is Code.FORMAT_REFUSED


def test_bounds_are_met_exactly() -> None:
    keys = changed("llama.block_count", U32, u32(GGUF_BLOCKS))
    assert parse(build(File(keys=keys))).block_count == GGUF_BLOCKS
    assert parse(model_of(1 << 16)).tensor_bytes >= 1 << 16


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(GOOD)),
)
def test_mutations_raise_nothing_else(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(GOOD)
    for position, value in changes:
        data[position] = value
    try:
        parse(bytes(data[:cut]))
    except HoldfastError as error:
        assert error.code is Code.FORMAT_REFUSED  # noqa: PT017  the point is that nothing else rises


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2**63))
def test_any_bytes_raise_nothing_else(data: bytes, size: int) -> None:
    try:
        gguf_header.parse(b"GGUF" + u32(3) + data, size)
    except HoldfastError as error:
        assert error.code is Code.FORMAT_REFUSED  # noqa: PT017  the point is that nothing else rises
