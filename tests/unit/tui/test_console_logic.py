"""The console without a terminal: keys, ages, filters, hostile text."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_tui.logic.console import columns, standing
from holdfast_tui.logic.console.frame import Look, draw, text
from holdfast_tui.logic.console.help import HELP
from holdfast_tui.logic.console.known import Known, failed, heard, link
from holdfast_tui.logic.console.screens import SCREENS, find
from holdfast_tui.logic.console.ui import Around, Key, Place, Ui, first_row, position, press
from holdfast_tui.logic.console.view import Viewer, view
from holdfast_tui.logic.text import width
from hypothesis import given
from hypothesis import strategies as st

from tests.console.demo_site import DemoSite, gpu, node
from tests.console.still import NOW_S, known, picture

LOOK = Look(width=80, height=24, who="operator-1", now_s=NOW_S, clock="14:03:22Z", plain=True)
SITE = DemoSite()
NO_TEXT = set(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200B, 0xFEFF]))


def typed(ui: Ui, *names: str, rows: Sequence[str] = ("a", "b", "c"), page: int = 10) -> Ui:
    for name in names:
        character = name if len(name) == 1 else None
        ui = press(ui, Key(name, character), Around(rows, page, Known(), NOW_S))
    return ui


def seen(*nodes: object, ago_s: float = 0.0) -> Known:
    site = DemoSite()
    site.nodes = list(nodes)  # type: ignore[arg-type]  # a test's short hand
    return known(site, ago_s=ago_s)


def lines(ui: Ui, what: Known, **changes: object) -> list[str]:
    look = LOOK._replace(**changes)  # type: ignore[arg-type]  # a test's short hand
    return text(draw(ui, view(ui, what, look.now_s), look))


# ---------------------------------------------------------------- age


@pytest.mark.parametrize(
    ("ago_s", "state"),
    [(0.0, "ok"), (2.5, "ok"), (2.6, "late"), (5.0, "late"), (5.1, "lost"), (3600.0, "lost")],
)
def test_the_links_state_is_its_age(ago_s: float, state: str) -> None:
    assert link(seen(ago_s=ago_s), NOW_S).state == state


def test_one_failed_look_freezes_nothing() -> None:
    what = failed(seen(ago_s=1.0), HoldfastError(Code.CONTROLLER_DOWN, "Away."))
    assert link(what, NOW_S).state == "ok"
    assert link(heard(what, picture(SITE), NOW_S), NOW_S).state == "ok"
    assert heard(what, picture(SITE), NOW_S).problem is None


@pytest.mark.parametrize(
    ("state", "age_s", "since_s", "word", "ok"),
    [
        ("ok", 0.4, 0.0, "OK", True),
        ("ok", 4.0, 0.9, "OK", True),
        ("ok", 4.0, 1.1, "STALE 5s", False),
        ("ok", 0.4, 43.0, "STALE 43s", False),
        ("ok", None, 0.0, "n/a", False),
        ("down", 600.0, 0.0, "DOWN", False),
        ("martian", 0.4, 0.0, "MARTIAN", False),
    ],
)
def test_what_is_not_heard_is_never_ok(
    state: str, age_s: float | None, since_s: float, word: str, ok: bool
) -> None:
    stands = standing.aged(state, age_s, since_s)
    assert (stands.word, stands.ok) == (word, ok)
    assert ok == (stands.mark == " ")


def test_a_lost_link_counts_nothing_as_well() -> None:
    shown = lines(Ui(), seen(node("de-1"), node("de-2", state="down"), ago_s=43.0))
    assert "LINK LOST 43s" in shown[1]
    assert "2 nodes" in shown[1]
    assert "/2 OK" not in shown[1]
    assert "FROZEN 43s ago" in shown[2]
    assert any("STALE 43s" in line for line in shown)
    assert any("(DOWN)" in line for line in shown)


# ---------------------------------------------------------------- keys


def test_screens_by_digit_and_by_name() -> None:
    for one in SCREENS:
        assert typed(Ui(), one.key).screen == one.key
        assert typed(Ui(), "colon", *one.name[:3], "enter").screen == one.key
        assert find(one.short) is one
    ui = typed(Ui(screen="3"), "colon", "z", "z", "enter")
    assert ui.screen == "3"
    assert "no screen" in ui.message


def test_leaving_asks_first() -> None:
    assert not typed(Ui(), "q").leave
    assert not typed(Ui(), "q", "q").leave
    assert not typed(Ui(), "q", "enter").leave
    assert typed(Ui(), "q", "y").leave
    for mode in ("table", "detail", "help", "quit", "command", "filter"):
        assert press(
            Ui(mode=mode),
            Key("ctrl+q"),
            Around((), 10, Known(), NOW_S),
        ).leave


def test_letters_write_while_something_is_entered() -> None:
    ui = typed(Ui(), "slash", "q", "p", "1")
    assert (ui.mode, ui.entry, ui.leave) == ("filter", "qp1", False)
    assert typed(ui, "backspace").entry == "qp"
    assert typed(ui, "escape").place.filter == ""
    assert typed(ui, "enter").place.filter == "qp1"
    assert typed(typed(ui, "enter"), "escape").place.filter == ""


def test_every_screen_keeps_its_own_place_and_filter() -> None:
    ui = typed(Ui(), "slash", "x", "enter", "2", "j")
    assert (ui.places["1"].filter, ui.place.filter, ui.place.key) == ("x", "", "b")
    assert typed(ui, "1").place.filter == "x"


def test_the_cursor_follows_the_row_not_the_line() -> None:
    ui = typed(Ui(), "j")
    assert ui.place.key == "b"
    assert position(ui.place, ["c", "a", "b"], tail=False) == 2
    assert position(ui.place, ["c", "a"], tail=False) == 1
    assert position(ui.place, [], tail=False) == 0


def test_the_newest_event_is_followed_until_one_looks_back() -> None:
    ui = Ui(screen="6")
    assert position(ui.place, ["1", "2", "3"], tail=True) == 2
    back = typed(ui, "k", rows=("1", "2", "3"))
    assert position(back.place, ["1", "2", "3", "4"], tail=True) == 1
    again = typed(back, "G", rows=("1", "2", "3", "4"))
    assert position(again.place, ["1", "2", "3", "4", "5"], tail=True) == 4


@given(st.integers(0, 50), st.integers(0, 49), st.integers(1, 20))
def test_the_selected_row_is_always_shown(top: int, index: int, page: int) -> None:
    first = first_row(top, index, page, 50)
    assert first <= index < first + page
    assert 0 <= first <= max(0, 50 - page)


def test_pause_holds_the_view_and_not_the_link() -> None:
    before = seen(node("de-1"))
    ui = press(Ui(), Key("p", "p"), Around(("de-1",), 10, before, NOW_S))
    after = seen(node("de-1"), node("de-2"))
    shown = lines(ui, after, now_s=NOW_S + 12)
    assert "PAUSED 12s" in shown[2]
    assert not any("de-2" in line for line in shown)
    assert "LINK LOST 12s" in shown[1]
    assert any("de-2" in line for line in lines(typed(ui, "p"), after))


def test_the_help_names_every_key_that_means_something() -> None:
    written = " ".join(HELP)
    for key in ("1", "6", ":", "/", "j", "k", "g", "G", "d", "p", "q", "Ctrl+Q", "Esc", "Enter"):
        assert key in written
    assert len(HELP) <= 24 - 5
    assert max(map(len, HELP)) <= 80


# ---------------------------------------------------------------- lines


def test_a_filter_says_of_how_many() -> None:
    ui = Ui(places={"1": Place(filter="FR-")})
    what = seen(node("de-1"), node("fr-1"))
    assert [row.key for row in view(ui, what, NOW_S).rows] == ["fr-1"]
    assert "filter: FR- (1 of 2)" in lines(ui, what)[2]


@given(
    st.text(max_size=200),
    st.sampled_from([one.key for one in SCREENS]),
    st.sampled_from(["table", "detail"]),
    st.booleans(),
    st.integers(40, 180),
)
def test_hostile_text_changes_no_line(
    hostile: str, screen: str, mode: str, plain: bool, columns_total: int
) -> None:
    site = SITE
    site.nodes = [node("de-1", trust=hostile, engine=hostile, isolation=hostile)]
    site.gpus = [gpu(hostile, "de-1", name=hostile, state=hostile)]
    site.findings = (hostile,)
    site.events = []
    site.event(hostile, hostile, hostile)
    ui = Ui(screen=screen, mode=mode)  # type: ignore[arg-type]  # one of the modes
    look = LOOK._replace(width=columns_total, plain=plain)
    drawn = draw(ui, view(ui, known(site), look.now_s), look)
    assert len(drawn) == look.height
    for line in drawn:
        said = "".join(span.text for span in line)
        assert width(said) == columns_total
        assert not NO_TEXT & set(said)
        assert said.isascii() or not plain


@given(st.integers(20, 200))
def test_columns_fit_or_only_the_needed_are_left(total: int) -> None:
    for screen in SCREENS:
        how = columns.fitted(screen.columns, total)
        taken = sum(how.widths) + columns.GAP * (len(how.widths) - 1)
        assert (
            taken == total
            or all(screen.columns[i].rank == 0 for i in how.shown)
            or (taken <= total and not any(one.flexible for one in screen.columns))
        )


def test_a_newer_sites_words_do_not_stop_the_console() -> None:
    odd = msgspec.structs.replace(node("de-1"), state="transcended", gateway="", zones=())
    assert any("TRANSCENDED" in line for line in lines(Ui(), seen(odd)))


def test_a_view_is_made_anew_when_it_can_have_changed() -> None:
    viewer, ui, what = Viewer(), Ui(), seen(node("de-1", age_s=0.0), ago_s=4.0)
    first = viewer.see(ui, what, NOW_S)
    assert viewer.see(ui, what, NOW_S + 0.2).rows is first.rows
    assert viewer.see(ui, what, NOW_S + 0.9).rows[0].standing.word == "OK"
    later = viewer.see(ui, what, NOW_S + 1.2)
    assert (later.link.state, later.rows[0].standing.ok) == ("lost", False)
    assert viewer.see(typed(ui, "2"), what, NOW_S + 1.2).rows == []
    newer = msgspec.structs.replace(seen(node("fr-1")), version=9)
    assert viewer.see(ui, newer, NOW_S).rows[0].key == "fr-1"
