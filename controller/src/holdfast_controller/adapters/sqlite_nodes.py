"""Reading the log's hashes back: whole tiles at a time, so that a proof costs a few queries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from holdfast_evidence import Edge, Node
from holdfast_evidence.logic.merkle import HashAt, edge_at, edge_nodes
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.adapters.sqlite_schema import TILE_BITS, Row

Fetch = Callable[[str, Sequence[object]], Awaitable[list[Row]]]

_LEAVES = "SELECT leaf FROM journal WHERE seq BETWEEN ? AND ? ORDER BY seq"
_TILES = "SELECT hash FROM tile WHERE level = ? AND idx BETWEEN ? AND ? ORDER BY idx"


async def read_nodes(fetch: Fetch, nodes: Iterable[Node]) -> HashAt:
    """Return a reader of just these nodes; raises ``JOURNAL_DAMAGED`` where a hash is missing."""
    tiles: dict[tuple[int, int], list[Node]] = {}
    for node in nodes:
        stored = node.level // TILE_BITS
        tile = node.position >> (TILE_BITS - node.level % TILE_BITS)
        tiles.setdefault((stored, tile), []).append(node)
    known: dict[tuple[int, int], bytes] = {}
    for (stored, _), wanted in sorted(tiles.items()):
        spans = [(node, *_span(node)) for node in wanted]
        first = min(start for _, start, _ in spans)
        hashes = await _row_of(fetch, stored, first, max(end for _, _, end in spans))
        for node, start, end in spans:
            known[node] = Edge().grown(hashes[start - first : end - first]).edge.root()
    return lambda level, position: known[level, position]


async def read_edge(fetch: Fetch, size: int) -> Edge:
    """Return the edge of the first ``size`` records, as stored; nothing is re-hashed."""
    return edge_at(size, await read_nodes(fetch, edge_nodes(size)))


def _span(node: Node) -> tuple[int, int]:
    """The stored hashes below ``node``: first, and one past the last."""
    width = 1 << node.level % TILE_BITS
    return node.position * width, (node.position + 1) * width


async def _row_of(fetch: Fetch, stored: int, start: int, end: int) -> list[bytes]:
    if stored:
        rows = await fetch(_TILES, (stored, start, end - 1))
    else:
        rows = await fetch(_LEAVES, (start + 1, end))
    hashes = [value for (value,) in rows if isinstance(value, bytes)]
    if len(hashes) != end - start:
        raise HoldfastError(
            Code.JOURNAL_DAMAGED,
            f"Hashes {start} to {end - 1} of level {stored} are not all there.",
        )
    return hashes
