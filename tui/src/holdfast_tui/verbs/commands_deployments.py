"""``deploy undeploy explain``: which alias is answered by which model, and where."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated, Final

import msgspec
import typer
from holdfast_protocol import ids
from holdfast_protocol.api import AliasCall, DeployCall, ExplainAnswer, Nothing
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import REPLICAS_PER_ZONE
from holdfast_protocol.views import DeploymentsAnswer, DeploymentView

from holdfast_tui import invocation
from holdfast_tui.client import Client
from holdfast_tui.invocation import Invocation
from holdfast_tui.logic import listings
from holdfast_tui.logic.text import clean

POLL_S: Final = 0.3
WAIT_ON_TERMINAL_S: Final = 300.0
BROKEN_S: Final = 3.0

app = typer.Typer()

Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="What applications ask for.")]


@app.command()
def deploy(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="V/MODEL@N", help="An approved model.")],
    alias: Annotated[str, typer.Option(help="What applications will ask for.")],
    zone: Annotated[
        list[str] | None, typer.Option(help="Zones: de,fr. By default the controller's.")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, max=REPLICAS_PER_ZONE, help="In each zone.")] = 1,
    plan: Annotated[bool, typer.Option("--plan", help="Show it and change nothing.")] = False,
    wait: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Wait until it answers."),
    ] = None,
) -> None:
    """Serve a model as an alias: N replicas in each named zone."""
    one = invocation.of(ctx)
    name, version = ids.model_reference(model)
    zones = tuple(z.strip() for text in zone or () for z in text.split(",") if z)
    call = DeployCall(
        model=f"{name}@{version}",
        alias=ids.token(alias, "alias"),
        zones=tuple(ids.token(z, "zone") for z in zones),
        replicas=replicas,
        plan=plan,
    )
    if wait is None and one.interactive:
        wait = WAIT_ON_TERMINAL_S
    answer = one.ask(lambda client: client.call("deployments.deploy", call, ExplainAnswer))
    if plan or not wait:
        after = [] if plan else ["Next: holdfast deployments shows when it is ready."]
        one.show(answer, [*listings.explanation(answer), *after])
        return
    one.say("\n".join(listings.explanation(answer)))
    seconds = wait
    ready = one.ask(lambda client: _until_ready(one, client, alias, seconds))
    shown = {**msgspec.to_builtins(answer), "state": ready.state}
    one.show(shown, [f"{alias} is ready: {ready.model}@{ready.version} answers."])


@app.command()
def undeploy(ctx: typer.Context, alias: Alias) -> None:
    """Stop serving an alias; what runs is answered to its end first."""
    one = invocation.of(ctx)
    call = AliasCall(alias=ids.token(alias, "alias"))
    answer = one.ask(lambda client: client.call("deployments.undeploy", call, DeploymentsAnswer))
    one.show(answer, [f"{alias} is withdrawn; its replicas drain and go."])


@app.command()
def explain(ctx: typer.Context, alias: Alias) -> None:
    """Why the replicas of an alias are where they are, and not elsewhere."""
    one = invocation.of(ctx)
    call = AliasCall(alias=ids.token(alias, "alias"))
    answer = one.ask(lambda client: client.call("deployments.explain", call, ExplainAnswer))
    one.show(answer, listings.explanation(answer))


async def _until_ready(
    one: Invocation, client: Client, alias: str, wait_s: float
) -> DeploymentView:
    """Return the deployment once it answers; raises why it does not."""
    ends_at = time.monotonic() + wait_s
    broken_at: float | None = None
    said = ""
    while True:
        view = await _find(client, alias)
        now = time.monotonic()
        if view.state == "ready":
            return view
        broken_at = (broken_at or now) if view.state == "broken" else None
        # A replica that fails at once is tried elsewhere; only one that stays so is a failure.
        if broken_at is not None and now - broken_at >= BROKEN_S:
            raise _broken(view)
        if now >= ends_at:
            raise HoldfastError(
                Code.NOT_LOADED,
                f"{alias} is {view.state} after {wait_s:.0f} s. {view.reason or ''}".strip(),
            )
        said = _say_progress(one, view, said)
        await asyncio.sleep(POLL_S)


async def _find(client: Client, alias: str) -> DeploymentView:
    answer = await client.call("deployments.list", Nothing(), DeploymentsAnswer)
    for one in answer.deployments:
        if one.alias == alias:
            return one
    raise HoldfastError(Code.NOT_FOUND, f"There is no deployment {alias} any more.")


def _broken(view: DeploymentView) -> HoldfastError:
    said = [replica.code for replica in view.replicas if replica.code is not None]
    known = [Code(code) for code in said if code in Code.__members__]
    code = known[0] if known else Code.ENGINE_FAILED
    return HoldfastError(code, view.reason or f"Every replica of {view.alias} failed.")


def _say_progress(one: Invocation, view: DeploymentView, before: str) -> str:
    """Say on a terminal what goes on, once per change; return what was said."""
    states = ", ".join(row[6] + " on " + row[5] for row in listings.deployments([view]).rows)
    text = f"{view.alias}: {view.state}; {states}"
    if text != before and one.interactive:
        print(clean(text), file=sys.stderr, flush=True)
    return text
