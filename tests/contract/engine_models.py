"""Tiny random models, made at run time: enough for a real engine to load and answer."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

_WORDS = "the of and to in is that for it as was with be by on not he his but at are this have"
_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
DIM, LAYERS, HEADS, KV_HEADS, FEED = 64, 2, 4, 2, 128


class _Random:
    """Tensors by shape from one seed."""

    def __init__(self, writer: gguf.GGUFWriter, seed: int) -> None:
        self._writer = writer
        self._dice = np.random.default_rng(seed)

    def matrix(self, name: str, rows: int, columns: int) -> None:
        values = self._dice.standard_normal((rows, columns)) * 1.6 / np.sqrt(columns)
        # The engine adds these two to others element by element, and only as float32.
        kind = np.float32 if name in ("position_embd", "token_types") else np.float16
        self._writer.add_tensor(name + ".weight", values.astype(kind))

    def vector(self, name: str, value: float, length: int = DIM) -> None:
        values: npt.NDArray[np.float32] = np.full((length,), value, dtype=np.float32)
        self._writer.add_tensor(name, values)


def tiny_llama(out: Path, seed: int) -> Path:
    """Write a random llama of about 0.3 MB to ``out``: chat and complete, for as long as asked."""
    pieces = ["\u2581", *(chr(code) for code in range(33, 127))]
    for word in _WORDS.split():
        pieces += ["\u2581" + word[:n] for n in range(1, len(word) + 1)]
    pieces = list(dict.fromkeys(pieces))
    tokens = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % n for n in range(256))]
    tokens += [piece.encode() for piece in pieces]
    writer = gguf.GGUFWriter(str(out), "llama")
    _sizes(writer, len(tokens))
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(DIM // HEADS)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-(n + 1.0) for n in range(len(pieces))])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(pieces))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_chat_template(_TEMPLATE)
    dice = _Random(writer, seed)
    dice.matrix("token_embd", len(tokens), DIM)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        dice.vector(block + "attn_norm.weight", 1.0)
        dice.vector(block + "ffn_norm.weight", 1.0)
        dice.matrix(block + "attn_q", DIM, DIM)
        dice.matrix(block + "attn_k", DIM * KV_HEADS // HEADS, DIM)
        dice.matrix(block + "attn_v", DIM * KV_HEADS // HEADS, DIM)
        dice.matrix(block + "attn_output", DIM, DIM)
        dice.matrix(block + "ffn_gate", FEED, DIM)
        dice.matrix(block + "ffn_up", FEED, DIM)
        dice.matrix(block + "ffn_down", DIM, FEED)
    dice.vector("output_norm.weight", 1.0)
    dice.matrix("output", len(tokens), DIM)
    return _written(writer, out)


def tiny_bert(out: Path, seed: int) -> Path:
    """Write a random BERT of about 0.2 MB to ``out``: embed, 128 tokens."""
    pieces = ["\u2581" + word for word in _WORDS.split()]
    pieces += [prefix + chr(code) for prefix in ("\u2581", "") for code in range(97, 123)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(pieces)]
    writer = gguf.GGUFWriter(str(out), "bert")
    _sizes(writer, len(tokens), context_length=128)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 5 + [1] * (len(tokens) - 5))
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_mask_token_id(4)
    dice = _Random(writer, seed)
    dice.matrix("token_embd", len(tokens), DIM)
    dice.matrix("position_embd", 128, DIM)
    dice.matrix("token_types", 2, DIM)
    _norm(dice, "token_embd_norm")
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            dice.matrix(block + name, DIM, DIM)
            dice.vector(block + name + ".bias", 0.0)
        dice.matrix(block + "ffn_up", FEED, DIM)
        dice.vector(block + "ffn_up.bias", 0.0, FEED)
        dice.matrix(block + "ffn_down", DIM, FEED)
        dice.vector(block + "ffn_down.bias", 0.0)
        _norm(dice, block + "attn_output_norm")
        _norm(dice, block + "layer_output_norm")
    return _written(writer, out)


def _sizes(writer: gguf.GGUFWriter, vocabulary: int, context_length: int = 131_072) -> None:
    writer.add_name("tiny")
    writer.add_context_length(context_length)
    writer.add_embedding_length(DIM)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type(1)


def _norm(dice: _Random, name: str) -> None:
    dice.vector(name + ".weight", 1.0)
    dice.vector(name + ".bias", 0.0)


def _written(writer: gguf.GGUFWriter, out: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
