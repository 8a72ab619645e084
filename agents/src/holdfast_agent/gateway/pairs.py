"""The keys this node shares with its peers, from the site certificates it verified."""

from __future__ import annotations

from collections.abc import Callable

from holdfast_policy.tickets import PairKeys
from holdfast_protocol.errors import Code, HoldfastError

PublicKeyOf = Callable[[str], bytes | None]


class Pairs:
    """Keys by peer; a peer without a certificate in force has none."""

    def __init__(self, node: str, keys: PairKeys, public_of: PublicKeyOf) -> None:
        self.node = node
        self._keys = keys
        self._public_of = public_of
        self._sending: dict[tuple[str, bytes], bytes] = {}
        self._receiving: dict[tuple[str, bytes], bytes] = {}

    def sending(self, peer: str) -> bytes:
        """Return the key for what goes to ``peer``; raises ``TICKET_REFUSED``."""
        public = self._public(peer)
        key = self._sending.get((peer, public))
        if key is None:
            key = self._sending[peer, public] = self._keys.sending(peer, public)
        return key

    def receiving(self, peer: str) -> bytes:
        """Return the key for what comes from ``peer``; raises ``TICKET_REFUSED``."""
        public = self._public(peer)
        key = self._receiving.get((peer, public))
        if key is None:
            key = self._receiving[peer, public] = self._keys.receiving(peer, public)
        return key

    def _public(self, peer: str) -> bytes:
        public = self._public_of(peer)
        if public is None:
            raise HoldfastError(Code.TICKET_REFUSED, f"{peer!a} has no site certificate in force.")
        return public
