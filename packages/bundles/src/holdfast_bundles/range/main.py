"""``holdfast-range --config FILE``: serves the store's blobs until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from holdfast_protocol.configs import load
from holdfast_protocol.errors import HoldfastError

from holdfast_bundles.range import server
from holdfast_bundles.range.config import RangeConfig


def main() -> None:
    """Run the server; exit code 0 after SIGTERM, the table's code for a refused start."""
    parser = argparse.ArgumentParser(prog="holdfast-range", description=__doc__)
    parser.add_argument("--config", required=True, type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(_run(load(arguments.config, RangeConfig)))
    except HoldfastError as error:
        sys.stderr.write(f"{error.code}: {error.message} {error.next}\n")
        sys.exit(error.exit_code)


async def _run(config: RangeConfig) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await server.run(config, stopped)


if __name__ == "__main__":
    main()
