"""The journal's numbers beside the disk's own: commit latency, start, proofs.

``python bench/journal.py [--json] [--records N] [--dir D]``; takes a few seconds. Latency is told
as a ratio to ``fdatasync`` of a page of the same directory, measured between the commits of the
same run: a disk's speed differs more from minute to minute than the journal does. A commit is two
flushes, the database's and the high-water mark's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_controller.adapters.sqlite_journal import JournalSettings, SqliteJournal, open_journal
from holdfast_controller.journal.port import Committed, Record, following
from holdfast_evidence import Signer, leaf_hash, verify_inclusion

COMMITS = 500
GROUP = 100
PROOFS = 300
FILL_RECORDS = 2000


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Two points of a distribution, milliseconds."""

    p50_ms: float
    p99_ms: float

    def over(self, other: Spread) -> Spread:
        """Return the ratios to another distribution, point by point."""
        return Spread(p50_ms=self.p50_ms / other.p50_ms, p99_ms=self.p99_ms / other.p99_ms)


def spread(samples_s: list[float]) -> Spread:
    """Return the median and the 99th percentile of samples in seconds."""
    cuts = statistics.quantiles(samples_s, n=100)
    return Spread(p50_ms=cuts[49] * 1000, p99_ms=cuts[98] * 1000)


def record(number: int) -> Record:
    """Return a record of the size that a placement has, about 230 bytes."""
    body = b'{"at_s":%d,"decision":"placed","device":"%s","node":"de-%d"}'
    filled = body % (number, b"GPU-%032x" % (number * 7919) * 4, number % 2000)
    return Record(kind="placed", subject=f"node/de-{number % 2000}", body=filled)


async def append(journal: SqliteJournal, count: int) -> None:
    """Append one commit of ``count`` records."""
    first = journal.tail.seq + 1
    commit = following(journal.tail, [record(first + n) for n in range(count)])
    outcome = await journal.append(journal.tail, commit)
    assert isinstance(outcome, Committed), outcome


async def latencies(journal: SqliteJournal, folder: Path) -> tuple[Spread, Spread, Spread]:
    """Return the disk's own flush, a commit of one record, and a commit of a group."""
    page, flushes, single, group = os.urandom(4096), [], [], []
    file = os.open(folder / "page", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for turn in range(COMMITS):
            started = time.perf_counter()
            os.pwrite(file, page, 4096 * turn)
            os.fdatasync(file)
            flushes.append(time.perf_counter() - started)
            started = time.perf_counter()
            await append(journal, 1)
            single.append(time.perf_counter() - started)
            if turn % 5 == 0:
                started = time.perf_counter()
                await append(journal, GROUP)
                group.append(time.perf_counter() - started)
    finally:
        os.close(file)
    return spread(flushes), spread(single), spread(group)


async def proofs(journal: SqliteJournal) -> Spread:
    """Return how long one proof takes; each is verified."""
    dice, size, samples = random.Random(1), journal.tail.seq, []
    for _ in range(PROOFS):
        seq = dice.randrange(1, size + 1)
        started = time.perf_counter()
        proof = await journal.proof(seq, size)
        samples.append(time.perf_counter() - started)
        leaf = leaf_hash(proof.record)
        assert verify_inclusion(
            leaf=leaf, index=seq - 1, size=size, proof=proof.hashes, root=journal.tail.root
        )
    return spread(samples)


async def start_s(settings: JournalSettings) -> float:
    """Return the seconds from nothing to an open, verified journal."""
    started = time.perf_counter()
    async with open_journal(settings):
        return time.perf_counter() - started


async def measure(folder: Path, records: int) -> dict[str, object]:
    """Return every number, by name."""
    key = Ed25519PrivateKey.generate()
    settings = JournalSettings(
        path=folder / "journal.db",
        high_water=folder / "marks" / "journal",
        site="bench",
        signer=Signer(origin="holdfast/bench/audit", key=key),
    )
    async with open_journal(settings) as journal:
        disk, single, group = await latencies(journal, folder)
        started, before = time.perf_counter(), journal.tail.seq
        while journal.tail.seq < records:
            await append(journal, min(FILL_RECORDS, records - journal.tail.seq))
        fill_s, filled = time.perf_counter() - started, journal.tail.seq - before
        proof = await proofs(journal)
    since_checkpoint = msgspec.structs.replace(settings, rehash_all_records=0)
    whole = msgspec.structs.replace(settings, rehash_all_records=2**40)
    return {
        "fdatasync": msgspec.to_builtins(disk),
        "commit_of_1": msgspec.to_builtins(single),
        "commit_of_1_over_fdatasync": {
            "p50": single.over(disk).p50_ms,
            "p99": single.over(disk).p99_ms,
        },
        f"commit_of_{GROUP}": msgspec.to_builtins(group),
        "records": records,
        "append_records_per_s": filled / fill_s if filled else None,
        "start_rehashing_all_s": await start_s(whole),
        "start_since_checkpoint_s": await start_s(since_checkpoint),
        "proof": msgspec.to_builtins(proof),
        "database_bytes": settings.path.stat().st_size,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--dir", type=Path, help="on which disk (default: the temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="journal-bench-") as folder:
        found = asyncio.run(measure(Path(folder), options.records))
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name, value in found.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        text = "  ".join(
            f"{part} {n:,.3f}" if isinstance(n, float) else f"{n}" for part, n in parts
        )
        sys.stdout.write(f"{name:28} {text.strip()}\n")


if __name__ == "__main__":
    main()
