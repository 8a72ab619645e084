"""The stamp of the newest desired document a gateway followed, kept across its restarts.

Without it a gateway that starts anew would follow any document its controller ever signed, also
one with routes and grants of long ago; with it only the same document or a newer one.
"""

from __future__ import annotations

import logging
from pathlib import Path

from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.identity.credentials import write_private

from holdfast_agent.logic.stamp import Stamp

log = logging.getLogger("holdfast.gateway")


class StampFile:
    """One small file in ``folder``; the gateway is its only writer."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "stamp.json"

    def read(self) -> Stamp | None:
        """Return what was kept last; None on a fresh node, and for a file that cannot be read."""
        try:
            return decode(self._path.read_bytes(), Stamp)
        except FileNotFoundError:
            return None
        except (OSError, HoldfastError) as error:
            log.error("the stamp of the last document cannot be read: %s", error)
            return None

    def write(self, stamp: Stamp) -> None:
        """Keep ``stamp``; a disk that does not take it is said, and stops no answer."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path, encode(stamp))
        except OSError as error:
            log.error("the stamp of the document is not kept: %s", error.strerror)
