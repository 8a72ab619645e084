"""What an agent keeps across a restart: the accepted document, the digests it accepted, the feed.

Each is one small file, replaced whole and durable before the call returns.
"""

from __future__ import annotations

from pathlib import Path

from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.credentials import write_private
from holdfast_protocol.messages import GatewayState


class StateFiles:
    """The files below ``folder``; the agent is their only writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def desired(self) -> bytes | None:
        """Return the document stored last, None on a fresh node."""
        return self._read("desired.json")

    def store_desired(self, document: bytes) -> None:
        """Keep the document; raises ``STORE_FAILED``."""
        self._write("desired.json", document)

    def accepted(self) -> set[str]:
        """Return the digests this node accepted; raises ``BAD_REQUEST`` for a damaged file."""
        data = self._read("accepted.json")
        return set(decode(data, list[str])) if data else set()

    def store_accepted(self, digests: tuple[str, ...]) -> None:
        """Keep the digests; raises ``STORE_FAILED``."""
        self._write("accepted.json", encode(list(digests)))

    def store_gateway(self, state: GatewayState) -> None:
        """Leave the state where the gateway finds it without its agent."""
        self._write("gateway.json", encode(state))

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, name: str, data: bytes) -> None:
        try:
            write_private(self._folder / name, data)
        except OSError as error:
            raise HoldfastError(
                Code.STORE_FAILED, f"{self._folder / name} cannot be written: {error.strerror}."
            ) from error
