"""The lines of the console: what is known and where the keys have led, in the size there is."""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast_tui.logic import numbers
from holdfast_tui.logic.console import columns, panel
from holdfast_tui.logic.console.help import HELP
from holdfast_tui.logic.console.known import Link
from holdfast_tui.logic.console.spans import Line, Span
from holdfast_tui.logic.console.standing import Kind
from holdfast_tui.logic.console.ui import Ui, first_row, position
from holdfast_tui.logic.console.view import View
from holdfast_tui.logic.text import ascii_only, clean, fit, width, wrapped

FINDINGS_SHOWN: Final = 3
MARGIN: Final = 3
WIDE: Final = 140
HINT: Final = "1-6 screens  : name  / filter  Enter detail  p pause  ? help  q quit"


class Look(NamedTuple):
    """How it is looked at: the size, whose eyes, the clocks; ``plain`` means ASCII only."""

    width: int
    height: int
    who: str
    now_s: float
    clock: str
    plain: bool = False


def page_rows(ui: Ui, seen: View, look: Look) -> int:
    """Return how many rows fit below the heading."""
    return max(1, look.height - len(_above(ui, seen, look)) - 3)


def draw(ui: Ui, seen: View, look: Look) -> list[Line]:
    """Return exactly ``look.height`` lines, each ``look.width`` columns wide."""
    lines = _above(ui, seen, look)
    room = look.height - len(lines) - 2
    lines += _body(ui, seen, look, room)
    lines += [_note(ui, seen, look), _last(ui)]
    return [_sized(line, look) for line in lines[: look.height]]


def text(lines: list[Line]) -> list[str]:
    """Return the lines without kinds, as a terminal would show them."""
    return ["".join(span.text for span in line).rstrip() for line in lines]


def _above(ui: Ui, seen: View, look: Look) -> list[Line]:
    """Banner, status, where we are, and on the overview the site in four lines."""
    lines = [_banner(seen, look), _status(seen, look), _crumb(ui, seen, look)]
    if ui.screen == "1" and ui.mode in ("table", "command", "filter", "quit"):
        lines += _summary(seen, look)
    return lines


def _banner(seen: View, look: Look) -> Line:
    site = "no site yet"
    if seen.picture is not None:
        one = seen.picture.status
        site = f"site {clean(one.site)}  zone {clean(one.zone)}"
    return (Span(f"HOLDFAST  {site}  as {look.who}".center(look.width), "bar"),)


def _status(seen: View, look: Look) -> Line:
    parts = [Span(seen.link.words, _link_kind(seen.link))]
    if seen.picture is not None:
        parts.append(Span(f"  {_counts(seen)}"))
        waiting = seen.picture.status.requests_pending
        if waiting:
            parts.append(Span(f"  WAITING {waiting}", "warn"))
    return _spread(parts, Span(look.clock), look.width)


def _counts(seen: View) -> str:
    """Return how many are well, always of how many; what is not heard is never counted well."""
    assert seen.picture is not None
    one = seen.picture.status
    if seen.link.frozen:
        return f"OK unknown: {one.nodes_total} nodes, {one.gpus_total} GPUs not heard"
    return (
        f"NODES {one.nodes_ok}/{one.nodes_total} OK  GPUS {one.gpus_ok}/{one.gpus_total} OK  "
        f"ALIASES {one.deployments_ready}/{one.deployments_total} READY"
    )


def _crumb(ui: Ui, seen: View, look: Look) -> Line:
    name = ui.shown.name if ui.mode in ("table", "command", "filter", "quit") else ui.mode
    parts = [Span(f"{ui.screen} {name}", "head")]
    if ui.place.filter:
        shown = f"  filter: {ui.place.filter} ({len(seen.rows)} of {seen.total})"
        parts.append(Span(clean(shown), "warn"))
    state = Span("LIVE")
    if ui.paused is not None:
        state = Span(f"PAUSED {numbers.seen(look.now_s - ui.paused.since_s)}", "warn")
    elif seen.link.state == "lost":
        state = Span(f"FROZEN {numbers.seen(seen.link.age_s)} ago", "bad")
    elif seen.link.state == "never":
        state = Span("NO DATA", "bad")
    return _spread(parts, state, look.width)


def _summary(seen: View, look: Look) -> list[Line]:
    if seen.picture is None:
        return []
    one = seen.picture.status
    lines: list[Line] = [
        (
            Span(
                f"models {one.models_approved} approved   "
                f"requests {one.requests_pending} waiting   "
                f"journal {one.records} records   trust snapshot {one.snapshot}"
            ),
        )
    ]
    if seen.link.frozen:
        return [*lines, (Span("? What follows was true then; nothing of it counts now.", "bad"),)]
    if not one.findings:
        return [*lines, (Span("All is well."),)]
    if look.width >= WIDE:  # the panel has them
        return lines
    shown = [(Span(f"! {clean(text)}", "bad"),) for text in one.findings[:FINDINGS_SHOWN]]
    more = len(one.findings) - FINDINGS_SHOWN
    if more > 0:
        shown.append((Span(f"! {more} more: holdfast status", "bad"),))
    return [*lines, *shown]


def _body(ui: Ui, seen: View, look: Look, room: int) -> list[Line]:
    match ui.mode:
        case "help":
            return _scrolled([(Span(line),) for line in HELP], ui.scroll, room)
        case "detail":
            return _scrolled(_detail(ui, seen, look), ui.scroll, room)
        case _ if look.width >= WIDE and seen.picture is not None:
            left = look._replace(width=look.width - panel.COLUMNS - 2)
            rows = _padded(_table(ui, seen, left, room), room)
            beside = _padded(panel.lines(seen.picture), room)
            return [
                (*_sized(one, left), Span(" |", "dim"), *other)
                for one, other in zip(rows, beside, strict=True)
            ]
        case _:
            return _padded(_table(ui, seen, look, room), room)


def _table(ui: Ui, seen: View, look: Look, room: int) -> list[Line]:
    if seen.picture is None:
        return _no_data(seen)
    how = columns.fitted(ui.shown.columns, look.width - MARGIN)
    titles = columns.line(ui.shown.columns, how, [one.title for one in ui.shown.columns])
    lines: list[Line] = [(Span(f"{' ' * MARGIN}{titles}", "head"),)]
    if not seen.rows:
        empty = ui.shown.empty
        if seen.total:
            empty = f"Filter {ui.place.filter} matches 0 of {seen.total}. Esc clears."
        return [*lines, (), (Span(f"  {clean(empty)}"),)]
    keys = [row.key for row in seen.rows]
    at = position(ui.place, keys, tail=ui.shown.tail)
    page = max(1, room - 1)
    top = first_row(ui.place.top, at, page, len(keys))
    for number in range(top, min(top + page, len(keys))):
        row = seen.rows[number]
        cursor = ">" if number == at else " "
        cells = columns.line(ui.shown.columns, how, row.cells)
        kind: Kind = "cursor" if number == at else row.standing.kind
        lines.append((Span(f"{cursor}{row.standing.mark} {cells}", kind),))
    return lines


def _no_data(seen: View) -> list[Line]:
    lines: list[Line] = [(), (Span("  NO DATA - never connected since start.", "bad"),)]
    if seen.known.problem:
        lines.append((Span(f"  {clean(seen.known.problem)}"),))
    return [*lines, (), (Span("  It keeps trying. See: holdfast lab status"),)]


def _detail(ui: Ui, seen: View, look: Look) -> list[Line]:
    keys = [row.key for row in seen.rows]
    if not keys:
        return [(Span("  It is gone."),)]
    row = seen.rows[position(ui.place, keys, tail=ui.shown.tail)]
    longest = max((len(name) for name, _ in row.fields), default=0)
    lines: list[Line] = [()]
    for name, value in row.fields:
        for part in wrapped(value, look.width - longest - 4):
            lines.append((Span(f"  {name:<{longest}}  {part}"),))
            name = ""
    return [*lines, (), *((Span(f"  {part}"),) for part in wrapped(row.note, look.width - 2))]


def _note(ui: Ui, seen: View, look: Look) -> Line:
    if ui.message:
        return (Span(ui.message, "warn"),)
    if seen.known.problem and seen.link.state != "ok":
        return (Span(clean(seen.known.problem), "bad"),)
    if ui.mode != "table" or not seen.rows:
        return ()
    keys = [row.key for row in seen.rows]
    at = position(ui.place, keys, tail=ui.shown.tail)
    return _spread([Span(seen.rows[at].note)], Span(f"{at + 1} of {len(keys)}"), look.width)


def _last(ui: Ui) -> Line:
    match ui.mode:
        case "command":
            return (Span(f":{ui.entry}_", "bar"),)
        case "filter":
            return (Span(f"/{ui.entry}_", "bar"),)
        case "quit":
            return (Span("Leave the console? y leaves, any other key stays.", "bar"),)
        case "help" | "detail":
            return (Span("j k scroll  Esc back", "head"),)
        case _:
            return (Span(HINT, "head"),)


def _link_kind(one: Link) -> Kind:
    return {"ok": "plain", "late": "warn", "lost": "bad", "never": "bad"}[one.state]  # type: ignore[return-value]  # the four kinds above


def _spread(left: list[Span], right: Span, columns_total: int) -> Line:
    """Return the spans with the last one at the right edge; the left gives way."""
    room = columns_total - width(right.text) - 1
    kept: list[Span] = []
    for span in left:
        said = fit(span.text, min(max(0, room), width(span.text)))
        kept.append(Span(said, span.kind))
        room -= width(said)
    return (*kept, Span(" " * max(1, room + 1)), right)


def _scrolled(lines: list[Line], scroll: int, room: int) -> list[Line]:
    top = max(0, min(scroll, len(lines) - room))
    return _padded(lines[top : top + room], room)


def _padded(lines: list[Line], room: int) -> list[Line]:
    return [*lines[:room], *[()] * (room - len(lines))]


def _sized(line: Line, look: Look) -> Line:
    """Return the line in exactly the width; the last span is cut or filled."""
    left, out = look.width, []
    for span in line:
        said = ascii_only(span.text) if look.plain else span.text
        said = fit(said, min(left, width(said)))
        out.append(Span(said, span.kind))
        left -= width(said)
    if left > 0:
        out.append(Span(" " * left, out[-1].kind if out and out[-1].kind == "bar" else "plain"))
    return tuple(out)
