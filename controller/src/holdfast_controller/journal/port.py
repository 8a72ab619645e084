"""The port to the journal: the one truth of a site, and its audit log.

A record is bytes, one Merkle leaf (RFC 6962) and one row; what the bytes mean is the business of
whoever folds them. Records enter in commits: all of one or none of it. ``kind`` and ``subject``
are labels for finding records again; the leaf covers the body alone, so they must stand in it too.

A leader has at most one append in flight and puts everything that queued meanwhile into the next
commit: grouping belongs to the caller, and needs no timer. A journal may put further commits that
chain on one another, and cache rows, into the same write to disk.

An outcome is Committed, Refused or Unknown. Unknown is never "failed": stop acting, and
:meth:`Journal.resolve` before anything else. What surely was not written, because the disk was
full or the store had stopped before, raises ``DISK_FULL`` or ``STORE_FAILED`` instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from holdfast_evidence import EMPTY_ROOT
from holdfast_protocol import limits
from holdfast_protocol.errors import Code, HoldfastError


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record to be journalled; ``body`` is encoded already and never re-encoded."""

    kind: str
    subject: str
    body: bytes


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One record as it stands in the journal; ``seq`` counts from 1."""

    seq: int
    commit_no: int
    kind: str
    subject: str
    record: bytes


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """Where a journal ends: last commit, last record, epoch, and the Merkle root over all."""

    commit: int
    seq: int
    epoch: int
    root: bytes


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """Records that enter together; ``number`` counts from 1, ``first_seq`` is the first one's."""

    number: int
    epoch: int
    first_seq: int
    records: tuple[Record, ...]


class Committed(msgspec.Struct, frozen=True, kw_only=True, tag="committed"):
    """The commit is durable, and ``tail`` is the journal's end right after it."""

    tail: Tail


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The journal does not end where the caller expected: somebody else wrote. Demote, exit."""

    tail: Tail


class Unknown(msgspec.Struct, frozen=True, kw_only=True, tag="unknown"):
    """The commit may or may not be durable; ``error`` says why, one sentence."""

    error: str


Outcome = Committed | Refused | Unknown


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """That the record at ``seq`` is leaf ``seq - 1`` of the tree of ``size`` leaves under ``root``.

    ``hashes`` go from the leaf upwards, as RFC 6962, 2.1.1 orders them.
    """

    seq: int
    size: int
    root: bytes
    record: bytes
    hashes: tuple[bytes, ...]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A folded state after ``commit``; a cache that may be lost at any time."""

    commit: int
    fold_version: int
    body: bytes


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What a node was last sent: the stamp of the document, and its place in the stream."""

    node: str
    epoch: int
    generation: int
    digest: bytes
    stream_seq: int


class Journal(Protocol):
    """The record itself. All methods may be called from several tasks."""

    @property
    def tail(self) -> Tail:
        """The end of what is committed."""
        ...

    async def read(self, after: int, limit: int) -> list[Commit]:
        """Return at most ``limit`` commits with numbers above ``after``, in order."""
        ...

    async def append(self, expected: Tail, commit: Commit) -> Outcome:
        """Append ``commit`` if the journal ends at ``expected``; the commit must follow it.

        Raises ``TOO_LARGE`` beyond the limits, ``DISK_FULL`` or ``STORE_FAILED`` where surely
        nothing was written. A cancelled caller learns nothing; the commit goes on to its end.
        """
        ...

    async def resolve(self, expected: Tail, commit: Commit) -> Outcome:
        """Settle an Unknown append: find the commit at its place, or append it there now.

        With the same ``expected`` at most one of any number of attempts can land.
        """
        ...

    async def wait_beyond(self, commit: int, timeout_s: float) -> bool:
        """Tell whether the journal has a commit above ``commit``, at the latest after the time."""
        ...


class History(Protocol):
    """Questions about the past; answered from what is committed, never from memory of it."""

    async def history(self, subject: str | None, after_seq: int, limit: int) -> list[Entry]:
        """Return at most ``limit`` records above ``after_seq``, in order, of one subject or all."""
        ...

    async def proof(self, seq: int, size: int | None = None) -> Proof:
        """Prove one record within the first ``size`` records (all, by default).

        Raises ``NOT_FOUND`` where there is no such record or size.
        """
        ...

    async def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """Prove that the first ``old`` records begin the first ``size``; else ``NOT_FOUND``."""
        ...


class Caches(Protocol):
    """What the journal keeps beside the record; every row may vanish without harm."""

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep ``snapshot``; the last two stay."""
        ...

    async def load_snapshot(self, fold_version: int) -> Snapshot | None:
        """Return the newest whole snapshot of this version that the journal reaches, or None."""
        ...

    async def mark_sent(self, marks: Sequence[Sent]) -> None:
        """Remember what was sent, one row per node."""
        ...

    async def sent(self) -> dict[str, Sent]:
        """Return the marks by node."""
        ...


START: Final = Tail(commit=0, seq=0, epoch=0, root=EMPTY_ROOT)
"""The end of an empty journal."""


def following(tail: Tail, records: Sequence[Record], epoch: int | None = None) -> Commit:
    """Return the commit of ``records`` right after ``tail``, in its epoch or a later one."""
    return Commit(
        number=tail.commit + 1,
        epoch=tail.epoch if epoch is None else epoch,
        first_seq=tail.seq + 1,
        records=tuple(records),
    )


def admit(tail: Tail, expected: Tail, commit: Commit) -> Refused | None:
    """Return the refusal of ``commit`` by a journal that ends at ``tail``, None if it may enter.

    Raises ``TOO_LARGE`` beyond the limits, and ``DEFECT`` where the commit does not follow
    ``expected``: only a wrong program makes such a one.
    """
    follows = (commit.number, commit.first_seq) == (expected.commit + 1, expected.seq + 1)
    if not follows or not commit.records or commit.epoch < expected.epoch:
        raise HoldfastError(
            Code.DEFECT, f"Commit {commit.number} does not follow commit {expected.commit}."
        )
    size_bytes = sum(len(record.body) for record in commit.records)
    many = len(commit.records) > limits.JOURNAL_COMMIT_RECORDS
    if many or size_bytes > limits.JOURNAL_COMMIT_BYTES:
        raise HoldfastError(
            Code.TOO_LARGE,
            f"Commit {commit.number} has {len(commit.records)} records and {size_bytes} bytes; "
            f"{limits.JOURNAL_COMMIT_RECORDS} and {limits.JOURNAL_COMMIT_BYTES} are allowed.",
        )
    return None if tail == expected else Refused(tail=tail)
