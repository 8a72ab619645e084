"""One widget that shows lines: textual's line API, and only lines that changed are repainted.

Stock widgets re-render whole tables for one changed cell; here a frame costs what changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from holdfast_tui.logic.console.spans import Line, Span
from holdfast_tui.logic.console.standing import Kind

Palette = dict[Kind, Style]


class Canvas(Widget, can_focus=False, inherit_bindings=False):
    """Lines of spans; no markup is ever read in them."""

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self.painted = 0
        self._palette = palette
        self._lines: list[Line] = []

    def show(self, lines: Sequence[Line]) -> None:
        """Show ``lines``; lines that are as they were cost nothing."""
        before, self._lines = self._lines, list(lines)
        if len(before) != len(self._lines):
            self.refresh()
            return
        changed = [y for y, line in enumerate(self._lines) if line != before[y]]
        self.painted += len(changed)
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """Return a line as the screen library wants it."""
        if y >= len(self._lines):
            return Strip.blank(self.size.width)
        segments = [self._segment(span) for span in self._lines[y]]
        return Strip(segments).adjust_cell_length(self.size.width)

    def _segment(self, span: Span) -> Segment:
        return Segment(span.text, self._palette[span.kind])
