"""Where a journal lies on disk and by which bounds it is kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
from holdfast_evidence import Signer, Verifier
from holdfast_protocol import limits


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one journal; everything but the first three has the product's value.

    ``high_water`` lies in another directory, best on another disk: it is what notices that the
    database went back. ``former`` are earlier keys of the log, whose checkpoints still count.
    ``accept_rollback`` is set once, after two officers accepted what the journal lost; whoever
    sets it must append the new epoch first. ``pages_max`` bounds the file (0: only by the disk).
    """

    path: Path
    high_water: Path
    site: str
    signer: Signer | None = None
    former: tuple[Verifier, ...] = ()
    accept_rollback: bool = False
    reserve_bytes: int = limits.JOURNAL_RESERVE_BYTES
    rehash_all_records: int = limits.JOURNAL_REHASH_ALL_RECORDS
    checkpoint_records: int = limits.JOURNAL_CHECKPOINT_RECORDS
    read_deadline_s: float = limits.JOURNAL_READ_S
    commit_deadline_s: float = limits.JOURNAL_COMMIT_S
    wal_pages: int = 2000
    pages_max: int = 0

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """Whose signature on a checkpoint counts."""
        return (*((self.signer.verifier,) if self.signer else ()), *self.former)
