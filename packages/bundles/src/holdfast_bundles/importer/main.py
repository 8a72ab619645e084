"""``holdfast-importer --config FILE``: wires the importer and runs it until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from holdfast_protocol import program
from holdfast_protocol.configs import load

from holdfast_bundles.importer.config import ImporterConfig
from holdfast_bundles.importer.job import Home
from holdfast_bundles.importer.shell import Importer
from holdfast_bundles.store import local_disk


def main() -> None:
    """Run the importer; exit code 0 after SIGTERM, the table's code for a refused start."""
    parser = argparse.ArgumentParser(prog="holdfast-importer", description=__doc__)
    parser.add_argument("--config", required=True, type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    program.run(lambda stopped: _run(load(arguments.config, ImporterConfig), stopped))


async def _run(config: ImporterConfig, stopped: asyncio.Event) -> None:
    home = Home(
        Path(config.store_dir),
        tuple(Path(root) for root in config.media_roots),
        config.reserve_bytes,
    )
    with local_disk():
        home.store_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    await Importer(home).run(Path(config.socket), stopped)


if __name__ == "__main__":
    main()
