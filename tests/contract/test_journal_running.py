"""How a journal in SQLite behaves while the world fails: kills, disks, rivals, readers."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path

import msgspec
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
    Unknown,
    following,
)
from holdfast_protocol.errors import Code, HoldfastError

from tests.contract import journal_site
from tests.contract.journal_site import assert_known_prefix, fill, records, reference_root, site

ROOT = Path(__file__).resolve().parents[2]


def program(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *sys.path])),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def failure(work: Awaitable[object]) -> HoldfastError | None:
    try:
        await work
    except HoldfastError as error:
        return error
    return None


async def test_killed_at_any_moment_it_is_exactly_what_was_committed(tmp_path: Path) -> None:
    dice, acknowledged = random.Random(11), 0
    for _ in range(4):
        writer = program(journal_site.__file__, str(tmp_path))
        assert writer.stdout is not None
        for _ in range(dice.randrange(1, 400)):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate(timeout=30)
        acknowledged = max([acknowledged, *map(int, rest.split("\n")[:-1])])
        assert writer.returncode == -signal.SIGKILL
        async with open_journal(site(tmp_path)) as journal:
            assert acknowledged <= journal.tail.commit <= acknowledged + 1
            await assert_known_prefix(journal)


async def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    async with open_journal(site(tmp_path)) as journal:
        await fill(journal, 1)
        with pytest.raises(HoldfastError) as caught:
            async with open_journal(site(tmp_path)):
                pass
        assert caught.value.code == Code.JOURNAL_HELD
        rival = program(journal_site.__file__, str(tmp_path))
        _, errors = rival.communicate(timeout=30)
        assert rival.returncode == 1
        assert "JOURNAL_HELD" in errors
        await fill(journal, 1)


async def test_a_program_that_writes_behind_our_back_stops_us(tmp_path: Path) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 1)
        rival = sqlite3.connect(settings.path, isolation_level=None)
        rival.execute("BEGIN IMMEDIATE")
        with pytest.raises(HoldfastError) as caught:
            await fill(journal, 1)
        assert caught.value.code == Code.STORE_FAILED
        rival.execute("ROLLBACK")
        rival.close()
        with pytest.raises(HoldfastError):
            await fill(journal, 1)
        assert journal.tail.commit == 1
    async with open_journal(settings) as journal:
        await fill(journal, 1)


async def test_what_queues_shares_a_transaction(tmp_path: Path) -> None:
    plan = MemoryJournal()
    steps: list[tuple[Tail, Commit]] = []
    for _ in range(100):
        steps.append((plan.tail, following(plan.tail, records(plan.tail, 2))))
        plan.append_now(*steps[-1])
    marks = [
        Sent(node=f"n-{n}", epoch=0, generation=n, digest=b"d", stream_seq=n) for n in range(100)
    ]
    async with open_journal(site(tmp_path)) as journal:
        async with asyncio.TaskGroup() as group:
            appends = [group.create_task(journal.append(*step)) for step in steps]
            for mark in marks:
                group.create_task(journal.mark_sent([mark]))
        assert [task.result() for task in appends] == [
            Committed(tail=after) for after, _ in steps[1:]
        ] + [Committed(tail=plan.tail)]
        assert journal.transactions < 10
        assert journal.tail == plan.tail
        assert len(await journal.sent()) == 100
        assert len(await journal.read(0, 1000)) == 100


async def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    bounded = msgspec.structs.replace(site(tmp_path), pages_max=60)
    big = Record(kind="k", subject="s", body=b"x" * 20_000)
    async with open_journal(bounded) as journal:
        assert journal.room().reserve_held
        error: HoldfastError | None = None
        while error is None and journal.tail.commit < 100:
            error = await failure(journal.append(journal.tail, following(journal.tail, [big])))
        before = journal.tail
        assert error is not None
        assert error.code == Code.DISK_FULL
        assert before.commit == before.seq > 3
        assert journal.stopped is None
        assert not bounded.path.with_name("journal.db.reserve").exists()
        assert len(await journal.read(0, 1000)) == before.commit
        snapshot = Snapshot(commit=1, fold_version=1, body=b"y" * 200_000)
        small = following(before, records(before, 1))
        too_much, fits = await asyncio.gather(
            journal.save_snapshot(snapshot), journal.append(before, small), return_exceptions=True
        )
        assert isinstance(too_much, HoldfastError)
        assert too_much.code == Code.DISK_FULL
        assert fits == Committed(tail=journal.tail)
        assert journal.room().reserve_held
    async with open_journal(site(tmp_path)) as journal:
        assert journal.tail.commit == before.commit + 1
        await journal.append(journal.tail, following(journal.tail, [big]))


async def test_a_file_that_is_replaced_or_removed_stops_us(tmp_path: Path) -> None:
    for number, name in enumerate(("journal.db", "journal.db-wal", "journal.db")):
        settings = site(tmp_path / str(number))
        path = settings.path.with_name(name)
        async with open_journal(settings) as journal:
            await fill(journal, 5)
            if number == 2:
                aside = path.with_name("aside")
                aside.write_bytes(path.read_bytes())
                aside.replace(path)
            else:
                path.unlink()
            with pytest.raises(HoldfastError) as caught:
                await fill(journal, 1)
            assert caught.value.code == Code.STORE_FAILED
            assert "replaced or removed" in caught.value.message
            assert journal.tail.seq == 5


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int failing(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return strstr(path, "-wal") != NULL && access(getenv("FAIL_WHEN"), F_OK) == 0;
}
int fdatasync(int fd) {
  if (failing(fd)) { errno = EIO; return -1; }
  return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
int fsync(int fd) {
  if (failing(fd)) { errno = EIO; return -1; }
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
"""

UNFLUSHED = """
import asyncio, os, sys
from pathlib import Path
from holdfast_controller.adapters.sqlite_journal import open_journal
from holdfast_controller.journal.port import Unknown, following
from holdfast_protocol.errors import Code, HoldfastError
from tests.contract.journal_site import fill, records, site

async def main(folder, count):
    async with open_journal(site(folder)) as journal:
        await fill(journal, 3)
        Path(os.environ["FAIL_WHEN"]).touch()
        commit = following(journal.tail, records(journal.tail, count))
        outcome = await journal.append(journal.tail, commit)
        assert isinstance(outcome, Unknown), outcome
        assert isinstance(await journal.resolve(journal.tail, commit), Unknown)
        assert journal.tail.seq == 3
        try:
            await fill(journal, 1)
        except HoldfastError as error:
            assert error.code == Code.STORE_FAILED
        else:
            raise AssertionError("it went on")
        os._exit(7)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.mark.parametrize("count", [1, 2])
async def test_a_failed_flush_is_unknown_and_the_next_start_reads_only(
    tmp_path: Path, count: int
) -> None:
    source, shim = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM, encoding="ascii")
    built = await asyncio.create_subprocess_exec(
        "cc", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"
    )
    assert await built.wait() == 0
    broken = program(
        "-c",
        UNFLUSHED,
        str(tmp_path),
        str(count),
        LD_PRELOAD=str(shim),
        FAIL_WHEN=str(tmp_path / "fail"),
    )
    _, errors = broken.communicate(timeout=60)
    assert broken.returncode == 7, errors
    after_three = Tail(commit=1, seq=3, epoch=0, root=reference_root(3))
    commit = following(after_three, records(after_three, count))
    async with open_journal(site(tmp_path)) as journal:
        assert len(await journal.read(0, 10)) == journal.tail.commit
        with pytest.raises(HoldfastError) as caught:
            await fill(journal, 1)
        assert caught.value.code == Code.STORE_FAILED
        assert isinstance(await journal.resolve(after_three, commit), Unknown)
    # A boot changes the boot's id; removing the mark is the operator's way.
    (tmp_path / "journal.db.failed").write_text("another boot\n", encoding="ascii")
    async with open_journal(site(tmp_path)) as journal:
        assert await journal.resolve(after_three, commit) == Committed(tail=journal.tail)
        assert (journal.tail.commit, journal.tail.seq) == (2, 3 + count)
        assert journal.tail.root == reference_root(3 + count)
        assert isinstance(await journal.resolve(START, following(START, commit.records)), Refused)


async def test_a_forgotten_reader_grows_the_log_and_its_end_shrinks_it(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(site(tmp_path), wal_pages=8)
    async with open_journal(settings) as journal:
        await fill(journal, 1)
        reader = sqlite3.connect(f"file:{settings.path}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM journal").fetchone() == (1,)
        quiet = journal.room().wal_bytes
        await fill(journal, *[50] * 40)
        grown = journal.room().wal_bytes
        assert grown > 4 * quiet
        assert reader.execute("SELECT count(*) FROM journal").fetchone() == (1,)
        reader.close()
        # The next commit still goes to the log's end, and checkpoints all of it.
        await fill(journal, 1)
        grown = journal.room().wal_bytes
        await fill(journal, *[50] * 40)
        assert journal.room().wal_bytes == grown, "the log is used again from its start"


async def test_a_read_that_takes_too_long_ends(tmp_path: Path) -> None:
    async with open_journal(site(tmp_path)) as journal:
        await fill(journal, 2000)
    hurried = msgspec.structs.replace(site(tmp_path), read_deadline_s=0.0001)
    async with open_journal(hurried) as journal:
        with pytest.raises(HoldfastError) as caught:
            await journal.history(None, 0, 2000)
        assert caught.value.code == Code.DEADLINE
        await fill(journal, 1)


async def test_many_readers_beside_the_writer(tmp_path: Path) -> None:
    async with open_journal(site(tmp_path)) as journal:
        await fill(journal, 300)

        async def look() -> None:
            for _ in range(10):
                size = journal.tail.seq
                assert len(await journal.history(None, size - 100, 100)) == 100
                assert (await journal.proof(size // 2, size)).root == reference_root(size)

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(look())
            for _ in range(40):
                await fill(journal, 3)


async def test_a_corrupt_snapshot_is_not_there(tmp_path: Path) -> None:
    settings = site(tmp_path)
    async with open_journal(settings) as journal:
        await fill(journal, 1, 1)
        for commit in (1, 2):
            await journal.save_snapshot(Snapshot(commit=commit, fold_version=3, body=b"state"))
    connection = sqlite3.connect(settings.path)
    connection.execute("UPDATE snapshot SET body = x'00' WHERE commit_no = 2")
    connection.commit()
    connection.close()
    async with open_journal(settings) as journal:
        assert await journal.load_snapshot(3) == Snapshot(commit=1, fold_version=3, body=b"state")


async def test_cursors_are_kept_and_the_site_is_not_one(tmp_path: Path) -> None:
    async with open_journal(site(tmp_path)) as journal:
        assert await journal.meta("ingest") is None
        await journal.put_meta("ingest", b"17")
        with pytest.raises(HoldfastError):
            await journal.put_meta("site", b"other")
    async with open_journal(site(tmp_path)) as journal:
        assert await journal.meta("ingest") == b"17"


CANCEL = "asyncio.current_task().cancel(); await asyncio.sleep(9)"


@pytest.mark.parametrize("how", ["raise RuntimeError('a defect')", CANCEL])
def test_a_program_that_dies_inside_does_not_hang(tmp_path: Path, how: str) -> None:
    text = f"""
import asyncio, sys
from pathlib import Path
from holdfast_controller.adapters.sqlite_journal import open_journal
from tests.contract.journal_site import fill, site

async def main(folder):
    async with open_journal(site(folder)) as journal:
        await fill(journal, 3)
        {how}

asyncio.run(main(Path(sys.argv[1])))
"""
    dying = program("-c", text, str(tmp_path))
    _, errors = dying.communicate(timeout=30)
    assert dying.returncode == 1
    assert ("RuntimeError: a defect" in errors) != ("CancelledError" in errors)
    assert "never" not in errors


async def test_after_the_end_nothing_is_taken(tmp_path: Path) -> None:
    async with open_journal(site(tmp_path)) as journal:
        await fill(journal, 1)
    with pytest.raises(HoldfastError) as caught:
        await fill(journal, 1)
    assert caught.value.code == Code.STORE_FAILED
