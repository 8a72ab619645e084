"""Whether a desired document is newer than the accepted one, and nobody else's."""

from __future__ import annotations

from typing import Literal, NamedTuple

from holdfast_protocol.messages import Desired

Judgement = Literal["accept", "same", "older", "conflict", "foreign"]


class Stamp(NamedTuple):
    """Order of a document; the digest tells two of the same order apart."""

    epoch: int
    generation: int
    digest: str


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
