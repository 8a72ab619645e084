"""What was decided and is not safe yet: batches of records on their way into the journal.

A decision is one batch and is never torn. At most one append is under way; whatever is decided
afterwards goes into the next one, as many whole batches as a commit may hold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast_protocol import limits
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.journal.port import Commit, Record, Tail, following
from holdfast_controller.logic import records
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.fold import fold
from holdfast_controller.logic.state import State


@dataclass(slots=True)
class Ledger:
    """The only place that folds new facts, and only together with writing them down."""

    state: State
    tail: Tail
    flying: Commit | None = None
    _batches: deque[tuple[Record, ...]] = field(default_factory=deque)

    @property
    def settled(self) -> bool:
        """Whether everything decided is in the journal."""
        return self.flying is None and not self._batches

    def decide(self, decision: Sequence[AnyFact], *, at_ms: int, by: str) -> bool:
        """Fold one decision and queue its records; return whether it changed anything.

        Raises ``TOO_LARGE``, with nothing folded, where the decision fits no commit.
        """
        batch = [_record(fact, at_ms, by) for fact in decision]
        size_bytes = sum(len(record.body) for record in batch)
        if size_bytes > limits.JOURNAL_COMMIT_BYTES or len(batch) > limits.JOURNAL_COMMIT_RECORDS:
            raise HoldfastError(
                Code.TOO_LARGE,
                f"The decision needs {size_bytes} bytes of journal; "
                f"{limits.JOURNAL_COMMIT_BYTES} fit.",
            )
        changed = tuple(
            record for fact, record in zip(decision, batch, strict=True) if fold(self.state, fact)
        )
        if changed:
            self._batches.append(changed)
        return bool(changed)

    def take_off(self) -> Commit | None:
        """Return the next commit, which is then under way; None if there is none to make."""
        if self.flying is not None or not self._batches:
            return None
        taken: list[Record] = []
        size_bytes = 0
        while self._batches:
            more_bytes = sum(len(record.body) for record in self._batches[0])
            many = len(taken) + len(self._batches[0]) > limits.JOURNAL_COMMIT_RECORDS
            if taken and (many or size_bytes + more_bytes > limits.JOURNAL_COMMIT_BYTES):
                break
            taken += self._batches.popleft()
            size_bytes += more_bytes
        self.flying = following(self.tail, taken, max(self.state.epoch, self.tail.epoch))
        return self.flying

    def landed(self, tail: Tail) -> Commit:
        """Note that the commit under way is durable and return it."""
        assert self.flying is not None
        commit, self.flying, self.tail = self.flying, None, tail
        return commit


def _record(fact: AnyFact, at_ms: int, by: str) -> Record:
    subject = records.subject_of(fact)
    body = records.encode(fact, at_ms=at_ms, by=by, subject=subject)
    return Record(kind=records.tag_of(fact), subject=subject, body=body)
