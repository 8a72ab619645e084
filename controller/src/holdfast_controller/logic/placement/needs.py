"""What a replica of a model needs: its memory claim before it was ever measured."""

from __future__ import annotations

from typing import Final

from holdfast_protocol.limits import MIB

from holdfast_controller.logic import facts
from holdfast_controller.logic.placement.choose import Need
from holdfast_controller.logic.state import State

_PROCESS_BYTES: Final = 48 * MIB
_BATCH: Final = 512
_WIDTHS: Final = 8
_FLOAT_BYTES: Final = 4


def claim_bytes(model: facts.ModelQuarantined, context_length: int, parallel: int) -> int:
    """Return the memory to claim for one replica: weights, keys and values, buffers, process.

    ``context_length`` is per parallel request. A tenth of the weights stands for the buffers that
    grow with the vocabulary, which the import does not report; 8 % on top covers what is not
    modelled. Measured memory replaces the claim where it is larger.
    """
    cache = model.kv_bytes_per_token * context_length * parallel
    buffers = _FLOAT_BYTES * _BATCH * _WIDTHS * model.embedding_length + model.weights_bytes // 10
    return (model.weights_bytes + cache + buffers) * 108 // 100 + _PROCESS_BYTES


def need(
    state: State,
    wish: facts.DeploymentWished,
    zone: str,
    avoid_nodes: tuple[str, ...] = (),
) -> Need:
    """Return one replica of ``wish`` in ``zone`` as placement takes it."""
    model = state.models.get(wish.digest)
    return Need(
        alias=wish.alias,
        zone=zone,
        territory=state.founded().zones.get(zone, ""),
        approved=model is not None and model.allowed,
        denied=model is not None and state.is_denied(model),
        format="" if model is None else model.facts.format.lower(),
        engine=wish.engine,
        claim_bytes=wish.claim_bytes,
        avoid_nodes=avoid_nodes,
    )
