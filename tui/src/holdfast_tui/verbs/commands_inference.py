"""``infer``: ask a model as an application does."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from holdfast_protocol import ids
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import DEADLINE_MS_CAP

from holdfast_tui import grants, invocation
from holdfast_tui.client import Client
from holdfast_tui.inference import Answer, Question, ask
from holdfast_tui.invocation import CONNECT_S, Invocation
from holdfast_tui.logic.text import clean

DEADLINE_S: Final = 120.0

app = typer.Typer()


@app.command()
def infer(
    ctx: typer.Context,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="What to ask.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The question; - reads it.")],
    op: Annotated[
        Literal["chat", "complete", "embed"], typer.Option(help="What the model shall do.")
    ] = "chat",
    stream: Annotated[bool, typer.Option("--stream", help="Print it as it comes.")] = False,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    deadline: Annotated[
        float, typer.Option(min=0.1, max=DEADLINE_MS_CAP / 1000, help="Seconds for all of it.")
    ] = DEADLINE_S,
    residency: Annotated[str | None, typer.Option(help="Narrow where data may be.")] = None,
    classification: Annotated[str | None, typer.Option(help="Label the request.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Say what it is for.")] = None,
) -> None:
    """Ask a model as an application: --as APP, by default the only one on this machine."""
    one = invocation.of(ctx)
    labels = (
        ("Hf-Residency", residency),
        ("Hf-Classification", classification),
        ("Hf-Purpose", purpose),
    )
    question = Question(
        alias=ids.token(alias, "alias"),
        operation=op,
        text=sys.stdin.read() if text == "-" else text,
        deadline_s=deadline,
        max_tokens=max_tokens,
        labels=tuple((name, value) for name, value in labels if value is not None),
    )
    folder = _folder(one)
    streaming = stream and not one.as_json and op != "embed"
    answer = asyncio.run(_ask(one, folder, question, streaming=streaming))
    if streaming:
        print()
        return
    one.show(answer, _lines(answer))


async def _ask(one: Invocation, folder: Path, question: Question, *, streaming: bool) -> Answer:
    bus = await one.connect(folder, f"holdfast {folder.name}", CONNECT_S)
    try:
        return await ask(bus, question, _print_piece if streaming else None)
    finally:
        await bus.close()


def _folder(one: Invocation) -> Path:
    """Return the credentials of the application to be; completes what was granted meanwhile."""
    folder = _named(one)
    if not grants.is_complete(folder) and grants.read(folder) is not None:
        one.ask(lambda client: _complete(client, folder))
    return folder


def _named(one: Invocation) -> Path:
    if one.who is not None:
        return one.site.identity(one.who)
    one.site.check()
    apps = one.site.apps()
    set_for_all = os.environ.get("HOLDFAST_AS", "")
    if set_for_all in apps:
        return one.site.identity(set_for_all)
    if len(apps) == 1:
        return one.site.identity(apps[0])
    if not apps:
        raise HoldfastError(
            Code.NOT_GRANTED, "This machine has no application: holdfast app create NAME."
        )
    raise HoldfastError(
        Code.BAD_REQUEST, f"Which application? Name one with --as: {', '.join(apps)}."
    )


async def _complete(client: Client, folder: Path) -> None:
    if not await grants.complete(client, folder, wait_s=0.0):
        raise HoldfastError(Code.NOT_GRANTED, f"{folder.name} is not granted yet.")


def _lines(answer: Answer) -> list[str]:
    if isinstance(answer.output, str):
        return [_shown(answer.output)]
    return [" ".join(f"{number:.6g}" for number in answer.output)]


def _print_piece(text: str) -> None:
    sys.stdout.write(_shown(text))
    sys.stdout.flush()


def _shown(text: str) -> str:
    """Return a model's answer for a terminal: its own lines, nothing a terminal would obey."""
    return "\n".join(clean(line) for line in text.split("\n"))
