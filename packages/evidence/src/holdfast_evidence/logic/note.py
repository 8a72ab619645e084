"""Signed notes (C2SP ``signed-note``): a text, an empty line, and one line per signature.

Only Ed25519 signatures (algorithm 0x01) are made and checked here; lines by unknown keys are kept
and ignored, as the format asks, so that a witness may add its own. Parsing takes hostile bytes:
everything is behind a cap, base64 must be canonical, and nothing may follow the last line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NOTE_BYTES_MAX: Final = 64 * 1024
SIGNATURES_MAX: Final = 32
NAME_LENGTH_MAX: Final = 255
SIGNATURE_BYTES_MAX: Final = 8 * 1024
"""Room for a post-quantum cosignature; an Ed25519 line carries 68 bytes."""

ED25519: Final = 0x01
COSIGNATURE_V1: Final = 0x04

_DASH: Final = "\N{EM DASH} "
_KEY_ID_BYTES: Final = 4


class NoteError(ValueError):
    """A note, key or checkpoint that does not fit its format or its signature; one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """A public key under a name; ``algorithm`` tells plain signatures from cosignatures."""

    name: str
    public: bytes
    algorithm: int = ED25519

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256 over name, line feed, algorithm and key."""
        material = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(material).digest()[:_KEY_ID_BYTES]

    def encoded(self) -> str:
        """Return the key as one line, ``name+id+base64``, to be handed on out of band."""
        material = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature line: who, four bytes of key id, and the bytes that follow them."""

    name: str
    key_id: bytes
    payload: bytes

    def line(self) -> str:
        """Return the line as it stands in a note, with its line feed."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.payload).decode()}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A parsed note. ``text`` ends with a line feed; no signature has been checked yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encoded(self) -> str:
        """Return the whole note."""
        return self.text + "\n" + "".join(each.line() for each in self.signatures)


def parse_verifier(line: str) -> Verifier:
    """Return the key of ``name+id+base64``; raises :class:`NoteError` where the parts disagree."""
    parts = line.strip().split("+", 2)
    if len(parts) != 3 or not _is_name(parts[0]):
        raise NoteError("A verifier key is name+id+base64.")
    name, key_id, encoded = parts
    material = _unbase64(encoded, "the key")
    if len(material) != 33 or material[0] not in (ED25519, COSIGNATURE_V1):
        raise NoteError("The key's algorithm is not known here.")
    verifier = Verifier(name=name, public=material[1:], algorithm=material[0])
    if verifier.key_id.hex() != key_id:
        raise NoteError("The key's id does not belong to its name and bytes.")
    return verifier


def verifier_of(name: str, key: Ed25519PrivateKey, algorithm: int = ED25519) -> Verifier:
    """Return the public side of ``key`` under ``name``; raises :class:`NoteError` on a bad name."""
    if not _is_name(name):
        raise NoteError(f"{name[:80]!a} cannot name a key: no space, plus or control character.")
    return Verifier(name=name, public=key.public_key().public_bytes_raw(), algorithm=algorithm)


def sign(text: str, name: str, key: Ed25519PrivateKey) -> Note:
    """Return ``text`` signed by ``key``; raises :class:`NoteError` where it cannot be a note."""
    if not text.endswith("\n") or not _is_text(text):
        raise NoteError("A note's text ends with a line feed and holds no control characters.")
    verifier = verifier_of(name, key)
    signature = Signature(name=name, key_id=verifier.key_id, payload=key.sign(text.encode()))
    return Note(text=text, signatures=(signature,))


def parse(data: bytes) -> Note:
    """Return the note in hostile ``data``; raises :class:`NoteError` naming what does not fit."""
    if len(data) > NOTE_BYTES_MAX:
        raise NoteError(f"The note has {len(data)} bytes, more than {NOTE_BYTES_MAX}.")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("The note is not UTF-8.") from error
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not tail.endswith("\n") or not _is_text(whole):
        raise NoteError("The note is not text, an empty line and signature lines.")
    lines = tail[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise NoteError(f"The note has {len(lines)} signatures, more than {SIGNATURES_MAX}.")
    return Note(text=text + "\n", signatures=tuple(_parse_line(line) for line in lines))


def verify(note: Note, verifiers: Sequence[Verifier]) -> tuple[Verifier, ...]:
    """Return the plain Ed25519 verifiers that signed ``note``, each once, in their own order.

    A line that carries a known name and id but a wrong signature raises :class:`NoteError`: such
    a note was tampered with, whoever else signed it.
    """
    found: list[Verifier] = []
    for verifier in verifiers:
        lines = matching(note, verifier)
        for line in lines:
            check(verifier, line.payload, note.text.encode())
        if lines and verifier.algorithm == ED25519:
            found.append(verifier)
    return tuple(found)


def matching(note: Note, verifier: Verifier) -> list[Signature]:
    """Return the lines of ``note`` that claim to be by ``verifier``; cosignatures are not ours."""
    if verifier.algorithm != ED25519:
        return []
    return [s for s in note.signatures if (s.name, s.key_id) == (verifier.name, verifier.key_id)]


def check(verifier: Verifier, signature: bytes, message: bytes) -> None:
    """Raise :class:`NoteError` unless ``signature`` is by ``verifier`` over ``message``."""
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise NoteError(f"The signature of {verifier.name} does not fit the text.") from error


def _parse_line(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise NoteError("A signature line starts with a dash and a space.")
    name, space, encoded = line[len(_DASH) :].partition(" ")
    if not space or not _is_name(name):
        raise NoteError("A signature line is a name and base64.")
    raw = _unbase64(encoded, "a signature")
    if not _KEY_ID_BYTES < len(raw) <= SIGNATURE_BYTES_MAX:
        raise NoteError("A signature line is too short or too long.")
    return Signature(name=name, key_id=raw[:_KEY_ID_BYTES], payload=raw[_KEY_ID_BYTES:])


def _unbase64(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise NoteError(f"The base64 of {what} is not well-formed.") from error
    if base64.b64encode(raw).decode() != text:
        raise NoteError(f"The base64 of {what} is not canonical.")
    return raw


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= NAME_LENGTH_MAX
        and "+" not in name
        and name.isprintable()
        and not any(letter.isspace() for letter in name)
    )


def _is_text(text: str) -> bool:
    return all(letter == "\n" or ord(letter) >= 0x20 for letter in text)
