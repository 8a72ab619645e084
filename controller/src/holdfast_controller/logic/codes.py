"""One-time codes as the journal tells them, and how facts change them."""

from __future__ import annotations

from typing import assert_never

import msgspec
from msgspec.structs import replace

from holdfast_controller.logic.facts.enrolment import (
    EnrolmentFact,
    NodeAsked,
    NodeCodeMade,
    NodeCodeMinted,
    NodeMinted,
)


class NodeCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code: made, its user minted, used by a node, the node's users minted."""

    made: NodeCodeMade
    minted: NodeCodeMinted | None = None
    asked: NodeAsked | None = None
    issued: NodeMinted | None = None


def fold_enrolment(codes: dict[str, NodeCode], fact: EnrolmentFact) -> bool:
    """Fold ``fact`` into ``codes``; return whether it changed anything."""
    if isinstance(fact, NodeCodeMade):
        return _made(codes, fact)
    known = codes.get(fact.nonce)
    if known is None:
        return False
    match fact:
        case NodeCodeMinted():
            changed = replace(known, minted=known.minted or fact)
        case NodeAsked():
            changed = replace(known, asked=known.asked or fact)
        case NodeMinted():
            changed = replace(known, issued=known.issued or fact)
        case _:
            assert_never(fact)
    codes[fact.nonce] = changed
    return changed != known


def _made(codes: dict[str, NodeCode], fact: NodeCodeMade) -> bool:
    if fact.nonce in codes:
        return False
    # What nobody used in time nobody can use any more.
    gone = [
        nonce
        for nonce, code in codes.items()
        if code.asked is None and code.made.not_after_ms <= fact.at_ms
    ]
    for nonce in gone:
        del codes[nonce]
    codes[fact.nonce] = NodeCode(made=fact)
    return True
