"""How much memory a model will take, before it is loaded: from its header and its settings.

Measured memory replaces the estimate as soon as there is any; until then a claim must not be below
what the engine allocates. Everything is allocated at start, so the estimate is also the peak.
"""

from __future__ import annotations

from typing import Final

import msgspec
from holdfast_bundles.logic.gguf_header import GgufFacts
from holdfast_protocol.limits import MIB
from holdfast_protocol.messages import EngineSettings

_CONTEXT_STEP: Final = 256
_BATCH: Final = 512
_CACHE_BYTES: Final = 2  # f16, the engine's default for keys and for values
_PROCESS_BYTES: Final = 48 * MIB
_CUDA_CONTEXT_BYTES: Final = 512 * MIB
_VOCABULARY_MAX: Final = 262_144


class ModelHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's header says of its size; lengths in elements."""

    weights_bytes: int
    kv_heads_total: int
    """Key/value heads over all blocks; 0 where the model keeps no cache."""
    key_length: int
    value_length: int
    embedding_length: int
    vocabulary: int
    context_length: int
    encoder: bool
    """Whether it embeds: its whole input is computed at once."""


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


def header(facts: GgufFacts) -> ModelHeader:
    """Return what matters for memory of a GGUF header that the format gate has read."""
    encoder = facts.operations == ["embed"]
    return ModelHeader(
        weights_bytes=facts.tensor_bytes,
        kv_heads_total=facts.kv_heads_total if facts.causal else 0,
        key_length=facts.key_length,
        value_length=facts.value_length,
        embedding_length=facts.embedding_length,
        # The facts do not count tokens; each has a row of the embedding among the parameters.
        vocabulary=min(facts.parameter_count // facts.embedding_length, _VOCABULARY_MAX),
        context_length=facts.context_length,
        encoder=encoder,
    )


def estimate(model: ModelHeader, settings: EngineSettings, *, gpu: bool = False) -> Estimate:
    """Return the memory of one replica; ``settings.context_length`` is per parallel request.

    Keys and values: cells x kv heads over all blocks x (key + value length) x 2 bytes, which is
    the engine's own figure; its computation buffers are bounded from above.
    """
    cells = _padded(settings.context_length * settings.parallel)
    per_cell = model.kv_heads_total * (model.key_length + model.value_length)
    kv_bytes = cells * per_cell * _CACHE_BYTES
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
