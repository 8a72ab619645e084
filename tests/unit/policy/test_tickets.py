"""Run tickets: nothing in them can be exchanged, replayed or used elsewhere or later."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from holdfast_policy import tickets
from holdfast_policy.logic.labels import Narrowing
from holdfast_policy.tickets import PairKeys, ReplayWindow, RunTicket
from holdfast_protocol.errors import Code, HoldfastError
from hypothesis import given
from hypothesis import strategies as st

NOW_MS = 1_000_000
TICKET = RunTicket(
    app="triage",
    zone="de",
    alias="chat",
    op="chat",
    request="r1",
    origin="de-1",
    target="de-2",
    slot="chat-1",
    epoch=3,
    expires_ms=NOW_MS + 5_000,
    deadline_ms=NOW_MS + 60_000,
    stream=False,
    narrowing=Narrowing(residency="DE"),
    label_digest="sha256:00",
    nonce="n1",
)
ONE, TWO = X25519PrivateKey.generate(), X25519PrivateKey.generate()


def public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def keys() -> tuple[PairKeys, PairKeys]:
    return PairKeys("north", "de-1", ONE), PairKeys("north", "de-2", TWO)


def test_both_ends_have_one_key_per_direction() -> None:
    one, two = keys()
    there = one.sending("de-2", public(TWO))
    assert there == two.receiving("de-1", public(ONE))
    assert there != two.sending("de-1", public(ONE))
    assert there != PairKeys("south", "de-1", ONE).sending("de-2", public(TWO))


def test_bad_public_keys_are_refused() -> None:
    for bad in (b"", b"\0" * 32, b"x" * 31):
        with pytest.raises(HoldfastError) as caught:
            keys()[0].sending("de-2", bad)
        assert caught.value.code is Code.TICKET_REFUSED


def test_round_trip() -> None:
    key = b"k" * 32
    data, mac = tickets.seal(TICKET, key, b"body", "_R_.abc.def")
    tickets.verify_mac(key, mac, data, b"body", b"_R_.abc.def")
    assert tickets.read_unverified(data) == TICKET
    tickets.check(TICKET, "de", "de-2", NOW_MS)


@given(st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 2), st.integers(0, 10_000))
def test_no_part_can_be_exchanged(body: bytes, other: bytes, part: int, at: int) -> None:
    key = b"k" * 32
    parts = [tickets.seal(TICKET, key, body, "_R_.abc.def")[0], body, b"_R_.abc.def"]
    mac = tickets.mac(key, *parts)
    changed = list(parts)
    if changed[part] == other:
        return
    changed[part] = other
    with pytest.raises(HoldfastError):
        tickets.verify_mac(key, mac, *changed)
    cut = at % (len(body) + 1)
    if cut:
        with pytest.raises(HoldfastError):  # bytes moved from one part to its neighbour
            tickets.verify_mac(key, mac, parts[0] + body[:cut], body[cut:], parts[2])


@pytest.mark.parametrize("mac", ["", "0" * 64, "\u00e9", "\udcff"])
def test_wrong_macs(mac: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        tickets.verify_mac(b"k" * 32, mac, b"a")
    assert caught.value.code is Code.TICKET_REFUSED


@pytest.mark.parametrize(
    "change",
    [
        {"target": "de-3"},
        {"zone": "fr"},
        {"expires_ms": NOW_MS - 2_001},
        {"expires_ms": NOW_MS + 7_001},
    ],
)
def test_elsewhere_or_at_another_time(change: dict[str, Any]) -> None:
    with pytest.raises(HoldfastError) as caught:
        tickets.check(msgspec.structs.replace(TICKET, **change), "de", "de-2", NOW_MS)
    assert caught.value.code is Code.TICKET_REFUSED


def test_replays_are_refused_and_forgotten_only_after_expiry() -> None:
    window = ReplayWindow(most=2)
    window.admit(TICKET, NOW_MS)
    with pytest.raises(HoldfastError):
        window.admit(TICKET, NOW_MS + 6_999)
    window.admit(msgspec.structs.replace(TICKET, nonce="n2"), NOW_MS)
    with pytest.raises(HoldfastError) as caught:
        window.admit(msgspec.structs.replace(TICKET, nonce="n3"), NOW_MS)
    assert caught.value.code is Code.BUSY
    window.admit(msgspec.structs.replace(TICKET, nonce="n4"), NOW_MS + 7_001)


@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 9000, b'{"app":1}', b"\xff"])
def test_hostile_tickets(data: bytes) -> None:
    with pytest.raises(HoldfastError) as caught:
        tickets.read_unverified(data)
    assert caught.value.code is Code.TICKET_REFUSED
