"""Writes every screen of the console as plain text: ``capture.py --site DIR [--out docs/console]``.

The text is what an operator sees at 80x24, drawn from a running site by the console's own code.
With ``--demo`` the site is the made-up one of the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from holdfast_tui.console.feed import Feed  # noqa: E402 - the demo site lies beside the tests
from holdfast_tui.invocation import Invocation  # noqa: E402
from holdfast_tui.logic.console.frame import Look, draw, page_rows, text  # noqa: E402
from holdfast_tui.logic.console.known import Known  # noqa: E402
from holdfast_tui.logic.console.screens import SCREENS  # noqa: E402
from holdfast_tui.logic.console.ui import Around, Key, Ui, press  # noqa: E402
from holdfast_tui.logic.console.view import view  # noqa: E402
from holdfast_tui.main import connect  # noqa: E402

from tests.console.demo import furnished  # noqa: E402

PATIENCE_S: Final = 15.0
KEYS: Final[dict[str, tuple[str, ...]]] = {
    **{f"{one.key}-{one.name}": (one.key,) for one in SCREENS},
    "node-detail": ("1", "enter"),
    "help": ("question_mark",),
}


async def known_of(one: Invocation) -> Known:
    """Return what the console knows of the site after its first look; raises ``TimeoutError``."""
    feed = Feed(one)
    looking = asyncio.create_task(feed.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while feed.known.picture is None:  # noqa: ASYNC110 - the feed has no event
                await asyncio.sleep(0.05)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    return feed.known


def captured(known: Known, keys: tuple[str, ...], look: Look) -> str:
    """Return the screen that ``keys`` lead to, as text."""
    ui = Ui()
    for name in keys:
        seen = view(ui, known, look.now_s)
        rows = [row.key for row in seen.rows]
        around = Around(rows, page_rows(ui, seen, look), known, look.now_s)
        ui = press(ui, Key(name, name if len(name) == 1 else None), around)
    return "\n".join(text(draw(ui, view(ui, known, look.now_s), look))) + "\n"


def main() -> None:
    """Write one file a screen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, help="the folder of a running site")
    parser.add_argument("--as", dest="who", default="operator-1")
    parser.add_argument("--demo", action="store_true", help="the made-up site of the tests")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "console")
    parser.add_argument("--size", default="80x24")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    with tempfile.TemporaryDirectory() as scratch:
        one = Invocation(connect=connect, site_folder=given.site, who=given.who)
        if given.demo:
            (Path(scratch) / "creds" / given.who).mkdir(parents=True)
            site = furnished()
            one = Invocation(connect=site.connect, site_folder=Path(scratch), who=given.who)
        known = asyncio.run(known_of(one))
    look = Look(
        width=width,
        height=height,
        who=given.who,
        now_s=time.monotonic(),
        clock=datetime.now(UTC).strftime("%H:%M:%SZ"),
        plain=True,
    )
    given.out.mkdir(parents=True, exist_ok=True)
    for name, keys in KEYS.items():
        (given.out / f"{name}.txt").write_text(captured(known, keys, look), encoding="utf-8")
    print(f"{len(KEYS)} screens are in {given.out}.")


if __name__ == "__main__":
    main()
