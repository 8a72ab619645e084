"""What the agent and its gateway tell each other on this node's sockets.

The feed carries the whole ``GatewayState`` at every change; on a second socket the gateway tells
its counts once a second. Silence for a few seconds means that it is down.
"""

from __future__ import annotations

import time
from pathlib import Path

from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.local import LocalFeed, LocalServer, serve
from holdfast_protocol.messages import GatewayCounts, GatewayState

SILENT_S = 3.5


def counts_path(feed: Path) -> Path:
    """Where the gateway tells its counts, beside the feed it follows."""
    return feed.with_name("counts.sock")


class GatewayFeed:
    """Both sockets; what the gateway said last is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._feed = LocalFeed(path)
        self._server: LocalServer | None = None
        self._heard_s = float("-inf")
        self.in_flight: dict[str, int] = {}
        self.policy_serial = 0
        self.policy_refused = ""

    async def start(self) -> None:
        """Listen on both sockets."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._feed.start()
        self._server = await serve(counts_path(self._path), self._told)

    async def publish(self, state: GatewayState) -> None:
        """Push the state to the gateway."""
        await self._feed.publish(encode(state))

    @property
    def connected(self) -> bool:
        """Whether the gateway spoke lately."""
        return time.monotonic() - self._heard_s < SILENT_S

    def close(self) -> None:
        """Stop listening."""
        self._feed.close()
        if self._server is not None:
            self._server.close()

    async def _told(self, data: bytes) -> bytes:
        try:
            counts = decode(data, GatewayCounts)
        except HoldfastError:
            return b"{}"  # of a newer gateway; it is alive, its counts are unknown
        self._heard_s = time.monotonic()
        self.in_flight = counts.in_flight
        self.policy_serial = counts.policy_serial
        self.policy_refused = counts.policy_refused
        return b"{}"
