"""Notes and checkpoints: the published vector, every way of tampering, witnesses."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_evidence.logic import checkpoint, note
from holdfast_evidence.logic.checkpoint import Checkpoint, Signer
from holdfast_evidence.logic.note import NoteError
from hypothesis import given
from hypothesis import strategies as st

# The example of the Go project's note package, which the specification follows.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6"
    "KE6RyyBwJnAM=\n"
).encode()

ORIGIN = "holdfast/site-1/audit"
ROOT = bytes(range(32))


@pytest.fixture(name="signer")
def make_signer() -> Signer:
    return Signer(origin=ORIGIN, key=Ed25519PrivateKey.generate())


def signed(signer: Signer) -> bytes:
    return signer.sign(size=7, root=ROOT).encode()


def test_the_published_vector_verifies() -> None:
    verifier = note.parse_verifier(GO_KEY)
    assert verifier.encoded() == GO_KEY
    parsed = note.parse(GO_NOTE)
    assert parsed.encoded().encode() == GO_NOTE
    assert note.verify(parsed, [verifier]) == (verifier,)


def test_a_checkpoint_says_what_was_signed(signer: Signer) -> None:
    data = signed(signer)
    assert data.startswith(f"{ORIGIN}\n7\n{base64.b64encode(ROOT).decode()}\n\n— ".encode())
    assert checkpoint.verify(data, signer.verifier) == Checkpoint(origin=ORIGIN, size=7, root=ROOT)


def test_the_key_travels_as_one_line(signer: Signer) -> None:
    assert note.parse_verifier(signer.verifier.encoded() + "\n") == signer.verifier


@given(st.data())
def test_no_changed_byte_is_accepted(data: st.DataObject) -> None:
    signer = Signer(origin=ORIGIN, key=Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    whole = bytearray(signed(signer))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NoteError):
        checkpoint.verify(bytes(whole), signer.verifier)


@given(st.binary(max_size=300))
def test_hostile_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(NoteError):
        note.parse(data)


def test_another_logs_checkpoint_is_refused(signer: Signer) -> None:
    other = Signer(origin="holdfast/site-2/audit", key=signer.key)
    with pytest.raises(NoteError, match="not holdfast/site-1/audit"):
        checkpoint.verify(signed(other), signer.verifier)


def test_another_keys_checkpoint_is_refused(signer: Signer) -> None:
    other = Signer(origin=ORIGIN, key=Ed25519PrivateKey.generate())
    with pytest.raises(NoteError, match="no signature of"):
        checkpoint.verify(signed(other), signer.verifier)


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n07\n{base64.b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n-7\n{base64.b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n٧\n{base64.b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n9223372036854775808\n{base64.b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n7\n{base64.b64encode(ROOT[:31]).decode()}\n",
        f"{ORIGIN}\n7\nnot base64\n",
        f"{ORIGIN}\n7\n{base64.b64encode(ROOT).decode()}\nextension\n",
        f"{ORIGIN}\n7\n",
        f"\n7\n{base64.b64encode(ROOT).decode()}\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(signer: Signer, text: str) -> None:
    whole = note.sign(text, ORIGIN, signer.key).encoded().encode()
    with pytest.raises(NoteError):
        checkpoint.verify(whole, signer.verifier)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d + b"x",
        lambda d: d + b"\n",
        lambda d: d[:-1],
        lambda d: d.replace(b"\n\n", b"\n", 1),
        lambda d: d.replace(b"=\n", b"\n") if d.endswith(b"=\n") else d[:-2] + b"\n",
        lambda d: d.replace("— ".encode(), b"- "),
        lambda d: d.replace(b"7", b"\x07", 1),
        lambda d: d + "— x AAAA\n".encode() * 40,
        lambda d: d + b" " * note.NOTE_BYTES_MAX,
    ],
)
def test_a_malformed_note_is_refused(signer: Signer, change: object) -> None:
    assert callable(change)
    with pytest.raises(NoteError):
        checkpoint.verify(change(signed(signer)), signer.verifier)


@pytest.mark.parametrize("line", ["", "a+b", "a b+00000000+AAAA", GO_KEY.replace("c74f", "c74e")])
def test_a_malformed_key_is_refused(line: str) -> None:
    with pytest.raises(NoteError):
        note.parse_verifier(line)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "x" * 256])
def test_a_name_that_would_break_the_line_is_refused(signer: Signer, name: str) -> None:
    with pytest.raises(NoteError):
        note.sign("text\n", name, signer.key)


def test_a_witness_adds_its_line_and_its_time(signer: Signer) -> None:
    witness_key = Ed25519PrivateKey.generate()
    witness = note.verifier_of("auditor-1", witness_key, note.COSIGNATURE_V1)
    plain = note.parse(signed(signer))
    assert checkpoint.witnessed_at(plain, witness) is None
    both = checkpoint.cosigned(plain, "auditor-1", witness_key, 1_750_000_000)
    read = note.parse(both.encoded().encode())
    assert checkpoint.witnessed_at(read, witness) == 1_750_000_000
    assert checkpoint.verify(both.encoded().encode(), signer.verifier).size == 7


def test_a_forged_witness_line_is_refused(signer: Signer) -> None:
    witness_key = Ed25519PrivateKey.generate()
    witness = note.verifier_of("auditor-1", witness_key, note.COSIGNATURE_V1)
    both = checkpoint.cosigned(note.parse(signed(signer)), "auditor-1", witness_key, 1_750_000_000)
    line = both.signatures[-1]
    later = (1_750_000_001).to_bytes(8, "big") + line.payload[8:]
    forged = note.Note(
        text=both.text,
        signatures=(note.Signature(name=line.name, key_id=line.key_id, payload=later),),
    )
    with pytest.raises(NoteError, match="auditor-1"):
        checkpoint.witnessed_at(forged, witness)
