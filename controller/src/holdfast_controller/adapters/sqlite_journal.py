"""The journal in SQLite: ``Journal``, ``History`` and ``Caches`` on one verified database.

:func:`open_journal` takes the lock, verifies everything it can, and owns the writer's task and
all connections until it is left; aiosqlite's threads outlive a program that forgets to close them.
Reads come from read-only connections, and every record read is hashed again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final, TypeVar

import msgspec
from holdfast_evidence import leaf_hash
from holdfast_evidence.logic import merkle
from holdfast_protocol import limits
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.adapters import sqlite_opening as opening
from holdfast_controller.adapters import sqlite_schema as schema
from holdfast_controller.adapters.high_water import HighWater, judge
from holdfast_controller.adapters.journal_files import JournalFiles, Room
from holdfast_controller.adapters.journal_settings import JournalSettings
from holdfast_controller.adapters.sqlite_nodes import read_edge, read_nodes
from holdfast_controller.adapters.sqlite_readers import Readers
from holdfast_controller.adapters.sqlite_writer import Plan, Writer
from holdfast_controller.journal.port import (
    Commit,
    Committed,
    Entry,
    Outcome,
    Proof,
    Record,
    Refused,
    Sent,
    Snapshot,
    Tail,
    Unknown,
)

__all__ = ["JournalSettings", "Room", "SqliteJournal", "open_journal"]

_SNAPSHOTS_KEPT: Final = 2

_T = TypeVar("_T")


class _Row(msgspec.Struct, frozen=True, array_like=True):
    seq: int
    commit_no: int
    epoch: int
    kind: str
    subject: str
    record: bytes
    leaf: bytes


_COLUMNS: Final = "seq, commit_no, epoch, kind, subject, record, leaf"


class SqliteJournal:
    """An open journal; made by :func:`open_journal` alone."""

    def __init__(self, writer: Writer, readers: Readers, files: JournalFiles) -> None:
        self._writer = writer
        self._readers = readers
        self._files = files

    @property
    def tail(self) -> Tail:
        """The end of what is committed."""
        return self._writer.tail

    @property
    def stopped(self) -> str | None:
        """Why nothing more is written, None while all is well."""
        return self._writer.stopped

    @property
    def transactions(self) -> int:
        """How many transactions reached the disk since the journal was opened."""
        return self._writer.transactions

    async def read(self, after: int, limit: int) -> list[Commit]:
        rows = await self._rows(
            f"SELECT {_COLUMNS} FROM journal WHERE commit_no > ? AND commit_no <= ? ORDER BY seq",  # noqa: S608 - the columns are a constant
            (after, after + limit),
        )
        commits: dict[int, list[_Row]] = {}
        for row in rows:
            commits.setdefault(row.commit_no, []).append(row)
        return [
            Commit(
                number=number,
                epoch=found[0].epoch,
                first_seq=found[0].seq,
                records=tuple(
                    Record(kind=row.kind, subject=row.subject, body=row.record) for row in found
                ),
            )
            for number, found in commits.items()
        ]

    async def append(self, expected: Tail, commit: Commit) -> Outcome:
        outcome = await self._writer.put(lambda plan: plan.append(expected, commit))
        assert outcome is not None, "an append always has an outcome"
        return outcome

    async def resolve(self, expected: Tail, commit: Commit) -> Outcome:
        # The commit may still be on its way, left behind by a cancelled caller: pass the writer
        # once before looking. Where it stopped, its connection may show a past that the file has
        # not, and only opening again tells.
        try:
            await self._writer.put(lambda plan: None)
        except HoldfastError as error:
            return Unknown(error=error.message)
        found = await self.read(commit.number - 1, 1)
        if not found:
            return await self.append(expected, commit)
        before = await read_edge(self._readers.fetch, expected.seq)
        if found != [commit] or before.root() != expected.root:
            return Refused(tail=self.tail)
        size = commit.first_seq - 1 + len(commit.records)
        root = (await read_edge(self._readers.fetch, size)).root()
        return Committed(
            tail=Tail(commit=commit.number, seq=size, epoch=commit.epoch, root=root),
        )

    async def wait_beyond(self, commit: int, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while self.tail.commit <= commit:
                    await self._writer.wait_moved()
        except TimeoutError:
            return False
        return True

    async def history(self, subject: str | None, after_seq: int, limit: int) -> list[Entry]:
        # Two texts, since one with "? IS NULL OR" would not use the index.
        where = "seq > ?" if subject is None else "subject = ? AND seq > ?"
        values = (after_seq, limit) if subject is None else (subject, after_seq, limit)
        rows = await self._rows(
            f"SELECT {_COLUMNS} FROM journal WHERE {where} ORDER BY seq LIMIT ?",  # noqa: S608 - both parts are constants
            values,
        )
        return [
            Entry(
                seq=row.seq,
                commit_no=row.commit_no,
                kind=row.kind,
                subject=row.subject,
                record=row.record,
            )
            for row in rows
        ]

    async def proof(self, seq: int, size: int | None = None) -> Proof:
        tail = self.tail
        size = tail.seq if size is None else size
        if not 0 < seq <= size <= tail.seq:
            raise HoldfastError(Code.NOT_FOUND, f"There is no record {seq} among the first {size}.")
        (entry,) = await self.history(None, seq - 1, 1)
        edge = () if size == tail.seq else merkle.edge_nodes(size)
        nodes = (*merkle.inclusion_nodes(seq - 1, size), *edge)
        hash_at = await read_nodes(self._readers.fetch, nodes)
        hashes = merkle.inclusion_proof(seq - 1, size, hash_at)
        root = merkle.root_at(size, hash_at) if edge else tail.root
        return Proof(seq=seq, size=size, root=root, record=entry.record, hashes=hashes)

    async def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        if not 0 < old <= size <= self.tail.seq:
            raise HoldfastError(Code.NOT_FOUND, f"There are no sizes {old} and {size}.")
        hash_at = await read_nodes(self._readers.fetch, merkle.consistency_nodes(old, size))
        return merkle.consistency_proof(old, size, hash_at)

    async def checkpoint(self) -> str | None:
        """Return the signed checkpoint at the tail, made now if need be; None where nobody signs.

        The caller asks once a minute; every thousand records and at the end one is made anyway.
        """
        await self._writer.put(lambda plan: plan.sign())
        return await self.last_checkpoint()

    async def last_checkpoint(self) -> str | None:
        """Return the newest signed checkpoint, a whole note, or None."""
        sql = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1"
        rows = await self._readers.fetch(sql, ())
        return str(rows[0][0]) if rows else None

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        digest = hashlib.sha256(snapshot.body).digest()
        row = (snapshot.commit, snapshot.fold_version, digest, snapshot.body)

        def enter(plan: Plan) -> None:
            plan.add(schema.INSERT_SNAPSHOT, [row])
            plan.add(schema.DROP_SNAPSHOTS, [(_SNAPSHOTS_KEPT,)])

        await self._writer.put(enter)

    async def load_snapshot(self, fold_version: int) -> Snapshot | None:
        rows = await self._readers.fetch(
            "SELECT commit_no, digest, body FROM snapshot"
            " WHERE fold_version = ? AND commit_no <= ? ORDER BY commit_no DESC",
            (fold_version, self.tail.commit),
        )
        for commit, digest, body in _typed(rows, tuple[int, bytes, bytes]):
            if hashlib.sha256(body).digest() == digest:
                return Snapshot(commit=commit, fold_version=fold_version, body=body)
        return None

    async def mark_sent(self, marks: Sequence[Sent]) -> None:
        rows = [(m.node, m.epoch, m.generation, m.digest, m.stream_seq) for m in marks]
        await self._writer.put(lambda plan: plan.add(schema.INSERT_SENT, rows))

    async def sent(self) -> dict[str, Sent]:
        sql = "SELECT node, epoch, generation, digest, stream_seq FROM sent ORDER BY node"
        rows = _typed(await self._readers.fetch(sql, ()), tuple[str, int, int, bytes, int])
        return {
            node: Sent(
                node=node, epoch=epoch, generation=generation, digest=digest, stream_seq=stream_seq
            )
            for node, epoch, generation, digest, stream_seq in rows
        }

    async def put_meta(self, key: str, value: bytes) -> None:
        """Remember a cursor or setting beside the record; ``site`` stays the journal's own."""
        if key == "site":
            raise HoldfastError(Code.BAD_NAME, "The journal's site cannot be changed.")
        await self._writer.put(lambda plan: plan.add(schema.INSERT_META, [(key, value)]))

    async def meta(self, key: str) -> bytes | None:
        """Return what was put under ``key``, or None."""
        rows = _typed(
            await self._readers.fetch("SELECT v FROM meta WHERE k = ?", (key,)), tuple[bytes]
        )
        return rows[0][0] if rows else None

    async def rehash(self) -> None:
        """Hash every record again, up to the tail; raises ``JOURNAL_DAMAGED`` naming a bad one.

        For the background: it yields between a few thousand records.
        """
        await opening.rehash(self._readers.fetch, self.tail)

    def room(self) -> Room:
        """Return how much the journal can still take, after renewing the reserve if it fits."""
        self._files.keep_reserve(limits.JOURNAL_WISHES_FREE_BYTES)
        return self._files.room()

    async def _rows(self, sql: str, values: Sequence[object]) -> list[_Row]:
        rows = _typed(await self._readers.fetch(sql, values), _Row)
        for row in rows:
            if leaf_hash(row.record) != row.leaf:
                raise HoldfastError(
                    Code.JOURNAL_DAMAGED, f"Record {row.seq} does not match its leaf."
                )
        return rows


@asynccontextmanager
async def open_journal(settings: JournalSettings) -> AsyncIterator[SqliteJournal]:
    """Open the journal for the time of the context, creating it where there is none.

    Raises ``JOURNAL_HELD`` (another writer), ``JOURNAL_DAMAGED``, ``JOURNAL_ROLLBACK`` (shorter
    than the high-water mark, or another history), ``JOURNAL_NEWER``, ``SITE_BINDING`` or
    ``STORE_FAILED``. Where the disk failed a commit during this boot it opens for reading alone.
    """
    async with AsyncExitStack() as stack:
        files = JournalFiles(settings.path, settings.reserve_bytes)
        stack.callback(files.close)
        high_water = HighWater(settings.high_water)
        stack.callback(high_water.close)
        files.prepare()
        mark = None if settings.accept_rollback else high_water.read()
        found = await _verified(settings, mark)
        connection = await schema.connect(settings.path, write=True)
        stack.push_async_callback(connection.close)
        await opening.configure(connection, settings)
        if found is None:
            await opening.create(connection, settings.site)
        opened, _, tiles = found or opening.EMPTY
        await opening.mend(connection, tiles)
        if mark != opened.tail:
            high_water.reset(opened.tail)
        files.recognise()
        files.keep_reserve(limits.JOURNAL_WISHES_FREE_BYTES)
        readers = Readers(settings.path, settings.read_deadline_s)
        stack.push_async_callback(readers.close)
        await readers.open()
        writer = Writer(connection, settings, files, high_water, opened)
        task = asyncio.create_task(writer.run(), name="journal-writer")
        stack.push_async_callback(partial(writer.close, task))
        yield SqliteJournal(writer, readers, files)


async def _verified(settings: JournalSettings, mark: Tail | None) -> opening.Verified | None:
    """What the journal holds, None where it is to be created; raises where it may not be used."""
    connection = await schema.connect(settings.path, write=False)
    try:
        fresh = await opening.is_fresh(connection, settings)
        found = opening.EMPTY if fresh else await opening.verify(connection, settings, mark)
    finally:
        await connection.close()
    if not settings.accept_rollback:
        judge(mark, found.opened.tail, found.root_at_mark)
    return None if fresh else found


def _typed(rows: Iterable[schema.Row], kind: type[_T]) -> list[_T]:
    try:
        return [msgspec.convert(row, kind) for row in rows]
    except msgspec.ValidationError as error:
        raise HoldfastError(
            Code.JOURNAL_DAMAGED, f"A row of the journal does not fit: {error}."
        ) from error
