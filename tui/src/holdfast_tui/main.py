"""``holdfast``: wires the command to the real bus."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast_tui.shell import run

if TYPE_CHECKING:
    from holdfast_protocol.bus.port import Core


async def connect(folder: Path, name: str, timeout_s: float) -> Core:
    """Return a bus from a credentials folder."""
    # Imported here: help, offline verbs and mistakes need no broker's client.
    from holdfast_protocol.bus import nats_bus

    return await nats_bus.connect(folder, name=name, timeout_s=timeout_s)


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:], connect))
