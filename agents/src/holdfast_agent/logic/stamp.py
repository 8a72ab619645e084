"""Whether a desired document is one, newer than the accepted one, and nobody else's."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal, NamedTuple

from holdfast_protocol import ids
from holdfast_protocol.codec import decode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import Desired, Placement
from holdfast_protocol.signed import DESIRED_CONTEXT, SignedDocument, open_signed

_SLOT: Final = re.compile(r"[a-z0-9-]{1,80}")

Judgement = Literal["accept", "same", "older", "conflict", "foreign"]


class Stamp(NamedTuple):
    """Order of a document; the digest tells two of the same order apart."""

    epoch: int
    generation: int
    digest: str


def read(document: bytes, controller_key: bytes) -> tuple[Desired, str]:
    """Return the document in ``document`` and the digest of what was signed.

    Raises ``BAD_SIGNATURE``, ``BAD_REQUEST``, and ``BAD_NAME`` for a name that is none: an agent
    keeps what it accepts for ever, so a document that it cannot judge must not get that far.
    """
    payload = open_signed(decode(document, SignedDocument), controller_key, DESIRED_CONTEXT)
    desired = decode(payload, Desired)
    for placement in desired.placements:
        _check(placement)
    return desired, f"sha256:{hashlib.sha256(payload).hexdigest()}"


def _check(placement: Placement) -> None:
    if not _SLOT.fullmatch(placement.slot):
        raise HoldfastError(Code.BAD_NAME, f"slot {placement.slot[:80]!a} is no slot.")
    ids.token(placement.alias, "alias")
    ids.token(placement.zone, "zone")
    ids.model_name(placement.model)
    ids.version(placement.version)
    ids.digest(placement.manifest_digest)


def judge(node: str, document: Desired, digest: str, accepted: Stamp | None) -> Judgement:
    """Return what to do with a document whose signature is good.

    A higher (epoch, generation) is accepted; the same with other bytes is a conflict: two
    controllers signed, or one lost its journal. An older one is refused for ever.
    """
    if document.node != node:
        return "foreign"
    if accepted is None:
        return "accept"
    order = (document.epoch, document.generation)
    have = (accepted.epoch, accepted.generation)
    if order > have:
        return "accept"
    if order == have:
        return "same" if digest == accepted.digest else "conflict"
    return "older"
