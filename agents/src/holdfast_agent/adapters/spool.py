"""The agent's spool: facts that must not be lost wait here until the site has them.

One file an event, written durably, removed once the stream has acknowledged it. Bounded: beyond
``SPOOL_EVENTS`` the oldest give way, because the newest say how the node is now.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.credentials import write_private
from holdfast_protocol.limits import SPOOL_EVENTS
from holdfast_protocol.messages import NodeEvent


class Spool:
    """The files below ``folder``, oldest first by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def append(self, event: NodeEvent) -> None:
        """Keep ``event``; raises ``STORE_FAILED``."""
        name = f"{int(event.at * 1000):015d}-{event.boot}-{event.seq:08d}.json"
        try:
            names = self._names()
            for old in names[: max(0, len(names) + 1 - SPOOL_EVENTS)]:
                (self._folder / old).unlink(missing_ok=True)
            write_private(self._folder / name, encode(event))
        except OSError as error:
            raise HoldfastError(
                Code.STORE_FAILED, f"The spool cannot be written: {error.strerror}."
            ) from error

    def oldest(self) -> tuple[str, NodeEvent] | None:
        """Return the oldest event and its name; a damaged file is dropped."""
        for name in self._names():
            try:
                return name, decode((self._folder / name).read_bytes(), NodeEvent)
            except (HoldfastError, OSError):
                with contextlib.suppress(OSError):
                    (self._folder / name).unlink(missing_ok=True)
        return None

    def remove(self, name: str) -> None:
        """Forget an event that the site has."""
        (self._folder / name).unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        try:
            return sorted(path.name for path in self._folder.iterdir() if path.suffix == ".json")
        except OSError:
            return []  # a disk that cannot be read: nothing can be sent, nor kept


def message_id(event: NodeEvent) -> str:
    """Return the id under which the stream knows a repetition."""
    return f"{event.node}-{event.boot}-{event.seq}"
