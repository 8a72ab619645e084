"""``console``: the operator's live view of the site."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast_tui import invocation

app = typer.Typer()


@app.command()
def console(
    ctx: typer.Context,
    plain: Annotated[
        bool, typer.Option("--plain", help="80x24, ASCII, no colour, no mouse.")
    ] = False,
) -> None:
    """Watch the site live: nodes, GPUs, models, deployments, requests, events."""
    # Imported here: a screen library costs more than all other verbs together.
    from holdfast_tui.console.main import open_console

    open_console(invocation.of(ctx), plain=plain)
