"""What a wide terminal shows beside every table: what is wrong, under way, and waited for."""

from __future__ import annotations

from typing import Final

from holdfast_tui.logic import numbers
from holdfast_tui.logic.console import standing
from holdfast_tui.logic.console.known import Picture
from holdfast_tui.logic.console.spans import Line, Span
from holdfast_tui.logic.console.standing import Kind
from holdfast_tui.logic.text import clean, wrapped

COLUMNS: Final = 46
ENTRIES: Final = 8


def lines(picture: Picture) -> list[Line]:
    """Return the panel's lines, each within ``COLUMNS``."""
    busy = [
        f"{one.alias} on {replica.node}: {replica.state} "
        f"{numbers.progress(replica.bytes_done, replica.bytes_total)}"
        for one in picture.deployments
        for replica in one.replicas
        if standing.of(replica.state).kind == "busy"
    ]
    waiting = [
        f"{one.id} {one.approvals}/{one.needed} {one.summary}"
        for one in picture.requests
        if one.state == "pending"
    ]
    return [
        *_section("NOT WELL", list(picture.status.findings), "Nothing.", "bad"),
        *_section("UNDER WAY", busy, "Nothing.", "busy"),
        *_section("WAITING FOR OFFICERS", waiting, "Nothing.", "warn"),
    ]


def _section(title: str, entries: list[str], empty: str, kind: Kind) -> list[Line]:
    said: list[Line] = [(Span(f" {title} ({len(entries)})", "head"),)]
    for entry in entries[:ENTRIES]:
        said += [(Span(f" {part}", kind),) for part in wrapped(clean(entry), COLUMNS - 2)]
    if len(entries) > ENTRIES:
        said.append((Span(f" {len(entries) - ENTRIES} more"),))
    if not entries:
        said.append((Span(f" {empty}"),))
    return [*said, ()]
