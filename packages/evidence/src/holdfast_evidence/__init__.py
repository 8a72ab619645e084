"""The Merkle log of RFC 6962: append, checkpoint, proofs."""

from holdfast_evidence.logic.checkpoint import Checkpoint, Signer
from holdfast_evidence.logic.merkle import (
    EMPTY_ROOT,
    Edge,
    Node,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from holdfast_evidence.logic.note import Note, NoteError, Verifier

__all__ = [
    "EMPTY_ROOT",
    "Checkpoint",
    "Edge",
    "Node",
    "Note",
    "NoteError",
    "Signer",
    "Verifier",
    "leaf_hash",
    "node_hash",
    "verify_consistency",
    "verify_inclusion",
]
