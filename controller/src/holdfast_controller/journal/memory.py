"""A journal in memory: the fake beside the port, for tests and for the simulation.

The simulation has no loop, so everything is there as a plain call too (``append_now`` and so on);
the port's methods only wrap these. ``doubt_next`` makes the next append Unknown, landed or lost,
which is how the world's worst answer enters a history by seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from holdfast_evidence import Edge, leaf_hash
from holdfast_evidence.logic import merkle
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.journal.port import (
    START,
    Commit,
    Committed,
    Entry,
    Outcome,
    Proof,
    Refused,
    Sent,
    Snapshot,
    Tail,
    Unknown,
    admit,
)


class MemoryJournal:
    """Implements ``Journal``, ``History`` and ``Caches`` without a disk."""

    def __init__(self) -> None:
        self._commits: list[Commit] = []
        self._tails: list[Tail] = [START]
        self._entries: list[Entry] = []
        self._leaves: list[bytes] = []
        self._edge = Edge()
        self._snapshots: list[Snapshot] = []
        self._sent: dict[str, Sent] = {}
        self._doubt: bool | None = None
        self._moved = asyncio.Event()

    @property
    def tail(self) -> Tail:
        """The end of what is committed."""
        return self._tails[-1]

    def doubt_next(self, *, lands: bool) -> None:
        """Make the next append Unknown, whether it then stands in the journal or not."""
        self._doubt = lands

    def append_now(self, expected: Tail, commit: Commit) -> Outcome:
        """Do what ``append`` does, at once."""
        refusal = admit(self.tail, expected, commit)
        if refusal:
            return refusal
        doubt, self._doubt = self._doubt, None
        if doubt is not False:
            self._land(commit)
        if doubt is not None:
            return Unknown(error="The disk gave no answer.")
        return Committed(tail=self.tail)

    def resolve_now(self, expected: Tail, commit: Commit) -> Outcome:
        """Do what ``resolve`` does, at once."""
        if self.tail.commit >= commit.number:
            same = self._commits[commit.number - 1] == commit
            if same and self._tails[commit.number - 1] == expected:
                return Committed(tail=self._tails[commit.number])
            return Refused(tail=self.tail)
        return self.append_now(expected, commit)

    def read_now(self, after: int, limit: int) -> list[Commit]:
        """Do what ``read`` does, at once."""
        return self._commits[after : after + limit]

    async def read(self, after: int, limit: int) -> list[Commit]:
        return self.read_now(after, limit)

    async def append(self, expected: Tail, commit: Commit) -> Outcome:
        return self.append_now(expected, commit)

    async def resolve(self, expected: Tail, commit: Commit) -> Outcome:
        return self.resolve_now(expected, commit)

    async def wait_beyond(self, commit: int, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while self.tail.commit <= commit:
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def history(self, subject: str | None, after_seq: int, limit: int) -> list[Entry]:
        later = self._entries[after_seq:]
        return [entry for entry in later if subject in (None, entry.subject)][:limit]

    async def proof(self, seq: int, size: int | None = None) -> Proof:
        size = self.tail.seq if size is None else size
        if not 0 < seq <= size <= self.tail.seq:
            raise HoldfastError(Code.NOT_FOUND, f"There is no record {seq} among the first {size}.")
        return Proof(
            seq=seq,
            size=size,
            root=merkle.root_at(size, self._hash_at),
            record=self._entries[seq - 1].record,
            hashes=merkle.inclusion_proof(seq - 1, size, self._hash_at),
        )

    async def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        if not 0 < old <= size <= self.tail.seq:
            raise HoldfastError(Code.NOT_FOUND, f"There are no sizes {old} and {size}.")
        return merkle.consistency_proof(old, size, self._hash_at)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        others = [each for each in self._snapshots if each.commit != snapshot.commit]
        self._snapshots = sorted([*others, snapshot], key=lambda each: each.commit)[-2:]

    async def load_snapshot(self, fold_version: int) -> Snapshot | None:
        for each in reversed(self._snapshots):
            if each.fold_version == fold_version and each.commit <= self.tail.commit:
                return each
        return None

    async def mark_sent(self, marks: Sequence[Sent]) -> None:
        self._sent.update({mark.node: mark for mark in marks})

    async def sent(self) -> dict[str, Sent]:
        return dict(self._sent)

    def _land(self, commit: Commit) -> None:
        leaves = [leaf_hash(record.body) for record in commit.records]
        self._edge = self._edge.grown(leaves).edge
        self._leaves += leaves
        self._commits.append(commit)
        self._entries += [
            Entry(
                seq=commit.first_seq + place,
                commit_no=commit.number,
                kind=record.kind,
                subject=record.subject,
                record=record.body,
            )
            for place, record in enumerate(commit.records)
        ]
        seq, root = self._edge.size, self._edge.root()
        self._tails.append(Tail(commit=commit.number, seq=seq, epoch=commit.epoch, root=root))
        # Whoever waits holds the old event; the new one is for those who come later.
        self._moved.set()
        self._moved = asyncio.Event()

    def _hash_at(self, level: int, position: int) -> bytes:
        return Edge().grown(self._leaves[position << level : (position + 1) << level]).edge.root()
