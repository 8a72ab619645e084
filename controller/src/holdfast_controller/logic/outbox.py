"""What was sent to whom: a watermark per receiver, never a queue.

A thousand changes while the bus is away are one document when it returns. Forgetting a mark only
means that a document is sent again, which its receiver recognises by its stamp.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast_protocol import limits

from holdfast_controller.logic import io
from holdfast_controller.logic.desired import Document, Documents
from holdfast_controller.logic.live import Live

Stamp = tuple[int, int]


@dataclass(slots=True)
class Outbox:
    """Marks by receiver; the documents themselves live elsewhere."""

    _sent: dict[str, tuple[Stamp, float]] = field(default_factory=dict)
    """The stamp that was sent last, and when."""
    _flying: dict[str, float] = field(default_factory=dict)
    """Until when a publication under way may still answer."""
    _not_before: dict[str, float] = field(default_factory=dict)

    def due(self, documents: Documents, live: Live, now_s: float) -> list[io.AnyEffect]:
        """Return the publications to start now, by receiver."""
        effects: list[io.AnyEffect] = []
        for receiver, document in sorted(documents.current.items()):
            if not self._owes(document, live, now_s):
                continue
            self._flying[receiver] = now_s + limits.PUBLISH_ANSWER_S
            effects.append(
                io.PublishDocument(
                    receiver=receiver,
                    epoch=document.epoch,
                    generation=document.generation,
                    body=document.body,
                )
            )
        return effects

    def done(self, given: io.PublishDone, now_s: float) -> None:
        """Note what became of a publication."""
        self._flying.pop(given.receiver, None)
        if given.result == "sent":
            self._sent[given.receiver] = ((given.epoch, given.generation), now_s)
        else:
            self._not_before[given.receiver] = now_s + limits.PUBLISH_RETRY_S

    def forget(self) -> None:
        """Forget every mark: the bus may have lost what it stored."""
        self._sent.clear()
        self._not_before.clear()

    def _owes(self, document: Document, live: Live, now_s: float) -> bool:
        receiver = document.receiver
        if now_s < self._flying.get(receiver, 0.0) or now_s < self._not_before.get(receiver, 0.0):
            return False
        stamp = (document.epoch, document.generation)
        sent = self._sent.get(receiver)
        if sent is None or sent[0] != stamp:
            return True
        report = live.report(receiver)
        behind = report is not None and (report.epoch, report.generation) < stamp
        # A receiver polls; one that is still behind after two polls was not reached.
        return behind and now_s - sent[1] > 2 * limits.DESIRED_POLL_S
