"""What is shown now: a look at the site, how old it is, its rows after the filter."""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast_tui.logic.console import standing
from holdfast_tui.logic.console.known import Known, Link, Picture, link
from holdfast_tui.logic.console.rows import Row
from holdfast_tui.logic.console.ui import Ui

AGES_EVERY_S: Final = 0.5


class View(NamedTuple):
    """What is shown now: a look at the site, how old, its rows after the filter."""

    known: Known
    link: Link
    rows: list[Row]
    total: int

    @property
    def picture(self) -> Picture | None:
        """The look itself."""
        return self.known.picture


def view(ui: Ui, known: Known, now_s: float) -> View:
    """Return what is shown: what is known, or what was when it was paused."""
    live = link(known, now_s)
    shown = known if ui.paused is None else ui.paused.known
    at_s = now_s if ui.paused is None else ui.paused.since_s
    if shown.picture is None or shown.heard_s is None:
        return View(shown, live, [], 0)
    rows = ui.shown.rows(shown.picture, max(0.0, at_s - shown.heard_s))
    if live.frozen:
        rows = [row._replace(standing=standing.frozen(row.standing)) for row in rows]
        rows = [_bracketed(ui, row) for row in rows]
    wanted = ui.place.filter.lower()
    kept = [row for row in rows if wanted in " ".join(row.cells).lower()] if wanted else rows
    return View(shown, live, kept, len(rows))


class Viewer:
    """Gives views, and makes one anew only when something in it can have changed.

    Rows of a thousand devices cost more than a frame; ages move twice a second at most.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._view: View | None = None

    def see(self, ui: Ui, known: Known, now_s: float) -> View:
        """Return the view of ``known`` at ``now_s``; the link in it is never an old one."""
        live = link(known, now_s)
        at = int(now_s / AGES_EVERY_S) if ui.paused is None else ui.paused.since_s
        key = (known.version, ui.screen, ui.place.filter, ui.paused is None, live.state, at)
        if self._view is None or key != self._key:
            self._key, self._view = key, view(ui, known, now_s)
        return self._view._replace(link=live)


def _bracketed(ui: Ui, row: Row) -> Row:
    """Return a row whose state stands in brackets: it was so when it was last heard."""
    titles = [one.title for one in ui.shown.columns]
    if "STATE" not in titles:
        return row
    at = titles.index("STATE")
    if row.cells[at].startswith("STALE"):
        return row
    cells = (*row.cells[:at], f"({row.cells[at]})", *row.cells[at + 1 :])
    return row._replace(cells=cells)
