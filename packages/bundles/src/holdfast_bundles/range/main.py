"""``holdfast-range --config FILE``: serves the store's blobs until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from holdfast_protocol import program
from holdfast_protocol.configs import load

from holdfast_bundles.range import server
from holdfast_bundles.range.config import RangeConfig


def main() -> None:
    """Run the server; exit code 0 after SIGTERM, the table's code for a refused start."""
    parser = argparse.ArgumentParser(prog="holdfast-range", description=__doc__)
    parser.add_argument("--config", required=True, type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    program.run(lambda stopped: _run(load(arguments.config, RangeConfig), stopped))


async def _run(config: RangeConfig, stopped: asyncio.Event) -> None:
    await server.run(config, stopped)


if __name__ == "__main__":
    main()
