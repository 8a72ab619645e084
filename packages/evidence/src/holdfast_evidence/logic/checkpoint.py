"""Checkpoints (C2SP ``tlog-checkpoint``): origin, size and root of a log in a signed note.

A witness's cosignature (C2SP ``tlog-cosignature``, v1) covers the same three lines and the time at
which the witness saw them. Lines after the root are refused: this log writes none, and what a
signer does not understand it must not vouch for.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast_evidence.logic import note as notes
from holdfast_evidence.logic.merkle import HASH_BYTES, SIZE_MAX
from holdfast_evidence.logic.note import COSIGNATURE_V1, Note, NoteError, Signature, Verifier

_TIME_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log commits to: its name, its number of leaves and the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A log's private key; the origin of its checkpoints is also the key's name."""

    origin: str
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public side, to be handed to auditors out of band."""
        return notes.verifier_of(self.origin, self.key)

    def sign(self, *, size: int, root: bytes) -> str:
        """Return the signed checkpoint of this log at ``size`` leaves, a whole note."""
        text = Checkpoint(origin=self.origin, size=size, root=root).text()
        return notes.sign(text, self.origin, self.key).encoded()


def parse(note: Note) -> Checkpoint:
    """Return the checkpoint in a note's text, unverified; raises :class:`NoteError`."""
    lines = note.text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise NoteError("A checkpoint is three lines: origin, size and root.")
    origin, size, encoded = lines[:3]
    if not size.isascii() or not size.isdigit() or len(size) > 19 or str(int(size)) != size:
        raise NoteError("A checkpoint's size is a number without leading zeros.")
    try:
        root = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise NoteError("A checkpoint's root is base64.") from error
    canonical = base64.b64encode(root).decode() == encoded
    if len(root) != HASH_BYTES or not canonical or int(size) > SIZE_MAX:
        raise NoteError("A checkpoint's root is 32 bytes in canonical base64.")
    return Checkpoint(origin=origin, size=int(size), root=root)


def verify(data: bytes, verifier: Verifier) -> Checkpoint:
    """Return the checkpoint in hostile ``data`` if the log's own key signed it.

    The origin must be the verifier's name: a key that signs several logs must not let one pass
    for another. Raises :class:`NoteError` otherwise.
    """
    note = notes.parse(data)
    checkpoint = parse(note)
    if checkpoint.origin != verifier.name:
        raise NoteError(f"The checkpoint is of {checkpoint.origin[:80]!a}, not {verifier.name}.")
    if not notes.verify(note, [verifier]):
        raise NoteError(f"The checkpoint carries no signature of {verifier.name}.")
    return checkpoint


def cosigned(note: Note, name: str, key: Ed25519PrivateKey, time_s: int) -> Note:
    """Return ``note`` with a witness's cosignature/v1 at ``time_s`` (seconds since 1970) added."""
    parse(note)
    verifier = notes.verifier_of(name, key, COSIGNATURE_V1)
    payload = time_s.to_bytes(_TIME_BYTES, "big") + key.sign(_cosigned_message(note, time_s))
    line = Signature(name=name, key_id=verifier.key_id, payload=payload)
    return Note(text=note.text, signatures=(*note.signatures, line))


def witnessed_at(note: Note, witness: Verifier) -> int | None:
    """Return when ``witness`` cosigned ``note`` (seconds since 1970), None if it did not.

    Raises :class:`NoteError` where a line claims to be the witness's but does not verify.
    """
    parse(note)
    for line in note.signatures:
        if (line.name, line.key_id) != (witness.name, witness.key_id):
            continue
        if witness.algorithm != COSIGNATURE_V1 or len(line.payload) != _TIME_BYTES + 64:
            raise NoteError(f"The line of {witness.name} is not a cosignature.")
        time_s = int.from_bytes(line.payload[:_TIME_BYTES], "big")
        notes.check(witness, line.payload[_TIME_BYTES:], _cosigned_message(note, time_s))
        return time_s
    return None


def _cosigned_message(note: Note, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{note.text}".encode()
