"""``nodes gpus models deployments events status trust``: what the site says of itself."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Final

import typer
from holdfast_protocol.api import Nothing
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import TABLE, HoldfastError
from holdfast_protocol.views import (
    DeploymentsAnswer,
    EventsAnswer,
    EventsQuery,
    GpusAnswer,
    ModelsAnswer,
    NodesAnswer,
    StatusAnswer,
)

from holdfast_tui import invocation
from holdfast_tui.client import Client
from holdfast_tui.invocation import Invocation
from holdfast_tui.logic import listings
from holdfast_tui.logic.text import clean, json_safe

FOLLOW_EVERY_S: Final = 1.0
EVENTS_PER_CALL: Final = 1000

app = typer.Typer()
trust = typer.Typer(help="What the site's officers signed, and who knows it.")
app.add_typer(trust, name="trust")


@app.command()
def status(ctx: typer.Context) -> None:
    """The site in one look, and what is not well."""
    one = invocation.of(ctx)
    answer = one.ask(lambda client: client.call("site.status", Nothing(), StatusAnswer))
    one.show(answer, listings.status(answer))


@app.command()
def nodes(ctx: typer.Context) -> None:
    """Every node: where it is, how it is, when it was last heard."""
    one = invocation.of(ctx)
    answer = one.ask(lambda client: client.call("nodes.list", Nothing(), NodesAnswer))
    one.show(answer, listings.nodes(answer.nodes).lines())


@app.command()
def gpus(ctx: typer.Context) -> None:
    """Every GPU with its memory and health."""
    one = invocation.of(ctx)
    answer = one.ask(lambda client: client.call("gpus.list", Nothing(), GpusAnswer))
    one.show(answer, listings.gpus(answer.gpus).lines())


@app.command()
def models(ctx: typer.Context) -> None:
    """Every model: waiting in quarantine, approved or denied."""
    one = invocation.of(ctx)
    answer = one.ask(lambda client: client.call("models.list", Nothing(), ModelsAnswer))
    one.show(answer, listings.models(answer.models).lines())


@app.command()
def deployments(ctx: typer.Context) -> None:
    """Every alias with its replicas."""
    one = invocation.of(ctx)
    answer = one.ask(lambda client: client.call("deployments.list", Nothing(), DeploymentsAnswer))
    one.show(answer, listings.deployments(answer.deployments).lines())


@app.command()
def events(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as they come.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to begin with.")] = 100,
    after: Annotated[int | None, typer.Option(help="Only records after this number.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only records about this thing.")] = None,
) -> None:
    """Records of the journal: what was decided and what happened."""
    one = invocation.of(ctx)
    query = EventsQuery(after=after, limit=limit, subject=subject)
    if follow:
        one.ask(lambda client: _follow(one, client, query))
        return
    answer = one.ask(lambda client: client.call("events.list", query, EventsAnswer))
    one.show(answer, listings.events(answer.events).lines())


@trust.command(name="status")
def trust_status(ctx: typer.Context) -> None:
    """Which trust was published, and which nodes have it."""
    one = invocation.of(ctx)

    async def both(client: Client) -> tuple[StatusAnswer, NodesAnswer]:
        return (
            await client.call("site.status", Nothing(), StatusAnswer),
            await client.call("nodes.list", Nothing(), NodesAnswer),
        )

    site, fleet = one.ask(both)
    held = [{"id": n.id, "trust": n.trust, "snapshot": n.snapshot} for n in fleet.nodes]
    one.show({"snapshot": site.snapshot, "nodes": held}, listings.trust(site, fleet.nodes))


async def _follow(one: Invocation, client: Client, query: EventsQuery) -> None:
    """Print records as they come, for ever; a controller that is away is waited for."""
    after, limit, away = query.after, query.limit, False
    while True:
        asked = EventsQuery(after=after, limit=limit, subject=query.subject)
        try:
            answer = await client.call("events.list", asked, EventsAnswer)
        except HoldfastError as error:
            if TABLE[error.code].exit_code != 5:
                raise
            if not away:
                print(f"{error.code}: {clean(error.message)} Waiting.", file=sys.stderr)
            away = True
        else:
            away = False
            for event in answer.events:
                line = encode(event).decode() if one.as_json else listings.event_line(event)
                print(json_safe(line) if one.as_json else line, flush=True)
                after = event.seq
            # Once something was seen, nothing after it may be skipped.
            limit = EVENTS_PER_CALL if after is not None else limit
        await asyncio.sleep(FOLLOW_EVERY_S)
