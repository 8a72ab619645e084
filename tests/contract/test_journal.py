"""What every journal does: the same suite on the fake and on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from holdfast_controller.adapters.sqlite_journal import open_journal
from holdfast_controller.journal.memory import MemoryJournal
from holdfast_controller.journal.port import (
    START,
    Commit,
    Committed,
    Record,
    Refused,
    Sent,
    Snapshot,
    Tail,
    following,
)
from holdfast_evidence import leaf_hash, verify_consistency, verify_inclusion
from holdfast_protocol import limits
from holdfast_protocol.errors import Code, HoldfastError

from tests.contract.journal_site import AnyJournal, fill, record, records, reference_root, site

BOTH = pytest.mark.parametrize("kind", ["memory", "sqlite"])


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[AnyJournal]:
    if kind == "memory":
        yield MemoryJournal()
        return
    async with open_journal(site(folder)) as journal:
        yield journal


@BOTH
async def test_commits_come_back_whole_and_in_order(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        assert journal.tail == START
        commits = await fill(journal, 1, 3, 2, 300)
        assert await journal.read(0, 100) == commits
        assert await journal.read(1, 2) == commits[1:3]
        assert await journal.read(4, 100) == []
        assert (journal.tail.commit, journal.tail.seq, journal.tail.epoch) == (4, 306, 0)


@BOTH
async def test_the_root_is_the_reference_trees(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        for count in (1, 1, 5, 248, 1, 1, 255, 300):
            await fill(journal, count)
            assert journal.tail.root == reference_root(journal.tail.seq)


@BOTH
async def test_an_append_on_another_tail_is_refused_and_changes_nothing(
    kind: str, tmp_path: Path
) -> None:
    async with opened(kind, tmp_path) as journal:
        await fill(journal, 2)
        before = journal.tail
        await fill(journal, 1)
        after = journal.tail
        stale = following(before, records(before, 1))
        assert await journal.append(before, stale) == Refused(tail=after)
        forged = Tail(commit=after.commit, seq=after.seq, epoch=after.epoch, root=b"\0" * 32)
        assert await journal.append(forged, following(forged, records(forged, 1))) == Refused(
            tail=after
        )
        assert journal.tail == after
        assert len(await journal.read(0, 10)) == 2


@BOTH
async def test_of_many_at_once_one_lands(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        rivals = [following(START, [record(1, f"rival-{n}")]) for n in range(20)]
        outcomes = await asyncio.gather(*(journal.append(START, each) for each in rivals))
        landed = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Committed)]
        assert len(landed) == 1
        assert await journal.read(0, 10) == [rivals[landed[0]]]


@BOTH
async def test_the_epoch_rises_and_never_falls(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        await fill(journal, 1)
        await journal.append(journal.tail, following(journal.tail, records(journal.tail, 1), 7))
        assert journal.tail.epoch == 7
        await fill(journal, 1)
        assert [commit.epoch for commit in await journal.read(0, 10)] == [0, 7, 7]
        with pytest.raises(HoldfastError) as caught:
            await journal.append(journal.tail, following(journal.tail, records(journal.tail, 1), 6))
        assert caught.value.code == Code.DEFECT


@BOTH
async def test_a_commit_that_follows_nothing_is_a_defect(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        good = following(START, [record(1)])
        wrong = [
            Commit(number=2, epoch=0, first_seq=1, records=good.records),
            Commit(number=1, epoch=0, first_seq=2, records=good.records),
            Commit(number=1, epoch=0, first_seq=1, records=()),
        ]
        for commit in wrong:
            with pytest.raises(HoldfastError) as caught:
                await journal.append(START, commit)
            assert caught.value.code == Code.DEFECT
        assert journal.tail == START


@BOTH
async def test_a_commit_at_the_bounds_enters_and_one_past_does_not(
    kind: str, tmp_path: Path
) -> None:
    def sized(size_bytes: int) -> Record:
        return Record(kind="k", subject="s", body=b"x" * size_bytes)

    async with opened(kind, tmp_path) as journal:
        for bad in (
            [sized(limits.JOURNAL_COMMIT_BYTES + 1)],
            [sized(1)] * (limits.JOURNAL_COMMIT_RECORDS + 1),
        ):
            with pytest.raises(HoldfastError) as caught:
                await journal.append(START, following(START, bad))
            assert caught.value.code == Code.TOO_LARGE
        for good in (
            [sized(limits.JOURNAL_COMMIT_BYTES)],
            [sized(1)] * limits.JOURNAL_COMMIT_RECORDS,
        ):
            outcome = await journal.append(journal.tail, following(journal.tail, good))
            assert isinstance(outcome, Committed)
        assert journal.tail.seq == 1 + limits.JOURNAL_COMMIT_RECORDS


@BOTH
async def test_resolve_finds_lands_or_refuses(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        await fill(journal, 3)
        before = journal.tail
        mine = following(before, records(before, 2))
        other = following(before, [record(99)])
        landed = await journal.resolve(before, mine)
        assert landed == Committed(tail=journal.tail)
        await fill(journal, 1)
        assert await journal.resolve(before, mine) == landed
        assert await journal.resolve(before, other) == Refused(tail=journal.tail)
        forged = Tail(commit=before.commit, seq=before.seq, epoch=0, root=b"\0" * 32)
        assert await journal.resolve(forged, mine) == Refused(tail=journal.tail)


@BOTH
async def test_following_sees_each_commit(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        assert not await journal.wait_beyond(0, 0.001)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(journal.wait_beyond(1, 30))
            await fill(journal, 1)
            await asyncio.sleep(0)
            assert not waiting.done()
            await fill(journal, 1)
        assert waiting.result()
        assert await journal.wait_beyond(1, 0)


@BOTH
async def test_a_cancelled_caller_does_not_halve_its_commit(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        for turn in range(20):
            commit = following(journal.tail, records(journal.tail, 4))
            task = asyncio.create_task(_append(journal, journal.tail, commit))
            for _ in range(turn):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            outcome = await journal.resolve(
                Tail(
                    commit=commit.number - 1,
                    seq=commit.first_seq - 1,
                    epoch=0,
                    root=reference_root(commit.first_seq - 1),
                ),
                commit,
            )
            assert isinstance(outcome, Committed)
        assert [len(c.records) for c in await journal.read(0, 100)] == [4] * 20
        assert journal.tail.root == reference_root(80)


async def _append(journal: AnyJournal, expected: Tail, commit: Commit) -> None:
    await journal.append(expected, commit)


@BOTH
async def test_history_by_subject_and_by_place(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        await fill(journal, 6, 6)
        everything = await journal.history(None, 0, 100)
        assert [entry.seq for entry in everything] == list(range(1, 13))
        assert [entry.commit_no for entry in everything] == [1] * 6 + [2] * 6
        assert everything[3].record == record(4).body
        assert everything[3].kind == "node_seen"
        assert [entry.seq for entry in await journal.history("node-1", 2, 2)] == [5, 8]
        assert await journal.history("nobody", 0, 10) == []
        assert [entry.seq for entry in await journal.history(None, 10, 100)] == [11, 12]


@BOTH
async def test_every_record_can_be_proven(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        await fill(journal, 200, 200, 200)
        for seq in (1, 2, 255, 256, 257, 512, 513, 599, 600):
            for size in (seq, 600):
                proof = await journal.proof(seq, size)
                assert proof.root == reference_root(size)
                assert proof.record == record(seq).body
                assert verify_inclusion(
                    leaf=leaf_hash(proof.record),
                    index=seq - 1,
                    size=size,
                    proof=proof.hashes,
                    root=proof.root,
                )
        for old in (1, 255, 256, 300, 512, 600):
            hashes = await journal.consistency(old, 600)
            assert verify_consistency(
                old=old,
                size=600,
                proof=hashes,
                old_root=reference_root(old),
                root=journal.tail.root,
            )
        for seq, size in ((0, 600), (601, 601), (7, 6), (1, 601)):
            with pytest.raises(HoldfastError) as caught:
                await journal.proof(seq, size)
            assert caught.value.code == Code.NOT_FOUND
            with pytest.raises(HoldfastError):
                await journal.consistency(seq, size)


@BOTH
async def test_snapshots_are_a_cache_of_two(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        assert await journal.load_snapshot(1) is None
        await fill(journal, 1, 1, 1)
        kept = [Snapshot(commit=n, fold_version=1, body=b"state %d" % n) for n in (1, 2, 3)]
        for each in kept:
            await journal.save_snapshot(each)
        assert await journal.load_snapshot(1) == kept[2]
        assert await journal.load_snapshot(2) is None
        ahead = Snapshot(commit=9, fold_version=1, body=b"of a journal that was longer")
        await journal.save_snapshot(ahead)
        assert await journal.load_snapshot(1) == kept[2]


@BOTH
async def test_what_was_sent_is_kept_by_node(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as journal:
        first = Sent(node="de-1", epoch=1, generation=4, digest=b"a" * 32, stream_seq=9)
        second = Sent(node="de-2", epoch=1, generation=4, digest=b"b" * 32, stream_seq=10)
        later = Sent(node="de-1", epoch=1, generation=5, digest=b"c" * 32, stream_seq=11)
        await journal.mark_sent([first, second])
        await journal.mark_sent([later])
        await journal.mark_sent([])
        assert await journal.sent() == {"de-1": later, "de-2": second}
