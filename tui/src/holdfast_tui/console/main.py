"""Opens the console on this terminal, or says which command to use instead."""

from __future__ import annotations

import os
import sys

from holdfast_protocol.errors import Code, HoldfastError

from holdfast_tui.invocation import Invocation

COLUMNS_MIN = 80
LINES_MIN = 24


def open_console(one: Invocation, *, plain: bool) -> None:
    """Run the console until its person leaves.

    Raises ``SITE_UNKNOWN`` and ``NOT_PERMITTED`` before the screen is taken, ``BAD_REQUEST``
    where the terminal cannot carry one, and whatever ended the console by itself.
    """
    one.site.identity(one.person)
    _check_terminal(one)
    # The library reads these when it is imported: no animation, no keyboard protocol that stays
    # behind on a terminal whose connection dropped.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_DISABLE_KITTY_KEY", "1")
    os.environ.setdefault("ESCDELAY", "50")
    from holdfast_tui.console.app import Console
    from holdfast_tui.console.feed import Feed
    from holdfast_tui.console.profile import FULL, NO_COLOUR, PLAIN

    profile = PLAIN if plain else (NO_COLOUR if os.environ.get("NO_COLOR") else FULL)
    app = Console(Feed(one), one.person, profile)
    app.run(mouse=False)
    if app.failure is not None:
        raise app.failure


def _check_terminal(one: Invocation) -> None:
    instead = "use holdfast status, nodes, gpus, models, deployments, requests or events --follow"
    if one.as_json:
        raise HoldfastError(Code.BAD_REQUEST, f"The console has no JSON; {instead}.")
    # The screen library writes to standard error.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise HoldfastError(Code.BAD_REQUEST, f"The console needs a terminal; {instead}.")
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        raise HoldfastError(Code.BAD_REQUEST, f"This terminal cannot carry a console; {instead}.")
