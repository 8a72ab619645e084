"""Every screen as an operator sees it, driven by keys, against stored text.

``HOLDFAST_SCREENS=write`` writes the stored text anew; look at the difference before it is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_tui.console.app import Console
from holdfast_tui.logic.console.known import Known, failed
from holdfast_tui.logic.console.screens import SCREENS

from tests.console.demo_site import DemoSite
from tests.console.still import PROFILES, Still, console, known, shown

STORED = Path(__file__).parent / "screens"
AWAY = HoldfastError(Code.CONTROLLER_DOWN, "Nobody answers for the site's controller.")

KEYS: dict[str, tuple[str, ...]] = {
    **{one.name: (one.key,) for one in SCREENS},
    "node-detail": ("j", "enter"),
    "deployment-detail": ("4", "G", "enter"),
    "filtered": ("1", "slash", "f", "r", "enter"),
    "filter-empty": ("2", "slash", "z", "z", "enter"),
    "command": ("colon", "e", "v"),
    "help": ("question_mark",),
    "quit": ("q",),
    "paused": ("6", "p"),
}
SITES: dict[str, Known] = {
    "never": Known(),
    "never-refused": failed(Known(), AWAY),
    "lost": failed(known(ago_s=43.0), AWAY),
    "empty": known(DemoSite()),
}


def compare(name: str, lines: list[str]) -> None:
    path = STORED / f"{name}.txt"
    text = "\n".join(lines) + "\n"
    if os.environ.get("HOLDFAST_SCREENS") == "write":
        STORED.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("size", PROFILES)
@pytest.mark.parametrize("name", KEYS)
async def test_keys_lead_to_the_screen(name: str, size: str) -> None:
    profile, dimensions = PROFILES[size]
    app = console(Still(known()), profile)
    async with app.run_test(size=dimensions) as pilot:
        await pilot.press(*KEYS[name])
        lines = shown(app)
    compare(f"{name}-{size}", lines)
    assert len(lines) == dimensions[1]
    assert max(map(len, lines)) <= dimensions[0]
    assert "".join(lines).isascii()


@pytest.mark.parametrize("size", PROFILES)
@pytest.mark.parametrize("name", SITES)
async def test_a_site_that_is_away_or_empty(name: str, size: str) -> None:
    profile, dimensions = PROFILES[size]
    app = console(Still(SITES[name]), profile)
    async with app.run_test(size=dimensions) as pilot:
        await pilot.pause()
        lines = shown(app)
    compare(f"{name}-{size}", lines)


async def test_what_is_painted_reaches_the_terminal() -> None:
    profile, dimensions = PROFILES["80x24"]
    app = console(Still(known()), profile)
    async with app.run_test(size=dimensions) as pilot:
        await pilot.pause()
        svg = app.export_screenshot()
    assert "de-2:&#160;its&#160;gateway&#160;is&#160;down." in svg


async def test_only_changed_lines_are_painted_again() -> None:
    profile, dimensions = PROFILES["160x48"]
    app = console(Still(known()), profile)
    async with app.run_test(size=dimensions) as pilot:
        await pilot.pause()
        before = app.canvas.painted
        app.paint()
        assert app.canvas.painted == before
        await pilot.press("j")
        # Two rows, the note with the position.
        assert app.canvas.painted == before + 3


@pytest.mark.parametrize("keys", [("ctrl+q",), ("q", "y"), ("colon", "q", "enter")])
async def test_ways_out(keys: tuple[str, ...]) -> None:
    app = console(Still(known()), PROFILES["80x24"][0])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        assert app.ui.leave


async def test_no_key_of_the_library_acts_behind_ours() -> None:
    app = console(Still(known()), PROFILES["80x24"][0])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+p", "ctrl+c", "ctrl+backslash", "tab", "shift+tab", "f1", "q", "n")
        assert len(app.screen_stack) == 1
        assert not app.ui.leave
        assert app.ui.mode == "table"


async def test_a_resize_is_drawn_at_once() -> None:
    app = console(Still(known()), PROFILES["80x24"][0])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert len(shown(app)) == 30
        assert shown(app)[-1].startswith("1-6 screens")


class Broken:
    """A source with a defect."""

    @property
    def known(self) -> Known:
        raise ZeroDivisionError("secret detail")

    async def run(self) -> None:
        return


async def test_a_defect_ends_it_without_showing_values(capfd: pytest.CaptureFixture[str]) -> None:
    app = Console(Broken(), "operator-1")
    with pytest.raises(ZeroDivisionError):
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
    assert isinstance(app.failure, ZeroDivisionError)
    assert "secret detail" not in "".join(capfd.readouterr())
