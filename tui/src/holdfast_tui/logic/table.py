"""Tables of plain text: aligned, nothing cut off, no colour."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_tui.logic.text import clean, width

GAP = "  "


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a heading and one line a row, columns aligned; a heading ``>X`` aligns right."""
    names = [head.removeprefix(">") for head in heads]
    cells = [names, *([clean(cell) for cell in row] for row in rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(names))]
    return [
        GAP.join(
            _padded(cell, widths[column], right=heads[column].startswith(">"))
            for column, cell in enumerate(row)
        ).rstrip()
        for row in cells
    ]


def pairs(items: Sequence[tuple[str, str]]) -> list[str]:
    """Return ``name  value`` lines with the values in one column."""
    longest = max((width(name) for name, _ in items), default=0)
    return [f"{_padded(clean(n), longest, right=False)}{GAP}{clean(v)}".rstrip() for n, v in items]


def _padded(text: str, columns: int, *, right: bool) -> str:
    pad = " " * (columns - width(text))
    return pad + text if right else text + pad
