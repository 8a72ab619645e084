"""A bounded reader of GGUF headers (versions 2 and 3, little endian): facts, or a refusal.

A signed model can still attack the engine that maps it, so everything the engine would believe is
checked first: counts, lengths, types, alignment, and that the tensors lie one after the other
inside the file, as ``ggml``'s own loader demands. Bytes in, values out: no file, no memory map and
no third-party reader here. Every refusal is ``FORMAT_REFUSED``; nothing else is ever raised.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from holdfast_protocol.limits import (
    GGUF_ALIGNMENT,
    GGUF_ARRAY_ITEMS,
    GGUF_BLOCKS,
    GGUF_HEADER_BYTES,
    GGUF_KEYS,
    GGUF_STRING_BYTES,
    GGUF_TENSORS,
)

from holdfast_bundles.logic.gguf_cursor import (
    ARRAY,
    BOOL,
    FLOAT32,
    INT32,
    INTEGERS,
    STRING,
    UINT32,
    Cursor,
    refuse,
)

_KEY: Final = re.compile(rb"[a-z0-9_]+([.-][A-Za-z0-9_-]+)*")
_TENSOR_NAME_BYTES: Final = 63
_ARCHITECTURE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_BYTE_TOKEN: Final = re.compile(rb"<0x[0-9A-F]{2}>")
_TOKEN_TYPE_BYTE: Final = 6
_FILE_BYTES_MAX: Final = 1 << 50
_CONTEXT_MAX: Final = 1 << 28
_WIDTH_MAX: Final = 1 << 20

# ggml type -> (elements of a block, bytes of a block). Types that ggml removed are not listed.
_TYPES: Final[dict[int, tuple[int, int]]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 40), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4),
    27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip

# How files are called by the type that holds most of their bytes.
_PRECISION: Final[dict[int, str]] = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 10: "q2_k",
    11: "q3_k", 12: "q4_k", 13: "q5_k", 14: "q6_k", 30: "bf16", 39: "mxfp4",
}  # fmt: skip

_TOKENS: Final = "tokenizer.ggml.tokens"
_KINDS: Final = "tokenizer.ggml.token_type"
_VOCABULARY: Final = {_TOKENS: STRING, _KINDS: INT32, "tokenizer.ggml.scores": FLOAT32}

Scalar = int | float | bool | bytes


class GgufFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a header says about a model, each number within the bounds of this reader.

    ``kv_heads_total`` is the number of key/value heads over all blocks; ``pooling`` is ggml's
    pooling type or ``None``; ``tensor_bytes`` are the bytes of all tensors without padding.
    """

    architecture: str
    context_length: int
    embedding_length: int
    block_count: int
    head_count: int
    kv_heads_total: int
    key_length: int
    value_length: int
    causal: bool
    pooling: int | None
    chat_template: bool
    tensor_count: int
    tensor_bytes: int
    parameter_count: int
    precision: str

    @property
    def operations(self) -> list[str]:
        """Return what an engine can be asked: ``embed``, or ``complete`` and perhaps ``chat``."""
        if self.pooling or not self.causal:
            return ["embed"]
        return ["chat", "complete"] if self.chat_template else ["complete"]

    @property
    def kv_bytes_per_token(self) -> int:
        """Return the bytes one token holds in a 16-bit key/value cache; 0 without a cache."""
        if not self.causal:
            return 0
        return self.kv_heads_total * (self.key_length + self.value_length) * 2


class _Vocabulary(msgspec.Struct):
    """Lengths and odd tokens of the vocabulary, gathered on the way."""

    tokens: int | None = None
    scores: int | None = None
    types: bytes | None = None
    angled: dict[int, bytes] = msgspec.field(default_factory=dict)


class _Keys(msgspec.Struct):
    """The metadata of a header: scalars, short integer arrays, and the vocabulary."""

    scalars: dict[str, tuple[int, Scalar]] = msgspec.field(default_factory=dict)
    lists: dict[str, list[int]] = msgspec.field(default_factory=dict)
    vocabulary: _Vocabulary = msgspec.field(default_factory=_Vocabulary)


def parse(prefix: bytes, file_bytes: int) -> GgufFacts:
    """Return the facts of a GGUF file of ``file_bytes`` that begins with ``prefix``.

    ``prefix`` holds the whole header (at most ``GGUF_HEADER_BYTES``); the tensors' bytes are not
    needed. Raises ``FORMAT_REFUSED``.
    """
    if not 0 < file_bytes <= _FILE_BYTES_MAX or len(prefix) > file_bytes:
        raise refuse("the file size is out of range")
    cursor = Cursor(prefix[:GGUF_HEADER_BYTES])
    if cursor.take(4) != b"GGUF":
        raise refuse("it does not begin with GGUF")
    version = cursor.u32()
    if version not in (2, 3):
        raise refuse(f"version {version} is not 2 or 3 in little endian")
    tensor_count = cursor.u64()
    key_count = cursor.u64()
    if not 0 < tensor_count <= GGUF_TENSORS:
        raise refuse(f"{tensor_count} tensors")
    if not 0 < key_count <= GGUF_KEYS:
        raise refuse(f"{key_count} metadata keys")
    keys = _read_keys(cursor, key_count)
    _check_vocabulary(keys.vocabulary)
    return _facts(keys, _read_tensors(cursor, tensor_count, _alignment(keys), file_bytes))


def _read_keys(cursor: Cursor, count: int) -> _Keys:
    keys = _Keys()
    seen: set[bytes] = set()
    for _ in range(count):
        raw = cursor.string(256)
        if not _KEY.fullmatch(raw):
            raise refuse("a metadata key has an unusual name")
        if raw in seen:
            raise refuse(f"metadata key {raw.decode('ascii')} stands twice")
        seen.add(raw)
        name = raw.decode("ascii")
        kind = cursor.u32()
        if kind == ARRAY:
            _read_array(cursor, name, keys)
        elif kind == STRING:
            keys.scalars[name] = (kind, cursor.string(GGUF_STRING_BYTES))
        else:
            keys.scalars[name] = (kind, cursor.number(kind))
    return keys


def _read_array(cursor: Cursor, name: str, keys: _Keys) -> None:
    kind = cursor.u32()
    count = cursor.u64()
    if kind == ARRAY:
        raise refuse(f"{name} is an array of arrays")
    if count > GGUF_ARRAY_ITEMS:
        raise refuse(f"{name} has {count} items")
    vocabulary = keys.vocabulary
    if kind != _VOCABULARY.get(name, kind):
        raise refuse(f"{name} has the wrong type")
    if name == _TOKENS:
        vocabulary.tokens = count
        _read_tokens(cursor, count, vocabulary)
    elif kind == STRING:
        cursor.skip_strings(count, GGUF_STRING_BYTES)
    elif name in _VOCABULARY:
        _keep_column(vocabulary, name, count, cursor.items(kind, count))
    else:
        _keep_list(keys, name, kind, cursor.items(kind, count))


def _keep_column(vocabulary: _Vocabulary, name: str, count: int, data: bytes) -> None:
    if name == _KINDS:
        vocabulary.types = data
    else:
        vocabulary.scores = count


def _keep_list(keys: _Keys, name: str, kind: int, data: bytes) -> None:
    """Keep short lists of numbers, such as heads per block; others matter to nobody here."""
    if kind in INTEGERS and len(data) <= GGUF_BLOCKS * 8:
        items = Cursor(data)
        values: list[int] = []
        while items.position < len(data):
            values.append(int(items.number(kind)))
        keys.lists[name] = values


def _read_tokens(cursor: Cursor, count: int, vocabulary: _Vocabulary) -> None:
    for index in range(count):
        token = cursor.string(GGUF_STRING_BYTES)
        if token.startswith(b"<0x"):
            vocabulary.angled[index] = token


def _check_vocabulary(vocabulary: _Vocabulary) -> None:
    """Refuse vocabularies whose parts disagree or whose byte tokens name no byte.

    An engine turns ``<0xNN>`` into an index without asking; ``<0x-1>`` once read out of bounds.
    """
    types = vocabulary.types
    for length in (vocabulary.scores, None if types is None else len(types) // 4):
        if length is not None and length != vocabulary.tokens:
            raise refuse("the vocabulary's arrays have different lengths")
    if types is None:
        return
    for index in range(len(types) // 4):
        kind = int.from_bytes(types[index * 4 : index * 4 + 4], "little", signed=True)
        if not 0 <= kind <= _TOKEN_TYPE_BYTE:
            raise refuse("a token has an unknown type")
        is_byte = kind == _TOKEN_TYPE_BYTE
        if is_byte and not _BYTE_TOKEN.fullmatch(vocabulary.angled.get(index, b"")):
            raise refuse("a byte token names no byte")


def _alignment(keys: _Keys) -> int:
    kind, value = keys.scalars.get("general.alignment", (UINT32, 32))
    if kind != UINT32 or not isinstance(value, int):
        raise refuse("general.alignment has the wrong type")
    if not 8 <= value <= GGUF_ALIGNMENT or value & (value - 1):
        raise refuse(f"an alignment of {value}")
    return value


class _Tensors(msgspec.Struct):
    """Sums over all tensors; ``by_type`` are bytes per ggml type."""

    count: int = 0
    data_bytes: int = 0
    elements: int = 0
    by_type: dict[int, int] = msgspec.field(default_factory=dict)


def _read_tensors(cursor: Cursor, count: int, alignment: int, file_bytes: int) -> _Tensors:
    sums = _Tensors(count=count)
    names: set[bytes] = set()
    end = padded_end = 0
    for _ in range(count):
        name = cursor.string(_TENSOR_NAME_BYTES)
        if not name or name in names:
            raise refuse("a tensor has no name of its own")
        names.add(name)
        kind, elements, size_bytes = _read_shape(cursor, file_bytes)
        if cursor.u64() != padded_end:
            raise refuse("a tensor does not follow the one before it")
        end = padded_end + size_bytes
        padded_end = _padded(end, alignment)
        sums.data_bytes += size_bytes
        sums.elements += elements
        sums.by_type[kind] = sums.by_type.get(kind, 0) + size_bytes
    start = _padded(cursor.position, alignment)
    if start + end > file_bytes:
        raise refuse("the tensors reach beyond the end of the file")
    if file_bytes > start + padded_end:
        raise refuse("bytes follow the last tensor")
    return sums


def _read_shape(cursor: Cursor, file_bytes: int) -> tuple[int, int, int]:
    """Return (type, elements, bytes) of the next tensor; no product can grow past the file."""
    dimensions = cursor.u32()
    if not 1 <= dimensions <= 4:
        raise refuse(f"a tensor of {dimensions} dimensions")
    shape = [cursor.u64() for _ in range(dimensions)]
    kind = cursor.u32()
    if kind not in _TYPES:
        raise refuse(f"tensor type {kind} is unknown")
    block_elements, block_bytes = _TYPES[kind]
    if any(side == 0 or side > _FILE_BYTES_MAX for side in shape) or shape[0] % block_elements:
        raise refuse("a tensor has an impossible shape")
    elements = 1
    for side in shape:
        elements *= side
    size_bytes = elements // block_elements * block_bytes
    if size_bytes > file_bytes:
        raise refuse("a tensor is larger than the file")
    return kind, elements, size_bytes


def _padded(size: int, alignment: int) -> int:
    return (size + alignment - 1) // alignment * alignment


def _facts(keys: _Keys, tensors: _Tensors) -> GgufFacts:
    architecture = _text(keys, "general.architecture", "")
    if not _ARCHITECTURE.fullmatch(architecture):
        raise refuse("it names no architecture")
    if _whole(keys, "split.count", 1, 1 << 16) > 1:
        raise refuse("it is one shard of several; merge the shards first")
    blocks = _whole(keys, f"{architecture}.block_count", None, GGUF_BLOCKS)
    embedding = _whole(keys, f"{architecture}.embedding_length", None, _WIDTH_MAX)
    heads = _heads(keys, f"{architecture}.attention.head_count", blocks, [0] * blocks)
    kv_heads = _heads(keys, f"{architecture}.attention.head_count_kv", blocks, heads)
    side = embedding // max(max(heads), 1)
    pooling = _whole(keys, f"{architecture}.pooling_type", 0, 16)
    return GgufFacts(
        architecture=architecture,
        context_length=_whole(keys, f"{architecture}.context_length", None, _CONTEXT_MAX),
        embedding_length=embedding,
        block_count=blocks,
        head_count=max(heads),
        kv_heads_total=sum(kv_heads),
        key_length=_whole(keys, f"{architecture}.attention.key_length", side, _WIDTH_MAX),
        value_length=_whole(keys, f"{architecture}.attention.value_length", side, _WIDTH_MAX),
        causal=_flag(keys, f"{architecture}.attention.causal", True),
        pooling=pooling or None,
        chat_template="tokenizer.chat_template" in keys.scalars,
        tensor_count=tensors.count,
        tensor_bytes=tensors.data_bytes,
        parameter_count=tensors.elements,
        precision=_PRECISION.get(
            max(tensors.by_type, key=lambda kind: (tensors.by_type[kind], -kind)), "mixed"
        ),
    )


def _whole(keys: _Keys, name: str, default: int | None, most: int) -> int:
    found = keys.scalars.get(name)
    if found is None and default is not None:
        return default
    if found is None or found[0] not in INTEGERS or not isinstance(found[1], int):
        raise refuse(f"{name} is missing or not a number")
    least = 0 if default is not None else 1
    if not least <= found[1] <= most:
        raise refuse(f"{name} is {found[1]}")
    return found[1]


def _heads(keys: _Keys, name: str, blocks: int, default: list[int]) -> list[int]:
    """Return the heads of each block, written as one number or as one number per block."""
    listed = keys.lists.get(name)
    if listed is None and name not in keys.scalars:
        return default
    heads = listed if listed is not None else [_whole(keys, name, 0, _WIDTH_MAX)] * blocks
    if len(heads) != blocks or any(not 0 <= count <= _WIDTH_MAX for count in heads):
        raise refuse(f"{name} does not fit the number of blocks")
    return heads


def _text(keys: _Keys, name: str, default: str) -> str:
    kind, value = keys.scalars.get(name, (STRING, default.encode()))
    if kind != STRING or not isinstance(value, bytes):
        raise refuse(f"{name} is not text")
    return value.decode("utf-8", errors="replace")


def _flag(keys: _Keys, name: str, default: bool) -> bool:
    kind, value = keys.scalars.get(name, (BOOL, default))
    if kind != BOOL:
        raise refuse(f"{name} is not true or false")
    return bool(value)
