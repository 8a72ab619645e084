"""``--as``, ``--site`` and ``--json``: the same on every verb, before it and after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup, TyperOption

from holdfast_tui import invocation

if TYPE_CHECKING:
    from typer._click.core import Context, Parameter


def _declared(
    who: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="WHO", help="Whose credentials to use. [env var: HOLDFAST_AS]"
        ),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            "--site",
            metavar="DIR",
            help="The site's folder. [env var: HOLDFAST_SITE; default: .holdfast/site]",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Never run: its parameters are what every verb takes."""


def share(group: TyperGroup) -> None:
    """Give every verb below ``group``, and the groups themselves, the shared options."""
    _spread(group, _shared(), groups=True)


def share_with_member(group: TyperGroup) -> None:
    """Give a member's verbs those shared options that they do not have of their own."""
    _spread(group, _shared(), groups=False)


def _shared() -> list[TyperOption]:
    template = typer.Typer(add_completion=False)
    template.command()(_declared)
    shared = [p for p in typer.main.get_command(template).params if isinstance(p, TyperOption)]
    for option in shared:
        option.expose_value = False
        option.callback = _remember
    return shared


def _spread(group: TyperGroup, shared: list[TyperOption], *, groups: bool) -> None:
    if groups:
        group.params.extend(shared)
    for command in group.commands.values():
        if isinstance(command, TyperGroup):
            _spread(command, shared, groups=groups)
            continue
        taken = {name for own in command.params for name in own.opts}
        command.params.extend(one for one in shared if taken.isdisjoint(one.opts))


def _remember(ctx: Context, option: Parameter, value: str | Path | bool | None) -> None:
    """Keep a value that was given; the one nearest to the verb is read last and stands."""
    one = invocation.of(ctx)
    if isinstance(value, bool):
        one.as_json = one.as_json or value
    elif isinstance(value, Path):
        one.site_folder = value
    elif value is not None:
        one.who = value
