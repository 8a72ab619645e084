"""Columns in the width there is: the least important go first, one takes what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from holdfast_tui.logic.text import fit

GAP = 1


class Column(NamedTuple):
    """A column; ``rank`` 0 never goes, higher ranks go first. One may be ``flexible``."""

    title: str
    width: int
    rank: int = 0
    right: bool = False
    flexible: bool = False


class Fitted(NamedTuple):
    """Which columns are shown and how wide each is."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]


def fitted(columns: Sequence[Column], width: int) -> Fitted:
    """Return the columns that fit into ``width``, in their order."""
    shown = list(range(len(columns)))
    while sum(columns[i].width + GAP for i in shown) - GAP > width:
        rank, last = max((columns[i].rank, i) for i in shown)
        if rank == 0:
            break
        shown.remove(last)
    spare = width - (sum(columns[i].width + GAP for i in shown) - GAP)
    widths = [columns[i].width for i in shown]
    for place, i in enumerate(shown):
        if columns[i].flexible:
            widths[place] = max(1, widths[place] + spare)
            break
    return Fitted(tuple(shown), tuple(widths))


def line(columns: Sequence[Column], how: Fitted, cells: Sequence[str]) -> str:
    """Return one line of cells (clean text); what does not fit ends in ``~``."""
    parts = [
        fit(cells[i], size, right=columns[i].right)
        for i, size in zip(how.shown, how.widths, strict=True)
    ]
    return (" " * GAP).join(parts)
