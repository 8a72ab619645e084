"""Two ways to look at the same screens: with colours, or in ASCII on a line of 80x24.

Colours (Okabe and Ito's) only repeat what words and marks say. Only reverse is relied on: bold
and dim cannot be told apart on many consoles.
"""

from __future__ import annotations

from typing import NamedTuple

from rich.style import Style

from holdfast_tui.console.canvas import Palette


class Profile(NamedTuple):
    """How the console is drawn; ``frames_per_s`` bounds what a slow line must carry."""

    plain: bool
    frames_per_s: float
    palette: Palette


_REVERSE = Style(reverse=True)

WITHOUT_COLOUR: Palette = {
    "plain": Style(),
    "good": Style(),
    "busy": Style(),
    "warn": Style(),
    "bad": Style(),
    "stale": Style(),
    "dim": Style(),
    "head": Style(bold=True),
    "bar": _REVERSE,
    "cursor": _REVERSE,
}
WITH_COLOUR: Palette = {
    **WITHOUT_COLOUR,
    "busy": Style(color="#56b4e9"),
    "warn": Style(color="#e69f00"),
    "bad": Style(color="#d55e00", bold=True),
    "stale": Style(color="#cc79a7"),
    "dim": Style(dim=True),
}

FULL = Profile(plain=False, frames_per_s=5.0, palette=WITH_COLOUR)
NO_COLOUR = Profile(plain=False, frames_per_s=5.0, palette=WITHOUT_COLOUR)
PLAIN = Profile(plain=True, frames_per_s=2.0, palette=WITHOUT_COLOUR)
