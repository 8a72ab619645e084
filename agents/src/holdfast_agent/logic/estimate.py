"""How much memory a model will take, before it is loaded: from its header and its settings.

Measured memory replaces the estimate as soon as there is any; until then a claim must not be below
what the engine allocates. Everything is allocated at start, so the estimate is also the peak.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import MIB
from holdfast_protocol.messages import EngineSettings

MetadataValue = str | int | float | bool

_CONTEXT_STEP: Final = 256
_BATCH: Final = 512
_CACHE_BYTES: Final = 2  # f16, the engine's default for keys and for values
_PROCESS_BYTES: Final = 48 * MIB
_CUDA_CONTEXT_BYTES: Final = 512 * MIB
_ENCODERS: Final = frozenset({"bert", "nomic-bert", "jina-bert-v2", "modern-bert"})


class ModelHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a GGUF header says of a model's size; lengths in elements."""

    architecture: str
    weights_bytes: int
    layers: int
    embedding_length: int
    heads: int
    kv_heads: int
    key_length: int
    value_length: int
    vocabulary: int
    context_length: int

    @property
    def encoder(self) -> bool:
        """Whether the model embeds: it keeps no cache and cannot generate."""
        return self.architecture in _ENCODERS


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of one replica, in bytes."""

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    overhead_bytes: int

    @property
    def total_bytes(self) -> int:
        """What to claim for the replica."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.overhead_bytes


def header(
    metadata: Mapping[str, MetadataValue], *, weights_bytes: int, vocabulary: int
) -> ModelHeader:
    """Return the header of GGUF ``metadata`` (scalars by key; arrays may be missing).

    ``weights_bytes`` is the sum over the tensor table and ``vocabulary`` the length of the token
    list. Raises ``FORMAT_REFUSED`` naming a key that is missing or no positive whole number.
    """
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise HoldfastError(Code.FORMAT_REFUSED, "The model's header names no architecture.")

    def number(name: str, fallback: int | None = None) -> int:
        value = metadata.get(f"{architecture}.{name}", fallback)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise HoldfastError(
                Code.FORMAT_REFUSED, f"The model's header has no usable {architecture}.{name}."
            )
        return value

    embedding = number("embedding_length")
    heads = number("attention.head_count")
    return ModelHeader(
        architecture=architecture,
        weights_bytes=weights_bytes,
        layers=number("block_count"),
        embedding_length=embedding,
        heads=heads,
        kv_heads=number("attention.head_count_kv", heads),
        # Read where stated: dim / heads is wrong for many families.
        key_length=number("attention.key_length", max(1, embedding // heads)),
        value_length=number("attention.value_length", max(1, embedding // heads)),
        vocabulary=vocabulary,
        context_length=number("context_length"),
    )


def estimate(model: ModelHeader, settings: EngineSettings, *, gpu: bool = False) -> Estimate:
    """Return the memory of one replica; ``settings.context_length`` is per parallel request.

    Keys and values: cells x layers x kv heads x (key + value length) x 2 bytes, which is the
    engine's own figure; its computation buffers are bounded from above.
    """
    cells = _padded(settings.context_length * settings.parallel)
    per_cell = model.layers * model.kv_heads * (model.key_length + model.value_length)
    kv_bytes = 0 if model.encoder else cells * per_cell * _CACHE_BYTES
    batch = min(settings.context_length, model.context_length) if model.encoder else _BATCH
    # Logits of a batch, and a handful of activations as wide as the model.
    compute_bytes = 4 * batch * (model.vocabulary + 8 * model.embedding_length)
    return Estimate(
        weights_bytes=model.weights_bytes,
        kv_bytes=kv_bytes,
        compute_bytes=compute_bytes,
        overhead_bytes=_PROCESS_BYTES + (_CUDA_CONTEXT_BYTES if gpu else 0),
    )


def _padded(cells: int) -> int:
    return -(-cells // _CONTEXT_STEP) * _CONTEXT_STEP
