"""The Merkle tree of RFC 6962: leaf and node hashes, the growing edge, proofs, verification.

Sizes count leaves, indices start at 0. Reading stored hashes is deliberately absent: a proof is
made from ``hash_at(level, position)``, the hash of the complete subtree over the leaves
``position * 2**level`` up to ``(position + 1) * 2**level`` (level 0 is a leaf hash), which the
caller takes from wherever it keeps them. Verification follows RFC 9162, 2.1.3.2 and 2.1.4.2, whose
loops are bounded by the proof's length.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

HASH_BYTES: Final = 32
SIZE_MAX: Final = 2**63 - 1
PROOF_HASHES_MAX: Final = 64
"""A tree of ``SIZE_MAX`` leaves has 63 levels; a consistency proof carries one hash more."""

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

HashAt = Callable[[int, int], bytes]


class Node(NamedTuple):
    """A complete subtree: ``2**level`` leaves from ``position * 2**level`` on."""

    level: int
    position: int


class Grown(NamedTuple):
    """What appending leaves brought: the new edge, and every subtree it completed, in order."""

    edge: Edge
    completed: tuple[tuple[Node, bytes], ...]


def leaf_hash(record: bytes) -> bytes:
    """Return the hash of a leaf, 32 bytes (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node, 32 bytes (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The right edge of a tree: its size and the roots of its complete subtrees, largest first.

    It is a value: whoever appends keeps the old edge until the new one is committed.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """Return the root of the whole tree, 32 bytes; of no leaves, the hash of nothing."""
        if not self.peaks:
            return EMPTY_ROOT
        result = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            result = node_hash(peak, result)
        return result

    def grown(self, leaves: Iterable[bytes]) -> Grown:
        """Return the edge after appending leaf hashes in order, and the subtrees completed."""
        size, peaks = self.size, list(self.peaks)
        completed: list[tuple[Node, bytes]] = []
        for leaf in leaves:
            carry, level, index = leaf, 0, size
            while index & 1:
                carry = node_hash(peaks.pop(), carry)
                index >>= 1
                level += 1
                completed.append((Node(level, index), carry))
            peaks.append(carry)
            size += 1
        return Grown(Edge(size=size, peaks=tuple(peaks)), tuple(completed))


def edge_at(size: int, hash_at: HashAt) -> Edge:
    """Return the edge of the tree's first ``size`` leaves."""
    return Edge(size=size, peaks=tuple(hash_at(*node) for node in _subtrees(0, size)))


def root_at(size: int, hash_at: HashAt) -> bytes:
    """Return the root over the first ``size`` leaves, 32 bytes."""
    return edge_at(size, hash_at).root()


def inclusion_proof(index: int, size: int, hash_at: HashAt) -> tuple[bytes, ...]:
    """Return PATH(index, D[size]) of RFC 6962, 2.1.1, nearest sibling first.

    Raises ``ValueError`` unless ``0 <= index < size``.
    """
    return tuple(_range_hash(start, end, hash_at) for start, end in _path(index, size))


def inclusion_nodes(index: int, size: int) -> tuple[Node, ...]:
    """Return the subtrees whose hashes :func:`inclusion_proof` will ask for."""
    return tuple(node for part in _path(index, size) for node in _subtrees(*part))


def consistency_proof(old: int, size: int, hash_at: HashAt) -> tuple[bytes, ...]:
    """Return PROOF(old, D[size]) of RFC 6962, 2.1.2; empty where the sizes are equal.

    Raises ``ValueError`` unless ``0 < old <= size``.
    """
    return tuple(_range_hash(start, end, hash_at) for start, end in _subproof(old, size))


def consistency_nodes(old: int, size: int) -> tuple[Node, ...]:
    """Return the subtrees whose hashes :func:`consistency_proof` will ask for."""
    return tuple(node for part in _subproof(old, size) for node in _subtrees(*part))


def edge_nodes(size: int) -> tuple[Node, ...]:
    """Return the subtrees whose hashes :func:`edge_at` will ask for."""
    return tuple(_subtrees(0, size))


def verify_inclusion(
    *, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Tell whether ``proof`` shows ``leaf`` at ``index`` below ``root`` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size <= SIZE_MAX or not _well_formed(proof, leaf, root):
        return False
    at, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            result = node_hash(sibling, result)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and hmac.compare_digest(result, root)


def verify_consistency(
    *, old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes
) -> bool:
    """Tell whether ``proof`` shows the old tree to be a prefix of the new (RFC 9162, 2.1.4.2).

    An old size of 0 is refused: every tree is consistent with nothing, and nothing is proven.
    """
    if not 0 < old <= size <= SIZE_MAX or not _well_formed(proof, old_root, root):
        return False
    if old == size:
        return not proof and hmac.compare_digest(old_root, root)
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not hashes:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and hmac.compare_digest(before, old_root) and hmac.compare_digest(after, root)


def _well_formed(proof: Sequence[bytes], *others: bytes) -> bool:
    return len(proof) <= PROOF_HASHES_MAX and all(
        len(part) == HASH_BYTES for part in (*proof, *others)
    )


def _split(count: int) -> int:
    """The largest power of two below ``count``, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _path(index: int, size: int) -> list[tuple[int, int]]:
    if not 0 <= index < size <= SIZE_MAX:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    start, end = 0, size
    parts: list[tuple[int, int]] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            parts.append((middle, end))
            end = middle
        else:
            parts.append((start, middle))
            start = middle
    return parts[::-1]


def _subproof(old: int, size: int) -> list[tuple[int, int]]:
    if not 0 < old <= size <= SIZE_MAX:
        raise ValueError(f"a tree of {old} leaves is not a prefix of one of {size}")
    start, end = 0, size
    parts: list[tuple[int, int]] = []
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            parts.append((middle, end))
            end = middle
        else:
            parts.append((start, middle))
            start = middle
    # Where the old tree is itself a complete left subtree, the verifier knows its root already.
    if start:
        parts.append((start, end))
    return parts[::-1]


def _subtrees(start: int, end: int) -> list[Node]:
    """The complete subtrees that make up the leaves, largest first; ``start`` is aligned."""
    nodes: list[Node] = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def _range_hash(start: int, end: int, hash_at: HashAt) -> bytes:
    hashes = [hash_at(*node) for node in _subtrees(start, end)]
    result = hashes.pop()
    while hashes:
        result = node_hash(hashes.pop(), result)
    return result
