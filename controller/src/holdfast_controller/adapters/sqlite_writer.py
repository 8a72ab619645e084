"""The journal's one writer: a task that alone owns the writing connection.

Whatever queued while the last write ran goes into the next one, in one transaction, without a
timer: commits that chain on one another, and cache rows that ride along. Callers wait on futures,
so that a cancelled caller leaves the write alone; what it would have learned is dropped.

After any failure but a full disk the writer stops for good and says so: a restart re-reads the
tail. A full disk is a definite refusal: the transaction was rolled back, the reserve is given up
and the write tried again, then each part of it alone, since a smaller one may still fit.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import aiosqlite
from holdfast_evidence import leaf_hash
from holdfast_protocol import limits
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.adapters import sqlite_schema as schema
from holdfast_controller.adapters.high_water import HighWater
from holdfast_controller.adapters.journal_files import JournalFiles
from holdfast_controller.adapters.journal_settings import JournalSettings
from holdfast_controller.adapters.sqlite_opening import Opened, tile_rows
from holdfast_controller.journal.port import Commit, Committed, Outcome, Tail, Unknown, admit

_GROUP_JOBS: Final = 256

# What SQLite refuses before it writes the mark that makes a transaction count.
_DEFINITE: Final = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_CONSTRAINT", "SQLITE_READONLY")


class Plan:
    """One transaction in the making: its rows by statement, and where the journal would end."""

    def __init__(self, opened: Opened, settings: JournalSettings) -> None:
        self.opened = opened
        self.statements: dict[str, list[schema.Row]] = {}
        self._settings = settings

    def append(self, expected: Tail, commit: Commit) -> Outcome:
        """Return the commit's outcome if this transaction lands; raises as ``admit`` does."""
        tail, edge, signed = self.opened
        refusal = admit(tail, expected, commit)
        if refusal:
            return refusal
        leaves = [leaf_hash(record.body) for record in commit.records]
        grown = edge.grown(leaves)
        rows = zip(commit.records, leaves, strict=True)
        self.add(
            schema.INSERT_RECORD,
            (
                (seq, commit.number, commit.epoch, each.kind, each.subject, each.body, leaf)
                for seq, (each, leaf) in enumerate(rows, start=commit.first_seq)
            ),
        )
        tiles = tile_rows(grown.completed)
        self.add(schema.INSERT_TILE, ((*key, value) for key, value in tiles.items()))
        size, root = grown.edge.size, grown.edge.root()
        tail = Tail(commit=commit.number, seq=size, epoch=commit.epoch, root=root)
        self.opened = Opened(tail, grown.edge, signed)
        if size - signed >= self._settings.checkpoint_records:
            self.sign()
        return Committed(tail=tail)

    def sign(self) -> None:
        """Add a checkpoint at the end, unless it stands there already or nobody signs."""
        tail, edge, signed = self.opened
        signer = self._settings.signer
        if signer is None or tail.seq == signed:
            return
        note = signer.sign(size=tail.seq, root=tail.root)
        self.add(schema.INSERT_CHECKPOINT, [(tail.seq, tail.commit, note)])
        self.opened = Opened(tail, edge, tail.seq)

    def add(self, statement: str, rows: Iterable[schema.Row]) -> None:
        """Add rows of one statement, after those it has already."""
        found = list(rows)
        if found:
            self.statements.setdefault(statement, []).extend(found)

    def single(self) -> tuple[str, schema.Row] | None:
        """Return the only row of the only statement, None where there is more."""
        rows = [(sql, row) for sql, rows in self.statements.items() for row in rows[:2]]
        return rows[0] if len(rows) == 1 else None


Enter = Callable[[Plan], Outcome | None]


class _Job(NamedTuple):
    enter: Enter
    done: asyncio.Future[Outcome | None]


class Writer:
    """``run`` it as a task; ``close`` ends it after what is queued."""

    def __init__(
        self,
        connection: aiosqlite.Connection,
        settings: JournalSettings,
        files: JournalFiles,
        high_water: HighWater,
        opened: Opened,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._files = files
        self._high_water = high_water
        self._opened = opened
        self._queue: asyncio.Queue[_Job | None] = asyncio.Queue(limits.JOURNAL_QUEUE)
        self._moved = asyncio.Event()
        self.stopped: str | None = None
        self.transactions = 0
        if files.in_doubt():
            self.stopped = "The disk failed a commit since this machine was started"

    @property
    def tail(self) -> Tail:
        """The end of what is committed."""
        return self._opened.tail

    async def put(self, enter: Enter) -> Outcome | None:
        """Return what ``enter`` said, once the transaction that it entered is durable.

        Raises ``STORE_FAILED``, ``DISK_FULL`` or what ``enter`` raised: surely nothing of it was
        written. ``BUSY`` where the queue is full.
        """
        self._refuse_if_stopped()
        done: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Job(enter, done))
        except asyncio.QueueFull as error:
            raise HoldfastError(Code.BUSY, "The journal has too much to write.") from error
        return await done

    async def wait_moved(self) -> None:
        """Return at the next commit."""
        await self._moved.wait()

    async def run(self) -> None:
        """Write until told to close."""
        try:
            while jobs := await self._next():
                await self._write_or_split(jobs)
        finally:
            self.stopped = self.stopped or "The journal is closed"
            while not self._queue.empty():
                job = self._queue.get_nowait()
                if job:
                    _fail(job, self._refusal())

    async def close(self, task: asyncio.Task[None]) -> None:
        """End ``task``, this writer's run, after what is queued; raises what ended it early.

        The last thing written is a checkpoint, where somebody signs and the disk still takes it.
        """
        if not task.done():
            with contextlib.suppress(HoldfastError):
                await self.put(lambda plan: plan.sign())
            await self._queue.put(None)
        await asyncio.shield(task)

    async def _next(self) -> list[_Job]:
        """What is queued, at least one job; empty at the end."""
        jobs: list[_Job] = []
        while len(jobs) < _GROUP_JOBS and not (jobs and self._queue.empty()):
            job = await self._queue.get()
            if job is None:
                # What was queued before the end is still written, by this turn or the next.
                if jobs:
                    self._queue.put_nowait(None)
                break
            jobs.append(job)
        return jobs

    async def _write_or_split(self, jobs: list[_Job]) -> None:
        if await self._write(jobs, last=False):
            return
        if self._files.spend_reserve() and await self._write(jobs, last=False):
            return
        for job in jobs:
            await self._write([job], last=True)

    async def _write(self, jobs: list[_Job], *, last: bool) -> bool:
        """Tell whether the jobs are settled; not so where the disk was full, unless ``last``."""
        if self.stopped:
            for job in jobs:
                _fail(job, self._refusal())
            return True
        plan = Plan(self._opened, self._settings)
        entered: list[tuple[_Job, Outcome | None]] = []
        for job in jobs:
            try:
                entered.append((job, job.enter(plan)))
            except HoldfastError as error:
                _fail(job, error)
        failure = await self._transact(plan) if plan.statements else None
        if isinstance(failure, HoldfastError):
            if failure.code == Code.DISK_FULL and not last:
                return False
            for job, _ in entered:
                _fail(job, failure)
            return True
        for job, verdict in entered:
            if failure is None:
                _settle(job, verdict)
            elif isinstance(verdict, Committed):
                _settle(job, failure)
            else:
                _fail(job, self._refusal())
        return True

    async def _transact(self, plan: Plan) -> HoldfastError | Unknown | None:
        if self._files.replaced():
            return self._stop("The journal's file was replaced or removed")
        failure = await self._enter(plan)
        if failure is None and self._files.replaced():
            failure = self._doubt("The journal's file was replaced or removed")
        return failure or await self._adopt(plan)

    async def _enter(self, plan: Plan) -> HoldfastError | Unknown | None:
        single = plan.single()
        if single:
            # One row is its own transaction, and saves two turns through the thread.
            return await self._commit(*single)
        try:
            async with asyncio.timeout(self._settings.commit_deadline_s):
                await self._connection.execute("BEGIN IMMEDIATE")
                for statement, rows in plan.statements.items():
                    await self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            return await self._undone(error)
        except TimeoutError:
            return self._stop("The disk gave no answer")
        return await self._commit("COMMIT", ())

    async def _commit(self, statement: str, row: schema.Row) -> HoldfastError | Unknown | None:
        try:
            async with asyncio.timeout(self._settings.commit_deadline_s):
                await self._connection.execute(statement, row)
        except sqlite3.Error as error:
            if schema.error_name(error).startswith(_DEFINITE):
                return await self._undone(error)
            # The pages may be on the disk although the flush failed: a reader of the file after a
            # crash can find the commit that this connection says is not there.
            self._files.mark_doubt()
            return self._doubt(f"The disk failed the commit: {schema.error_name(error)}")
        except TimeoutError:
            self._files.mark_doubt()
            return self._doubt("The disk did not answer the commit")
        return None

    async def _adopt(self, plan: Plan) -> Unknown | None:
        """Take the new end; the mark outside stands before anybody hears of the commit."""
        moved = plan.opened.tail != self.tail
        self.transactions += 1
        if moved:
            try:
                await asyncio.to_thread(self._high_water.write, plan.opened.tail)
            except HoldfastError as error:
                return self._doubt(error.message.rstrip("."))
        self._opened = plan.opened
        if moved:
            self._moved.set()
            self._moved = asyncio.Event()
        return None

    async def _undone(self, cause: sqlite3.Error) -> HoldfastError:
        error = schema.translated(cause)
        try:
            if self._connection.in_transaction:
                await self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            return self._stop("The journal could not be rolled back")
        return error if error.code == Code.DISK_FULL else self._stop(error.message.rstrip("."))

    def _stop(self, why: str) -> HoldfastError:
        self.stopped = why
        return self._refusal()

    def _doubt(self, why: str) -> Unknown:
        self.stopped = why
        return Unknown(error=f"{why}.")

    def _refusal(self) -> HoldfastError:
        return HoldfastError(Code.STORE_FAILED, f"{self.stopped}; nothing more is written.")

    def _refuse_if_stopped(self) -> None:
        if self.stopped:
            raise self._refusal()


def _settle(job: _Job, outcome: Outcome | None) -> None:
    if not job.done.done():
        job.done.set_result(outcome)


def _fail(job: _Job, error: HoldfastError) -> None:
    if not job.done.done():
        job.done.set_exception(error)
