"""A fact as a journal record and back: the envelope, and what is not understood.

The envelope repeats the fact's tag and names the subject, so that a record can be found and shown
without knowing every fact. The leaf of the Merkle log is over these bytes, never over bytes
encoded again.
"""

from __future__ import annotations

from typing import Final

import msgspec
from holdfast_protocol import codec
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.logic.facts import AnyFact


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One record: when (Unix milliseconds), by whom, of what kind, about what; then the fact."""

    at: int
    by: str
    kind: str
    subject: str
    fact: msgspec.Raw


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded record."""

    at_ms: int
    by: str
    subject: str
    fact: AnyFact


_ENVELOPES: Final = msgspec.json.Decoder(Envelope)
_FACTS: Final[msgspec.json.Decoder[AnyFact]] = msgspec.json.Decoder(AnyFact)


def tag_of(fact: AnyFact) -> str:
    """Return the tag of ``fact``, which is also the kind of its record."""
    tag = type(fact).__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def encode(fact: AnyFact, *, at_ms: int, by: str, subject: str) -> bytes:
    """Return the record of ``fact``; sorted keys, so equal facts give equal bytes."""
    raw = msgspec.Raw(codec.encode(fact))
    return codec.encode(Envelope(at=at_ms, by=by, kind=tag_of(fact), subject=subject, fact=raw))


def decode(body: bytes) -> Recorded:
    """Return the fact of a record of our own journal.

    Raises ``JOURNAL_DAMAGED`` for anything not understood, naming its kind: skipping a record
    that a newer version wrote would silently give another state.
    """
    try:
        envelope = _ENVELOPES.decode(body)
    except msgspec.MsgspecError as error:
        raise HoldfastError(
            Code.JOURNAL_DAMAGED, f"A record of the journal cannot be read: {error}."
        ) from error
    try:
        fact = _FACTS.decode(envelope.fact)
    except msgspec.MsgspecError as error:
        raise HoldfastError(
            Code.JOURNAL_DAMAGED,
            f"A record of kind {envelope.kind!a} is not known here; a newer version wrote it: "
            f"{error}.",
        ) from error
    if tag_of(fact) != envelope.kind:
        raise HoldfastError(
            Code.JOURNAL_DAMAGED, f"A record of kind {envelope.kind!a} holds a {tag_of(fact)}."
        )
    return Recorded(at_ms=envelope.at, by=envelope.by, subject=envelope.subject, fact=fact)


def subject_of(fact: AnyFact) -> str:
    """Return the thing that ``fact`` is about: the first of its identifying fields."""
    for field in ("alias", "node", "id", "name", "vendor", "import_id", "broker", "role", "what"):
        value = getattr(fact, field, None)
        if isinstance(value, str):
            return value
    return getattr(fact, "digest", "site")
