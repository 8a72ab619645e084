"""Run tickets: what a forwarding gateway hands to the executing one, and the MAC over it.

The key belongs to one pair of site certificates (X25519) and to one direction; the MAC covers the
ticket, the body and the subject the answer goes to, so that no part can be exchanged for another.
Bytes in, values out; the clock is handed in.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import KIB, SEEN_REQUESTS, TICKET_LIFE_S
from holdfast_protocol.messages import Count, Operation

from holdfast_policy.logic.labels import Narrowing

TICKET_BYTES: Final = 8 * KIB
CLOCK_SKEW_S: Final = 2.0
_INFO: Final = b"holdfast-run-v1"
_KEY_BYTES: Final = 32


class RunTicket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Leave for one node to answer one request on one slot.

    ``expires_ms`` (Unix) bounds when it may be accepted, ``deadline_ms`` (Unix) the work. The
    executing node makes the label again from its own record and ``narrowing``; ``label_digest``
    is what the forwarder decided on.
    """

    app: str
    zone: str
    alias: str
    op: Operation
    request: str
    origin: str
    target: str
    slot: str
    epoch: Count
    expires_ms: Count
    deadline_ms: Count
    stream: bool
    narrowing: Narrowing
    label_digest: str
    nonce: str


class PairKeys:
    """The keys of one node with its peers, one per direction; made from site certificates."""

    def __init__(self, site: str, node: str, private: X25519PrivateKey) -> None:
        self._site = site
        self._node = node
        self._private = private

    def sending(self, peer: str, peer_public: bytes) -> bytes:
        """Return the key for tickets to ``peer``; raises ``TICKET_REFUSED`` for a bad key."""
        return self._derive(self._node, peer, peer_public)

    def receiving(self, peer: str, peer_public: bytes) -> bytes:
        """Return the key for tickets from ``peer``; raises ``TICKET_REFUSED`` for a bad key."""
        return self._derive(peer, self._node, peer_public)

    def _derive(self, origin: str, target: str, peer_public: bytes) -> bytes:
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(peer_public))
        except ValueError as error:
            raise _refused("the peer's key in its site certificate is none") from error
        info = b"\0".join((_INFO, origin.encode("ascii"), target.encode("ascii")))
        salt = self._site.encode("ascii")
        return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=info).derive(shared)


class ReplayWindow:
    """Nonces of tickets that were accepted, kept until they expire; bounded."""

    def __init__(self, most: int = SEEN_REQUESTS) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()

    def admit(self, ticket: RunTicket, now_ms: int) -> None:
        """Remember ``ticket``; raises ``TICKET_REFUSED`` for a replay, ``BUSY`` when full.

        Full means that more unexpired tickets came than the window holds: refusing is safe,
        forgetting one of them would allow its replay.
        """
        while self._seen and next(iter(self._seen.values())) + _SKEW_MS < now_ms:
            self._seen.popitem(last=False)
        key = (ticket.origin, ticket.nonce)
        if key in self._seen:
            raise _refused("it was used before")
        if len(self._seen) >= self._most:
            raise HoldfastError(Code.BUSY, "Too many run tickets are in use.")
        self._seen[key] = ticket.expires_ms


_SKEW_MS: Final = int(CLOCK_SKEW_S * 1000)
_LIFE_MS: Final = int(TICKET_LIFE_S * 1000)


def seal(ticket: RunTicket, key: bytes, body: bytes, reply: str) -> tuple[bytes, str]:
    """Return the ticket's bytes and the MAC (hex) over ticket, body and reply subject."""
    data = encode(ticket)
    return data, mac(key, data, body, reply.encode("utf-8"))


def mac(key: bytes, *parts: bytes) -> str:
    """Return HMAC-SHA256 over ``parts`` with their lengths, in hex."""
    digest = hmac.new(key, digestmod="sha256")
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def read_unverified(data: bytes) -> RunTicket:
    """Return the ticket in ``data`` so that its origin's key can be found; nothing is verified.

    Raises ``TICKET_REFUSED``.
    """
    if len(data) > TICKET_BYTES:
        raise _refused("it is too long")
    try:
        return decode(data, RunTicket)
    except HoldfastError as error:
        raise _refused("it does not fit") from error


def verify_mac(key: bytes, given: str, *parts: bytes) -> None:
    """Raise ``TICKET_REFUSED`` unless ``given`` is the MAC over ``parts``."""
    if not hmac.compare_digest(mac(key, *parts).encode(), given.encode("utf-8", "replace")):
        raise _refused("its MAC is wrong")


def check(ticket: RunTicket, zone: str, node: str, now_ms: int) -> None:
    """Raise ``TICKET_REFUSED`` unless ``ticket`` is for ``node`` in ``zone`` and for now."""
    if (ticket.zone, ticket.target) != (zone, node):
        raise _refused("it is for another node")
    if not now_ms - _SKEW_MS <= ticket.expires_ms <= now_ms + _LIFE_MS + _SKEW_MS:
        raise _refused("it has expired, or lives too long")


def _refused(why: str) -> HoldfastError:
    return HoldfastError(Code.TICKET_REFUSED, f"The run ticket is refused: {why}.")
