"""GGUF files made by hand, so that a test can make any one field wrong."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

U8, I8, U32, I32, F32, BOOL, STRING, ARRAY, U64 = 0, 1, 4, 5, 6, 7, 8, 9, 10

Key = tuple[str | bytes, int, bytes]


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def array(kind: int, items: Sequence[bytes], count: int | None = None) -> bytes:
    return struct.pack("<IQ", kind, len(items) if count is None else count) + b"".join(items)


class Tensor(msgspec.Struct, frozen=True):
    """One tensor's entry; ``offset`` None means right after the one before."""

    name: str | bytes
    shape: tuple[int, ...]
    kind: int = 0
    offset: int | None = None
    size: int | None = None


TOKENS: Key = ("tokenizer.ggml.tokens", ARRAY, array(STRING, [text("a"), text("<0x41>")]))
TYPES: Key = ("tokenizer.ggml.token_type", ARRAY, array(I32, [u32(1), u32(6)]))
SCORES: Key = ("tokenizer.ggml.scores", ARRAY, array(F32, [b"\0" * 4] * 2))
KEYS: dict[str, Key] = {
    "general.architecture": ("general.architecture", STRING, text("llama")),
    "llama.context_length": ("llama.context_length", U32, u32(512)),
    "llama.embedding_length": ("llama.embedding_length", U32, u32(64)),
    "llama.block_count": ("llama.block_count", U32, u32(2)),
    "llama.attention.head_count": ("llama.attention.head_count", U32, u32(4)),
    "llama.attention.head_count_kv": ("llama.attention.head_count_kv", U32, u32(2)),
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": TYPES,
    "tokenizer.ggml.scores": SCORES,
}
TENSORS = (Tensor("token_embd.weight", (64, 4)), Tensor("output.weight", (64, 4), 1))


class File(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into a file; every part can be replaced on its own."""

    magic: bytes = b"GGUF"
    version: bytes = u32(3)
    keys: tuple[Key, ...] = tuple(KEYS.values())
    tensors: tuple[Tensor, ...] = TENSORS
    tensor_count: int | None = None
    key_count: int | None = None
    alignment: int = 32
    tail: bytes = b""
    cut: int = 0


def changed(name: str, kind: int, value: bytes) -> tuple[Key, ...]:
    """The usual keys with one replaced or added."""
    return tuple({**KEYS, name: (name, kind, value)}.values())


def build(file: File) -> bytes:
    """The bytes of ``file``; the tensors' data are zeros."""
    head = file.magic + file.version
    head += struct.pack(
        "<QQ",
        len(file.tensors) if file.tensor_count is None else file.tensor_count,
        len(file.keys) if file.key_count is None else file.key_count,
    )
    for name, kind, value in file.keys:
        head += text(name) + u32(kind) + value
    at = 0
    for tensor in file.tensors:
        head += text(tensor.name) + u32(len(tensor.shape))
        head += b"".join(struct.pack("<Q", side) for side in tensor.shape)
        head += u32(tensor.kind)
        head += struct.pack("<Q", at if tensor.offset is None else tensor.offset)
        size = tensor.size
        if size is None:
            size = {0: 4, 1: 2}.get(tensor.kind, 1)
            for side in tensor.shape:
                size *= side
        at += -(-size // file.alignment) * file.alignment
    data = head + b"\0" * (-len(head) % file.alignment) + b"\0" * min(at, 1 << 20) + file.tail
    return data[: len(data) - file.cut]


def model_of(size_bytes: int, fill: bytes = b"\x5a") -> bytes:
    """A well-formed file whose one large tensor makes it about ``size_bytes`` long."""
    rows = max(1, size_bytes // 256)
    tensors = (Tensor("token_embd.weight", (64, rows), 0, size=0),)
    head = build(File(tensors=tensors))
    return head + fill * (rows * 256)
