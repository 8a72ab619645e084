"""Desired documents into their stream, fenced: a newer one there means that another leads.

Every document that lies in the stream is compared by its own signed stamp, never by a message id:
a restored backup reuses ids, and the broker would swallow other bytes under an old id without a
word. After the first look the stream's sequence is remembered, and the broker itself refuses what
is not the next one.
"""

from __future__ import annotations

from enum import Enum

import msgspec
from holdfast_protocol import codec, subjects
from holdfast_protocol.bus.port import Bus
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import DesiredMessage
from holdfast_protocol.signed import DESIRED_CONTEXT, SignedDocument, open_signed

from holdfast_controller.logic.io import PublishDocument

_ATTEMPTS = 3
_DOCUMENTS: msgspec.json.Decoder[DesiredMessage] = msgspec.json.Decoder(DesiredMessage)


class Sending(Enum):
    """What became of a publication."""

    SENT = "sent"
    FAILED = "failed"
    FENCED = "fenced"


class Publisher:
    """Publishes documents, each receiver's one after the other."""

    def __init__(self, bus: Bus, domain: str, public_key: bytes) -> None:
        self._bus = bus
        self._domain = domain
        self._public_key = public_key
        self._last: dict[str, int] = {}

    def forget(self) -> None:
        """Forget what is known of the stream: it may have been wiped."""
        self._last.clear()

    async def publish(self, document: PublishDocument) -> Sending:
        """Store ``document`` for its receiver; what is stored already counts as sent."""
        try:
            for _ in range(_ATTEMPTS):
                result = await self._attempt(document)
                if result is not None:
                    return result
        except HoldfastError:
            # Not reached, or no answer: it may lie there, and the next attempt will see it.
            self._last.pop(document.receiver, None)
        return Sending.FAILED

    async def _attempt(self, document: PublishDocument) -> Sending | None:
        receiver = document.receiver
        expected = self._last.get(receiver)
        if expected is None:
            found = await self._stored(receiver)
            verdict = self._compare(found, document)
            if verdict is not None:
                return verdict
            expected = 0 if found is None else None
        try:
            ack = await self._bus.stream_publish(
                subjects.desired(receiver), document.body, expected_last=expected
            )
        except HoldfastError as error:
            if error.code is not Code.PLAN_STALE:
                raise
            # The stream is not as remembered: wiped, or somebody else wrote. Look again.
            self._last.pop(receiver, None)
            return None
        self._last[receiver] = ack.sequence
        return Sending.SENT

    async def _stored(self, receiver: str) -> bytes | None:
        return await self._bus.last_value(
            self._domain, subjects.DESIRED_STREAM, subjects.desired(receiver)
        )

    def _compare(self, found: bytes | None, document: PublishDocument) -> Sending | None:
        if found == document.body:
            return Sending.SENT
        stamp = None if found is None else self._stamp(found)
        if stamp is None or stamp < (document.epoch, document.generation):
            return None
        return Sending.FENCED

    def _stamp(self, body: bytes) -> tuple[int, int] | None:
        """Return the stamp of a document of this controller's key, None for anything else."""
        try:
            signed = codec.decode(body, SignedDocument)
            stored = _DOCUMENTS.decode(open_signed(signed, self._public_key, DESIRED_CONTEXT))
        except (HoldfastError, msgspec.MsgspecError):
            return None
        return (stored.epoch, stored.generation)
