"""Opening a journal: its format, its pages, every record against its leaf, every root.

A flipped bit inside a record passes SQLite's own check; only re-hashing finds it. All records are
re-hashed while they are few; beyond that those since the last checkpoint whose signature and root
hold, and :func:`rehash` does the rest in the background.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import aiosqlite
from holdfast_evidence import EMPTY_ROOT, Edge, Node, NoteError, leaf_hash
from holdfast_evidence.logic import checkpoint as checkpoints
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.adapters import sqlite_schema as schema
from holdfast_controller.adapters.journal_settings import JournalSettings
from holdfast_controller.adapters.sqlite_nodes import Fetch, read_edge
from holdfast_controller.journal.port import START, Tail

_CHUNK_RECORDS: Final = 4096
_CHECKPOINTS_CHECKED: Final = 64
_ROWS: Final = (
    "SELECT seq, commit_no, epoch, record, leaf FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"
)


class Opened(NamedTuple):
    """What was found: the end, the tree's edge there, and where the last checkpoint stands."""

    tail: Tail
    edge: Edge
    checkpoint_size: int


class Verified(NamedTuple):
    """What verification found.

    ``root_at_mark`` is the root over as many records as the high-water mark has, None where there
    are fewer; ``tiles`` are rows of the cache that differ from the records just hashed.
    """

    opened: Opened
    root_at_mark: bytes | None
    tiles: list[schema.Row]


EMPTY: Final = Verified(Opened(START, Edge(), 0), EMPTY_ROOT, [])
"""What verification would find in a journal just created."""


class Scan:
    """Re-hashes records in order, from an edge on; raises ``JOURNAL_DAMAGED`` naming the record."""

    def __init__(self, edge: Edge, tail: Tail, wanted: frozenset[int]) -> None:
        self.edge = edge
        self.roots: dict[int, bytes] = {edge.size: edge.root()}
        self.tiles: dict[tuple[int, int], bytes] = {}
        self._commit, self._epoch = tail.commit, tail.epoch
        self._wanted = wanted

    @property
    def tail(self) -> Tail:
        """The end of what was taken."""
        root = self.edge.root()
        return Tail(commit=self._commit, seq=self.edge.size, epoch=self._epoch, root=root)

    def take(self, rows: Sequence[schema.Row]) -> None:
        """Take the next rows: seq, commit, epoch, record, leaf."""
        leaves: list[bytes] = []
        for seq, commit, epoch, record, leaf in rows:
            if seq != self.edge.size + len(leaves) + 1:
                raise _damaged(f"Record {self.edge.size + len(leaves) + 1} is missing.")
            if not isinstance(record, bytes) or leaf_hash(record) != leaf:
                raise _damaged(f"Record {seq} does not match its leaf.")
            self._place(seq, commit, epoch)
            leaves.append(leaf)
            if seq in self._wanted:
                self._grow(leaves)
                self.roots[seq] = self.edge.root()
                leaves = []
        self._grow(leaves)

    def _place(self, seq: int, commit: object, epoch: object) -> None:
        if not isinstance(commit, int) or not isinstance(epoch, int):
            raise _damaged(f"Record {seq} has no commit or epoch.")
        same = (commit, epoch) == (self._commit, self._epoch) and commit > 0
        if not same and (commit != self._commit + 1 or epoch < self._epoch):
            raise _damaged(f"Record {seq} stands in commit {commit}, after {self._commit}.")
        self._commit, self._epoch = commit, epoch

    def _grow(self, leaves: list[bytes]) -> None:
        self.edge, completed = self.edge.grown(leaves)
        self.tiles.update(tile_rows(completed))


def tile_rows(completed: Sequence[tuple[Node, bytes]]) -> dict[tuple[int, int], bytes]:
    """Return the completed subtrees that are stored, by tile level and index."""
    return {
        (node.level // schema.TILE_BITS, node.position): value
        for node, value in completed
        if node.level % schema.TILE_BITS == 0
    }


async def is_fresh(connection: aiosqlite.Connection, settings: JournalSettings) -> bool:
    """Tell whether the database is still empty; otherwise accept its format and site.

    Raises ``JOURNAL_DAMAGED`` where it is none of ours, ``JOURNAL_NEWER`` where a later version
    wrote it, ``SITE_BINDING`` where it is another site's.
    """
    ((application,),) = await schema.fetch(connection, "PRAGMA application_id")
    ((version,),) = await schema.fetch(connection, "PRAGMA user_version")
    ((tables,),) = await schema.fetch(connection, "SELECT count(*) FROM sqlite_master")
    if (application, version, tables) == (0, 0, 0):
        return True
    if application != schema.APPLICATION_ID:
        raise _damaged(f"{settings.path} is not a journal.")
    if isinstance(version, int) and version > schema.SCHEMA_VERSION:
        raise HoldfastError(
            Code.JOURNAL_NEWER,
            f"The journal has format {version}; this program knows {schema.SCHEMA_VERSION}.",
        )
    found = await schema.fetch(connection, "SELECT v FROM meta WHERE k = 'site'")
    if found != [(settings.site.encode(),)]:
        raise HoldfastError(Code.SITE_BINDING, f"{settings.path} is not {settings.site}'s journal.")
    return False


async def configure(connection: aiosqlite.Connection, settings: JournalSettings) -> None:
    """Make ``connection`` the writer: durable, in WAL mode, within its bounds."""
    for pragma in schema.WRITER:
        await schema.fetch(connection, pragma)
    await schema.fetch(connection, f"PRAGMA wal_autocheckpoint = {settings.wal_pages:d}")
    if settings.pages_max:
        await schema.fetch(connection, f"PRAGMA max_page_count = {settings.pages_max:d}")


async def create(connection: aiosqlite.Connection, site: str) -> None:
    """Make the tables of an empty journal, all of them or none."""
    pragmas = (
        f"PRAGMA application_id = {schema.APPLICATION_ID}",
        f"PRAGMA user_version = {schema.SCHEMA_VERSION}",
    )
    try:
        await connection.execute("BEGIN IMMEDIATE")
        for statement in (*schema.TABLES, *pragmas):
            await connection.execute(statement)
        await connection.execute(schema.INSERT_META, ("site", site.encode()))
        await connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise schema.translated(error) from error


async def verify(
    connection: aiosqlite.Connection, settings: JournalSettings, mark: Tail | None
) -> Verified:
    """Return the verified end of the journal; nothing is written. Raises ``JOURNAL_DAMAGED``.

    The connection should be read-only: the last writer to close an intact database removes the
    write-ahead log, and with it what might still be rescued from a damaged one.
    """
    if await schema.fetch(connection, "PRAGMA quick_check(1)") != [("ok",)]:
        raise _damaged("The journal's pages do not hold together.")
    fetch: Fetch = partial(schema.fetch, connection)
    ((count,),) = await fetch("SELECT coalesce(max(seq), 0) FROM journal", ())
    signed = await _signed_roots(fetch, settings)
    few = isinstance(count, int) and count <= settings.rehash_all_records
    edge, tail = (Edge(), START) if few else await _trusted_start(fetch, signed)
    reached = mark.seq if mark else 0
    scan = Scan(edge, tail, frozenset({*signed, reached}))
    await _run(fetch, scan)
    for size, root in signed.items():
        if size not in scan.roots and size < edge.size:
            scan.roots[size] = (await read_edge(fetch, size)).root()
        if scan.roots.get(size) != root:
            raise _damaged(f"The root over {size} records is not the one that was signed.")
    if reached < edge.size:
        scan.roots[reached] = (await read_edge(fetch, reached)).root()
    opened = Opened(scan.tail, scan.edge, max(signed, default=0))
    return Verified(opened, scan.roots.get(reached), await _wrong_tiles(fetch, scan))


async def mend(connection: aiosqlite.Connection, tiles: list[schema.Row]) -> None:
    """Write tiles again that were found wrong; they are a cache."""
    if not tiles:
        return
    try:
        await connection.execute("BEGIN IMMEDIATE")
        await connection.executemany(schema.INSERT_TILE, tiles)
        await connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise schema.translated(error) from error


async def rehash(fetch: Fetch, tail: Tail) -> None:
    """Re-hash every record up to ``tail``; raises ``JOURNAL_DAMAGED`` naming the first bad one."""
    scan = Scan(Edge(), START, frozenset({tail.seq}))
    while scan.edge.size < tail.seq:
        limit = min(_CHUNK_RECORDS, tail.seq - scan.edge.size)
        rows = await fetch(_ROWS, (scan.edge.size, limit))
        if not rows:
            raise _damaged(f"Record {scan.edge.size + 1} is missing.")
        scan.take(rows)
    if scan.tail != tail:
        raise _damaged(f"The root over {tail.seq} records is not the one that was committed.")


async def _run(fetch: Fetch, scan: Scan) -> None:
    while rows := await fetch(_ROWS, (scan.edge.size, _CHUNK_RECORDS)):
        scan.take(rows)


async def _signed_roots(fetch: Fetch, settings: JournalSettings) -> dict[int, bytes]:
    """The latest checkpoints' roots by size; a log that nobody signs has none."""
    if not settings.verifiers:
        return {}
    rows = await fetch(
        "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT ?", (_CHECKPOINTS_CHECKED,)
    )
    signed: dict[int, bytes] = {}
    for size, note in rows:
        found = _verified(str(note).encode(), settings)
        if found is None or found.size != size:
            raise _damaged(f"The checkpoint over {size} records does not verify.")
        signed[found.size] = found.root
    return signed


def _verified(note: bytes, settings: JournalSettings) -> checkpoints.Checkpoint | None:
    for verifier in settings.verifiers:
        try:
            return checkpoints.verify(note, verifier)
        except NoteError:
            continue
    return None


async def _trusted_start(fetch: Fetch, signed: dict[int, bytes]) -> tuple[Edge, Tail]:
    """The last checkpoint that the stored hashes reach; the beginning where they do not."""
    size = max(signed, default=0)
    rows = await fetch("SELECT commit_no, epoch FROM journal WHERE seq = ?", (size,))
    for commit, epoch in rows:
        edge = await read_edge(fetch, size)
        if edge.root() == signed[size] and isinstance(commit, int) and isinstance(epoch, int):
            return edge, Tail(commit=commit, seq=size, epoch=epoch, root=edge.root())
    return Edge(), START


async def _wrong_tiles(fetch: Fetch, scan: Scan) -> list[schema.Row]:
    rows = await fetch("SELECT level, idx, hash FROM tile", ())
    stored = {(level, idx): value for level, idx, value in rows}
    return [(*key, value) for key, value in scan.tiles.items() if stored.get(key) != value]


def _damaged(sentence: str) -> HoldfastError:
    return HoldfastError(Code.JOURNAL_DAMAGED, sentence)
