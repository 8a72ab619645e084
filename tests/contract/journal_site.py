"""What the journal's tests share: deterministic records, a site's settings, the reference root.

Run as a program it is a writer to be killed: ``journal_site.py FOLDER`` commits until it dies and
prints the number of each commit once it is acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from holdfast_controller.adapters.sqlite_journal import JournalSettings, SqliteJournal, open_journal
from holdfast_controller.journal.memory import MemoryJournal
from holdfast_controller.journal.port import Commit, Committed, Record, Tail, following
from holdfast_evidence import Edge, Signer, leaf_hash

AnyJournal = MemoryJournal | SqliteJournal


def site(folder: Path, signer: Signer | None = None) -> JournalSettings:
    return JournalSettings(
        path=folder / "journal.db",
        high_water=folder / "marks" / "journal",
        site="site-1",
        signer=signer,
        reserve_bytes=4096,
    )


def record(seq: int, subject: str = "node-1") -> Record:
    return Record(kind="node_seen", subject=subject, body=b'{"seq":%d}' % seq)


def records(tail: Tail, count: int) -> list[Record]:
    return [record(tail.seq + 1 + n, f"node-{n % 3}") for n in range(count)]


async def fill(journal: AnyJournal, *counts: int) -> list[Commit]:
    commits: list[Commit] = []
    for count in counts:
        commits.append(following(journal.tail, records(journal.tail, count)))
        outcome = await journal.append(journal.tail, commits[-1])
        assert outcome == Committed(tail=journal.tail)
    return commits


def reference_root(size: int) -> bytes:
    return Edge().grown(leaf_hash(record(n + 1).body) for n in range(size)).edge.root()


def sized(number: int) -> int:
    """How many records commit ``number`` has in a history that is known beforehand."""
    return 1 + number * number % 7


async def assert_known_prefix(journal: AnyJournal) -> None:
    """The journal is exactly the first commits of the known history, whole, with their root."""
    seq = 0
    commits = await journal.read(0, 1_000_000)
    for number, commit in enumerate(commits, start=1):
        assert (commit.number, commit.first_seq) == (number, seq + 1)
        assert [each.body for each in commit.records] == [
            record(seq + 1 + n).body for n in range(sized(number))
        ]
        seq += sized(number)
    assert (journal.tail.commit, journal.tail.seq) == (len(commits), seq)
    assert journal.tail.root == reference_root(seq)


async def _write_until_killed(folder: Path) -> None:
    async with open_journal(site(folder)) as journal:
        while True:
            await fill(journal, sized(journal.tail.commit + 1))
            sys.stdout.write(f"{journal.tail.commit}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_write_until_killed(Path(sys.argv[1])))
