"""``app``: applications asked for, listed, revoked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer
from holdfast_protocol import ids
from holdfast_protocol.api import AppQuery, AppsAnswer, CreateApp, Nothing, RequestMade
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_tui import grants, invocation
from holdfast_tui.client import Client
from holdfast_tui.logic import listings
from holdfast_tui.verbs.commands_imports import waits

app = typer.Typer()
group = typer.Typer(help="Applications: who may ask which alias, from where.")
app.add_typer(group, name="app")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The application.")]


class _Created(NamedTuple):
    request: str | None
    made: RequestMade | None
    ready: bool


@group.command(name="list")
def listed(ctx: typer.Context) -> None:
    """Every application with what it may."""
    one = invocation.of(ctx)
    answer = one.ask(lambda client: client.call("apps.list", Nothing(), AppsAnswer))
    one.show(answer, listings.apps(answer.apps).lines())


@group.command()
def create(
    ctx: typer.Context,
    name: Name,
    zone: Annotated[str | None, typer.Option(help="Home zone, for example de.")] = None,
    aliases: Annotated[str | None, typer.Option(help="Aliases it may ask: A,B.")] = None,
    residency: Annotated[
        list[str] | None, typer.Option(help="Where its data may be: DE, more by commas.")
    ] = None,
    classification: Annotated[str, typer.Option(help="Ceiling: [SCHEME:]N.")] = "0",
    purpose: Annotated[list[str] | None, typer.Option(help="What for; may be repeated.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The credentials' folder; by default SITE/creds/NAME.")
    ] = None,
) -> None:
    """Make an application's keys here and ask officers to grant it.

    Asked again after the grant, it completes the credentials' folder.
    """
    one = invocation.of(ctx)
    one.site.check()
    folder = out or one.site.credentials / ids.token(name, "application")
    known = grants.read(folder)
    if zone is None and aliases is None and known is not None:
        wished = known.call
    elif zone is None or aliases is None:
        raise typer.BadParameter("--zone and --aliases are needed for a new application.")
    else:
        wished = CreateApp(
            name=ids.token(name, "application"),
            zone=zone,
            aliases=_parts([aliases]),
            user_public="",
            csr=b"",
            residency=_parts(residency),
            classification=classification,
            purposes=_parts(purpose),
        )
    asked = grants.prepare(folder, wished)
    done = one.ask(lambda client: _create(client, folder, asked))
    if done.ready:
        lines = [f"{name} is granted; its credentials are complete in {folder}."]
    else:
        assert done.made is not None, "an application that is not ready was just asked for"
        lines = [*waits(done.made), f"Its keys are in {folder}; approving completes the folder."]
    state = "ready" if done.ready else "pending"
    one.show({"request": done.request, "state": state, "credentials": str(folder)}, lines)


@group.command()
def revoke(ctx: typer.Context, name: Name) -> None:
    """Ask an officer to revoke an application for good."""
    one = invocation.of(ctx)
    query = AppQuery(name=ids.token(name, "application"))
    made = one.ask(lambda client: client.call("apps.revoke", query, RequestMade))
    one.show(made, waits(made))


async def _create(client: Client, folder: Path, asked: grants.Asked) -> _Created:
    """Complete the folder where the grant is there, else ask for it."""
    if asked.request is not None:
        try:
            if await grants.complete(client, folder, wait_s=0.0):
                return _Created(asked.request, None, ready=True)
        except HoldfastError as error:
            # The request came to nothing: what is asked now is a new one.
            if error.code is not Code.NOT_FOUND:
                raise
    try:
        made = await client.call("apps.create", asked.call, RequestMade)
    except HoldfastError as error:
        granted = error.code is Code.ALREADY_EXISTS and asked.request is not None
        if granted and await grants.complete(client, folder, wait_s=grants.GRANT_S):
            return _Created(asked.request, None, ready=True)
        raise
    grants.remember(folder, msgspec.structs.replace(asked, request=made.request))
    return _Created(made.request, made, ready=False)


def _parts(values: list[str] | None) -> tuple[str, ...]:
    """Return the parts of comma-separated, repeatable values."""
    return tuple(part.strip() for value in values or () for part in value.split(",") if part)
