"""Verbs of other members, found by their entry points and loaded only when they are used.

A member that is missing or broken must not take the rest of the command with it: it is named
where someone asks for it, and in the help.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer
from holdfast_protocol.errors import Code, HoldfastError
from typer.core import TyperGroup

from holdfast_tui import options

GROUP: Final = "holdfast.commands"


def found() -> dict[str, EntryPoint]:
    """Return the groups that installed members offer, by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP))}


def load(point: EntryPoint) -> TyperGroup:
    """Return a member's group; raises ``CONFIG_INVALID`` naming what could not be loaded."""
    try:
        app = point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise _broken(point, str(error)) from error
    if not isinstance(app, typer.Typer):
        raise _broken(point, f"{point.value} is no group of commands")
    app.rich_markup_mode = None  # plain text: no boxes, no colours, the same as everywhere
    group = typer.main.get_group(app)
    group.name = point.name
    options.share_with_member(group)
    return group


def _broken(point: EntryPoint, why: str) -> HoldfastError:
    return HoldfastError(
        Code.CONFIG_INVALID, f"The commands `{point.name}` could not be loaded: {why}."
    )
