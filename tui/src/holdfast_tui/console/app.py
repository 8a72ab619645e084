"""The console as an application of textual: keys in, frames out; what they mean is in ``logic``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar, Protocol

from textual import events
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.driver import Driver
from textual.screen import Screen

from holdfast_tui.console.canvas import Canvas
from holdfast_tui.console.profile import FULL, Profile
from holdfast_tui.console.serial import SerialDriver
from holdfast_tui.logic.console.frame import Look, draw, page_rows
from holdfast_tui.logic.console.known import Known
from holdfast_tui.logic.console.ui import Around, Key, Ui, press
from holdfast_tui.logic.console.view import Viewer


class Source(Protocol):
    """Where the console's knowledge comes from."""

    @property
    def known(self) -> Known:
        """What is known now."""
        ...

    async def run(self) -> None:
        """Keep it up to date until cancelled."""
        ...


def wall_clock() -> str:
    """Return the time of day in UTC."""
    return datetime.now(UTC).strftime("%H:%M:%SZ")


class Blank(Screen[None], inherit_bindings=False):
    """A screen without the library's own keys: none of them may act behind ours."""

    BINDINGS: ClassVar[list[BindingType]] = []


class Console(App[None], inherit_bindings=False):
    """The operator's console; ``who`` is shown, ``source`` is read and never asked to change."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []
    CSS = "Screen { background: ansi_default; } Canvas { width: 100%; height: 100%; }"

    def __init__(
        self,
        source: Source,
        who: str,
        profile: Profile = FULL,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], str] = wall_clock,
    ) -> None:
        # ansi_color at construction: set later, a theme without colours paints black on black.
        driver: type[Driver] | None = SerialDriver if profile.plain else None
        super().__init__(driver_class=driver, ansi_color=True)
        self.ui = Ui()
        self.canvas = Canvas(profile.palette)
        self._source = source
        self._who = who
        self._profile = profile
        self._clock = clock
        self._wall = wall
        self._viewer = Viewer()
        self._feeding: asyncio.Task[None] | None = None

    def get_default_screen(self) -> Screen[None]:
        """Return the one screen there is."""
        return Blank(id="_default")

    def compose(self) -> ComposeResult:
        """Yield the canvas."""
        yield self.canvas

    def on_mount(self) -> None:
        """Begin to look and to draw."""
        self.theme = "ansi-dark"
        self._feeding = asyncio.create_task(self._source.run(), name="console feed")
        self.set_interval(1 / self._profile.frames_per_s, self.paint)
        self.paint()

    async def on_unmount(self) -> None:
        """End the looking."""
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)

    def on_resize(self, _: events.Resize) -> None:
        """Draw in the new size, once the library knows it everywhere."""
        self.call_after_refresh(self.paint)

    def on_key(self, event: events.Key) -> None:
        """Give a key its meaning and show what came of it at once."""
        event.stop()
        event.prevent_default()
        look, known = self._look(), self._source.known
        seen = self._viewer.see(self.ui, known, look.now_s)
        around = Around(
            keys=[row.key for row in seen.rows],
            page=page_rows(self.ui, seen, look),
            known=known,
            now_s=look.now_s,
        )
        self.ui = press(self.ui, Key(event.key, event.character), around)
        if self.ui.leave:
            self.exit()
            return
        self.paint()

    def paint(self) -> None:
        """Draw a frame."""
        self._check_feed()
        look = self._look()
        seen = self._viewer.see(self.ui, self._source.known, look.now_s)
        self.canvas.show(draw(self.ui, seen, look))

    @property
    def failure(self) -> Exception | None:
        """What ended the console, where that was no wish of its person."""
        return self._exception

    def _fatal_error(self) -> None:
        # The library would print a traceback with the values of local variables on the terminal;
        # ours goes to a file that only this user reads.
        self._close_messages_no_wait()

    def _check_feed(self) -> None:
        # A feed that ended is a defect: a console that only looks alive would be worse.
        if self._feeding is not None and self._feeding.done() and not self._feeding.cancelled():
            failure = self._feeding.exception()
            if failure is not None:
                raise failure

    def _look(self) -> Look:
        return Look(
            width=self.size.width,
            height=self.size.height,
            who=self._who,
            now_s=self._clock(),
            clock=self._wall(),
            plain=self._profile.plain,
        )
