"""Model files for the demo and for tests: a real embedding model, and tiny random language models.

``minilm_to_gguf`` turns the published all-MiniLM-L6-v2 weights into a GGUF file. ``tiny_llama``
writes a language model of random weights: it loads and answers at once, always the same for the
same seed, and says in its name that it means nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf import GGUFWriter, PoolingType, TokenType
from safetensors.numpy import load_file

_MINILM_LAYERS: Final = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_MINILM_TOP: Final = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_TEMPLATE: Final = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
_WORDS: Final = (
    *("the", "of", "and", "to", "in", "is", "that", "for", "with", "as", "on", "are", "this", "be"),
    *("model", "border", "site", "key", "node", "data", "safe", "sign", "trust", "load", "swap"),
)


def minilm_to_gguf(source: Path, out: Path) -> Path:
    """Write the model in ``source`` (model.safetensors, vocab.txt) as f16 GGUF; return ``out``."""
    writer = GGUFWriter(str(out), "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_context_length(512)
    writer.add_embedding_length(384)
    writer.add_feed_forward_length(1536)
    writer.add_block_count(6)
    writer.add_head_count(12)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    writer.add_file_type(1)
    _add_wordpieces(writer, (source / "vocab.txt").read_text(encoding="utf-8").split("\n"))
    for name, tensor in sorted(load_file(source / "model.safetensors").items()):
        renamed = _minilm_name(name)
        if renamed is None:
            continue
        keep = tensor.ndim == 1 or renamed in ("position_embd.weight", "token_types.weight")
        writer.add_tensor(renamed, tensor.astype(np.float32 if keep else np.float16))
    return _finish(writer, out)


def tiny_llama(out: Path, seed: int, blocks: int = 2, width: int = 64) -> Path:
    """Write a language model of random weights, the same for the same arguments; return ``out``.

    It knows ASCII and a few words, does ``chat`` and ``complete``, and holds 512 tokens.
    """
    dice = np.random.default_rng(seed)
    heads, kv_heads, hidden = 4, 2, width * 2
    tokens, scores, types = _vocabulary()
    writer = GGUFWriter(str(out), "llama")
    writer.add_name(f"random-weights-{seed}")
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(hidden)
    writer.add_block_count(blocks)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(width // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(1)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(_TEMPLATE)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = dice.standard_normal((rows, columns)) / np.sqrt(columns)
        writer.add_tensor(f"{name}.weight", values.astype(np.float16))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(width, dtype=np.float32))

    side = width // heads * kv_heads
    matrix("token_embd", len(tokens), width)
    for block in range(blocks):
        norm(f"blk.{block}.attn_norm")
        matrix(f"blk.{block}.attn_q", width, width)
        matrix(f"blk.{block}.attn_k", side, width)
        matrix(f"blk.{block}.attn_v", side, width)
        matrix(f"blk.{block}.attn_output", width, width)
        norm(f"blk.{block}.ffn_norm")
        matrix(f"blk.{block}.ffn_gate", hidden, width)
        matrix(f"blk.{block}.ffn_up", hidden, width)
        matrix(f"blk.{block}.ffn_down", width, hidden)
    norm("output_norm")
    matrix("output", len(tokens), width)
    return _finish(writer, out)


def _finish(writer: Any, out: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def _minilm_name(name: str) -> str | None:
    """Return ggml's name of a BERT tensor, or None for those an embedding does not need."""
    stem, _, kind = name.removeprefix("bert.").rpartition(".")
    if stem in _MINILM_TOP:
        return f"{_MINILM_TOP[stem]}.{kind}"
    parts = stem.split(".", 3)
    if parts[:2] == ["encoder", "layer"] and len(parts) == 4 and parts[3] in _MINILM_LAYERS:
        return f"blk.{parts[2]}.{_MINILM_LAYERS[parts[3]]}.{kind}"
    return None


def _add_wordpieces(writer: Any, vocabulary: list[str]) -> None:
    """Write the vocabulary as ggml wants it: word beginnings are marked, continuations are not."""
    tokens: list[str] = []
    types: list[int] = []
    for piece in filter(None, vocabulary):
        if piece.startswith("[") and piece.endswith("]"):
            tokens.append(piece)
            types.append(int(TokenType.CONTROL))
        else:
            tokens.append(piece[2:] if piece.startswith("##") else f"▁{piece}")
            types.append(int(TokenType.NORMAL))
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_type_count(2)
    for name, add in (
        ("[UNK]", writer.add_unk_token_id),
        ("[SEP]", writer.add_sep_token_id),
        ("[PAD]", writer.add_pad_token_id),
        ("[MASK]", writer.add_mask_token_id),
    ):
        add(vocabulary.index(name))
    writer.add_bos_token_id(vocabulary.index("[CLS]"))
    writer.add_eos_token_id(vocabulary.index("[SEP]"))


def _vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Return (tokens, scores, types): controls, all bytes, then ASCII and prefixes of words."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [int(TokenType.UNKNOWN)] + [int(TokenType.CONTROL)] * 2 + [int(TokenType.BYTE)] * 256
    pieces = ["▁", *(chr(code) for code in range(0x20 + 1, 0x7F))]
    for word in _WORDS:
        pieces += [f"▁{word[:length]}" for length in range(1, len(word) + 1)]
        pieces += [word[:length] for length in range(2, len(word) + 1)]
    fresh = list(dict.fromkeys(pieces))
    scores = [0.0] * len(tokens) + [-float(rank + 1) for rank in range(len(fresh))]
    return tokens + fresh, scores, types + [int(TokenType.NORMAL)] * len(fresh)
