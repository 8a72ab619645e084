"""The six screens: their keys, names and columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from holdfast_tui.logic.console import rows
from holdfast_tui.logic.console.columns import Column
from holdfast_tui.logic.console.known import Picture
from holdfast_tui.logic.console.rows import Row


class Screen(NamedTuple):
    """A screen: its key, names, columns and how rows are made of a look ``since_s`` old."""

    key: str
    name: str
    short: str
    columns: tuple[Column, ...]
    rows: Callable[[Picture, float], list[Row]]
    empty: str
    tail: bool = False
    """Whether the newest row is the last and is followed."""


SCREENS: Final[tuple[Screen, ...]] = (
    Screen(
        "1",
        "overview",
        "nodes",
        (
            Column("NODE", 12, flexible=True),
            Column("WHERE", 5),
            Column("STATE", 11),
            Column("AGE", 5, right=True),
            Column("READY", 5, right=True),
            Column("GATEWAY", 7),
            Column("TRUST", 10, 1),
            Column("MEMORY", 13, 2, right=True),
            Column("ISOLATION", 12, 3),
            Column("ENGINE", 10, 3),
        ),
        rows.nodes,
        "No nodes yet. A lab brings three: holdfast lab up",
    ),
    Screen(
        "2",
        "gpus",
        "gpu",
        (
            Column("NODE", 10),
            Column("GPU", 16, flexible=True),
            Column("STATE", 10),
            Column("UTIL", 4, right=True),
            Column("USED", 8, 1),
            Column("MEMORY", 14, right=True),
            Column("TEMP", 4, right=True),
            Column("POWER", 5, right=True),
            Column("CLAIMED", 10, 2, right=True),
            Column("AGE", 5, right=True),
            Column("UUID", 42, 3),
        ),
        rows.gpus,
        "No GPUs. Nodes without them serve on their CPU, screen 1.",
    ),
    Screen(
        "3",
        "models",
        "mod",
        (
            Column("MODEL", 24, flexible=True),
            Column("VERSION", 9),
            Column("STATE", 11),
            Column("SIZE", 10, right=True),
            Column("LICENCE", 14, 1),
            Column("DOES", 13, 2),
            Column("DIGEST", 20, 3),
        ),
        rows.models,
        "No models yet. Insert the stick, then: holdfast import PATH",
    ),
    Screen(
        "4",
        "deployments",
        "dep",
        (
            Column("ALIAS", 16),
            Column("STATE", 9),
            Column("ZONE", 4),
            Column("NODE", 10),
            Column("REPLICA", 14),
            Column("BUSY", 4, right=True),
            Column("MODEL", 13, 1, flexible=True),
        ),
        rows.deployments,
        "No deployments yet. Next: holdfast deploy V/MODEL@N --alias ALIAS",
    ),
    Screen(
        "5",
        "requests",
        "req",
        (
            Column("ID", 6),
            Column("KIND", 7),
            Column("STATE", 10),
            Column("SIGNED", 6, right=True),
            Column("WHAT", 40, flexible=True),
            Column("BY", 11, 2),
            Column("MADE", 20, 3),
        ),
        rows.requests,
        "No requests. They appear when something is imported, trusted or granted.",
    ),
    Screen(
        "6",
        "events",
        "ev",
        (
            Column("SEQ", 6, right=True),
            Column("DATE", 10, 3),
            Column("TIME", 9),
            Column("KIND", 18, 1),
            Column("SUBJECT", 14, 2),
            Column("WHAT", 44, flexible=True),
        ),
        rows.events,
        "No records yet.",
        tail=True,
    ),
)


def find(name: str) -> Screen | None:
    """Return the screen whose name or short name begins with ``name``."""
    asked = name.strip().lower()
    for one in SCREENS:
        if asked and (one.name.startswith(asked) or one.short.startswith(asked)):
            return one
    return None
