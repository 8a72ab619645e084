"""What the keys do: one state of the console and a key give the next state.

Nothing here can change the site: dangerous verbs are commands, and none of them is a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from holdfast_tui.logic.console.known import Known
from holdfast_tui.logic.console.screens import SCREENS, Screen, find

ENTRY_LENGTH: Final = 60

Mode = Literal["table", "detail", "help", "quit", "command", "filter"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one screen is: the selected row by identity, its last index, the first row shown."""

    key: str | None = None
    index: int = 0
    top: int = 0
    filter: str = ""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """The look that is held, since when."""

    known: Known
    since_s: float


class Ui(msgspec.Struct, frozen=True, kw_only=True):
    """All that keys can change; ``message`` answers the last one."""

    screen: str = "1"
    mode: Mode = "table"
    entry: str = ""
    places: dict[str, Place] = {}
    paused: Pause | None = None
    message: str = ""
    scroll: int = 0
    """Of the detail view."""
    leave: bool = False

    @property
    def shown(self) -> Screen:
        """The screen that is shown."""
        return next(one for one in SCREENS if one.key == self.screen)

    @property
    def place(self) -> Place:
        """Where that screen is."""
        return self.places.get(self.screen, Place())


class Around(NamedTuple):
    """What a key's meaning depends on: the rows as they are filtered, the page, the clock."""

    keys: Sequence[str]
    page: int
    known: Known
    now_s: float


class Key(NamedTuple):
    """A key by its name; ``character`` where it writes one."""

    name: str
    character: str | None = None


_MOVES: Final[dict[str, int]] = {"j": 1, "down": 1, "k": -1, "up": -1}
_PAGES: Final[dict[str, int]] = {
    "pagedown": 1, "ctrl+f": 1, "space": 1, "pageup": -1, "ctrl+b": -1,
}  # fmt: skip


def press(ui: Ui, key: Key, around: Around) -> Ui:
    """Return the console after a key."""
    if key.name == "ctrl+q":
        return _with(ui, leave=True)
    ui = _with(ui, message="")
    match ui.mode:
        case "command" | "filter":
            return _entry(ui, key, around)
        case "quit":
            return _with(ui, leave=True) if key.name in ("y", "Y") else _with(ui, mode="table")
        case "help" | "detail":
            return _reading(ui, key)
        case "table":
            return _table(ui, key, around)


def position(place: Place, keys: Sequence[str], *, tail: bool) -> int:
    """Return the index of the selected row; it follows identity, and the tail where nothing is.

    A row that is gone leaves the cursor where it was.
    """
    if place.key is None:
        return len(keys) - 1 if tail else 0
    try:
        return keys.index(place.key)
    except ValueError:
        return max(0, min(place.index, len(keys) - 1))


def first_row(top: int, index: int, page: int, count: int) -> int:
    """Return the first row to show so that ``index`` is within the page."""
    low = max(0, index - page + 1)
    return max(0, min(max(top, low), index, max(0, count - page)))


def _table(ui: Ui, key: Key, around: Around) -> Ui:
    if any(one.key == key.name for one in SCREENS):
        return _with(ui, screen=key.name)
    match key.name:
        case "colon":
            return _with(ui, mode="command", entry="")
        case "slash":
            return _with(ui, mode="filter", entry=ui.place.filter)
        case "question_mark":
            return _with(ui, mode="help", scroll=0)
        case "q":
            return _with(ui, mode="quit")
        case "ctrl+c":
            return _with(ui, message="q leaves the console.")
        case "p":
            return _pause(ui, around)
        case "escape":
            return _move_to(_at(ui, filter=""), None, around)
        case "enter" | "d":
            return _with(ui, mode="detail", scroll=0) if around.keys else ui
        case _:
            return _move(ui, key, around)


def _move(ui: Ui, key: Key, around: Around) -> Ui:
    if not around.keys:
        return ui
    index = position(ui.place, around.keys, tail=ui.shown.tail)
    match key.name:
        case "g" | "home":
            return _move_to(ui, 0, around)
        case "G" | "end":
            return _move_to(ui, len(around.keys) - 1, around)
        case name if name in _MOVES:
            return _move_to(ui, index + _MOVES[name], around)
        case name if name in _PAGES:
            return _move_to(ui, index + _PAGES[name] * max(1, around.page - 1), around)
        case _:
            return _with(ui, message="That key does nothing here; ? lists the keys.")


def _move_to(ui: Ui, index: int | None, around: Around) -> Ui:
    if index is None or not around.keys:
        return _at(ui, key=None, index=0, top=0)
    last = len(around.keys) - 1
    index = max(0, min(index, last))
    if ui.shown.tail and index == last:
        # At the newest record: stay with the newest as more come.
        return _at(ui, key=None, index=index)
    top = first_row(ui.place.top, index, around.page, len(around.keys))
    return _at(ui, key=around.keys[index], index=index, top=top)


def _pause(ui: Ui, around: Around) -> Ui:
    if ui.paused is not None:
        return _with(ui, paused=None)
    return _with(ui, paused=Pause(known=around.known, since_s=around.now_s))


def _reading(ui: Ui, key: Key) -> Ui:
    if key.name in _MOVES:
        return _with(ui, scroll=max(0, ui.scroll + _MOVES[key.name]))
    if key.name in _PAGES:
        return _with(ui, scroll=max(0, ui.scroll + 10 * _PAGES[key.name]))
    if any(one.key == key.name for one in SCREENS):
        return _with(ui, mode="table", screen=key.name)
    if key.name == "question_mark" and ui.mode == "detail":
        return _with(ui, mode="help", scroll=0)
    return _with(ui, mode="table")


def _entry(ui: Ui, key: Key, around: Around) -> Ui:
    match key.name:
        case "escape" | "ctrl+c":
            return _with(ui, mode="table", entry="")
        case "enter":
            return _entered(ui, around)
        case "backspace":
            return _with(ui, entry=ui.entry[:-1])
        case "ctrl+u":
            return _with(ui, entry="")
        case _ if key.character and key.character.isprintable() and len(ui.entry) < ENTRY_LENGTH:
            return _with(ui, entry=ui.entry + key.character)
        case _:
            return ui


def _entered(ui: Ui, around: Around) -> Ui:
    text, mode = ui.entry.strip(), ui.mode
    ui = _with(ui, mode="table", entry="")
    if mode == "filter":
        return _move_to(_at(ui, filter=text), None, around)
    if text in ("q", "quit", "exit"):
        return _with(ui, leave=True)
    if text in ("help", "?"):
        return _with(ui, mode="help", scroll=0)
    screen = find(text)
    if screen is not None:
        return _with(ui, screen=screen.key)
    names = ", ".join(one.name for one in SCREENS)
    return _with(ui, message=f"There is no screen {text!a}. There are {names}." if text else "")


def _at(ui: Ui, **changes: str | int | None) -> Ui:
    place = msgspec.structs.replace(ui.place, **changes)
    return _with(ui, places={**ui.places, ui.screen: place})


def _with(ui: Ui, **changes: object) -> Ui:
    return msgspec.structs.replace(ui, **changes)
