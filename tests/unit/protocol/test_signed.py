from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import HEADER_BYTES
from holdfast_protocol.signed import (
    SignedDocument,
    from_header,
    keyid_of,
    open_signed,
    sign,
    to_header,
)
from hypothesis import given
from hypothesis import strategies as st

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()


@given(st.binary(max_size=200), st.sampled_from(["a", "fetch-ticket", ""]))
def test_what_was_signed_opens(payload: bytes, context: str) -> None:
    document = from_header(to_header(sign(payload, KEY, context)))
    assert open_signed(document, PUBLIC, context) == payload
    assert document.keyid == keyid_of(PUBLIC)


DOCUMENT = sign(b"payload", KEY, "one")
OTHER = Ed25519PrivateKey.generate().public_key().public_bytes_raw()


@pytest.mark.parametrize(
    ("document", "public", "context"),
    [
        (DOCUMENT, PUBLIC, "two"),
        (DOCUMENT, PUBLIC, ""),
        (DOCUMENT, OTHER, "one"),
        (DOCUMENT, b"", "one"),
        (DOCUMENT, PUBLIC[:31], "one"),
        (msgspec.structs.replace(DOCUMENT, payload=b"payloae"), PUBLIC, "one"),
        (msgspec.structs.replace(DOCUMENT, signature=b""), PUBLIC, "one"),
        (msgspec.structs.replace(DOCUMENT, signature=DOCUMENT.signature[:-1]), PUBLIC, "one"),
    ],
    # Named, because keys are made at run time and parallel workers must collect the same names.
    ids=["context", "empty", "key", "no-key", "short-key", "payload", "unsigned", "cut"],
)
def test_anything_else_does_not(document: SignedDocument, public: bytes, context: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        open_signed(document, public, context)
    assert caught.value.code is Code.BAD_SIGNATURE


def test_context_and_payload_cannot_be_shifted() -> None:
    """The border between context and payload is part of what is signed."""
    document = sign(b"b\0c", KEY, "a")
    moved = msgspec.structs.replace(document, payload=b"c")
    with pytest.raises(AssertionError):
        open_signed(moved, PUBLIC, "a\0b")


@pytest.mark.parametrize("text", ["", "!", "e30=", "bnVsbA==", "A" * (HEADER_BYTES + 1), "\u00e4"])
def test_headers_that_are_none(text: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        from_header(text)
    assert caught.value.code is Code.BAD_REQUEST
