"""``holdfast-lab --site DIR``: the lab's supervisor as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from holdfast_protocol.errors import HoldfastError

from holdfast_lab.layout import Layout
from holdfast_lab.shell import Lab


def main() -> None:
    """Run a founded site until told to stop; exit codes are those of the error table."""
    parser = argparse.ArgumentParser(prog="holdfast-lab", description=__doc__)
    parser.add_argument("--site", required=True, type=Path, help="the site's folder")
    layout = Layout(parser.parse_args().site.resolve())
    try:
        asyncio.run(Lab(layout, lambda text: print(text, flush=True)).run())
    except HoldfastError as error:
        print(f"{error.code}: {error.message} {error.next}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
