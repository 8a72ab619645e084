"""The command's tree: our verbs, other members' groups, the shared options on all of ours."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import typer
from holdfast_protocol.errors import HoldfastError
from typer.core import TyperCommand, TyperGroup

from holdfast_tui import extensions, invocation, options
from holdfast_tui.verbs import (
    commands_apps,
    commands_brakes,
    commands_console,
    commands_deployments,
    commands_imports,
    commands_inference,
    commands_nodes,
    commands_policy,
    commands_requests,
    commands_site,
)

if TYPE_CHECKING:
    from typer._click import Command, Context

HELP = """Run AI models inside a border.

Every verb takes --as WHO, --site DIR and --json, before it or after it."""


class Root(TyperGroup):
    """Our verbs, and below them what other members bring."""

    extensions: dict[str, EntryPoint]

    def list_commands(self, ctx: Context) -> list[str]:
        """Return every verb's name, ours first."""
        return [*self.commands, *(n for n in self.extensions if n not in self.commands)]

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return a verb; a member's group is loaded now.

        A group that does not load shows why in the help, and fails where it is asked for.
        """
        point = self.extensions.get(cmd_name)
        if cmd_name in self.commands or point is None:
            return self.commands.get(cmd_name)
        try:
            return extensions.load(point)
        except HoldfastError as error:
            return _unusable(cmd_name, error)

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """Return the verb and its arguments; hands a member's verb what was given before it."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in self.commands:
            return name, command, rest
        one = ctx.find_object(invocation.Invocation)
        assert one is not None, "main hands one in"
        if one.site_folder is not None:
            os.environ["HOLDFAST_SITE"] = str(one.site_folder)
        if one.who is not None:
            os.environ["HOLDFAST_AS"] = one.who
        if one.as_json and "--json" not in rest:
            rest = [*rest, "--json"]
        return name, command, rest


def tree() -> Root:
    """Return the whole command."""
    app = typer.Typer(cls=Root, add_completion=False, rich_markup_mode=None, help=HELP)
    app.callback()(_root)
    for part in (
        commands_site.app,
        commands_requests.app,
        commands_imports.app,
        commands_deployments.app,
        commands_apps.app,
        commands_brakes.app,
        commands_nodes.app,
        commands_policy.app,
        commands_inference.app,
        commands_console.app,
    ):
        app.add_typer(part)
    group = typer.main.get_group(app)
    assert isinstance(group, Root)
    group.extensions = extensions.found()
    options.share(group)
    return group


def _root() -> None:
    """Has options only; they are shared ones."""


def _unusable(name: str, error: HoldfastError) -> TyperCommand:
    def fail() -> None:
        raise error

    return TyperCommand(
        name=name,
        callback=fail,
        help=error.message,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )
