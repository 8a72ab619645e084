"""Where a replica goes, and why not elsewhere."""

from holdfast_controller.logic.placement.board import Board
from holdfast_controller.logic.placement.candidates import Candidate, Room, candidates
from holdfast_controller.logic.placement.choose import (
    LEGAL_CONSTRAINTS,
    Choice,
    Decision,
    Need,
    choose,
    may_stay,
)
from holdfast_controller.logic.placement.needs import claim_bytes, need

__all__ = [
    "LEGAL_CONSTRAINTS",
    "Board",
    "Candidate",
    "Choice",
    "Decision",
    "Need",
    "Room",
    "candidates",
    "choose",
    "claim_bytes",
    "may_stay",
    "need",
]
