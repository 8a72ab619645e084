"""``requests approve reject request``: what waits for officers, seen, signed, carried by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer
from holdfast_protocol import ids
from holdfast_protocol.api import (
    Nothing,
    RejectRequest,
    RequestDetail,
    RequestQuery,
    RequestsAnswer,
    RequestView,
    SignRequest,
)
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_tui import grants, invocation
from holdfast_tui.client import Client
from holdfast_tui.files import write_new
from holdfast_tui.invocation import Invocation
from holdfast_tui.logic import listings
from holdfast_tui.logic.text import clean

app = typer.Typer()
requests = typer.Typer(invoke_without_command=True, help="What waits for officers, and what did.")
request = typer.Typer(help="A request carried by hand to a workstation without network.")
app.add_typer(requests, name="requests")
app.add_typer(request, name="request")

Id = Annotated[str, typer.Argument(metavar="ID", help="The request, for example r-1.")]
Key = Annotated[
    Path | None,
    typer.Option(help="The officer's daily key. In a lab: SITE/officers/WHO/daily.pem."),
]


class _Approved(NamedTuple):
    view: RequestView
    credentials: Path | None


@requests.callback()
def listed(ctx: typer.Context) -> None:
    """What waits for officers, and what did."""
    if ctx.invoked_subcommand is not None:
        return
    one = invocation.of(ctx)
    answer = one.ask(lambda client: client.call("requests.list", Nothing(), RequestsAnswer))
    one.show(answer, listings.requests(answer.requests).lines())


@requests.command(name="show")
def show(ctx: typer.Context, request_id: Id) -> None:
    """Read a request: what signing it says, computed from its bytes."""
    from holdfast_tui import officers

    one = invocation.of(ctx)
    detail = one.ask(lambda client: _detail(client, request_id))
    review = officers.checked(detail)
    lines = [_standing(detail.request), "", *officers.review_lines(review)]
    shown = {"request": detail.request, "payload": detail.payload, "review": review}
    one.show(shown, lines)


@app.command()
def approve(
    ctx: typer.Context,
    request_id: Id,
    key: Key = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask on a terminal.")] = False,
) -> None:
    """Sign a request as an officer; the key stays in this process."""
    one = invocation.of(ctx)
    key_file = key or one.site.daily_key(one.person)
    if not key_file.is_file():
        raise HoldfastError(
            Code.NOT_AN_OFFICER, f"There is no signing key {key_file}; name one with --key."
        )
    from holdfast_tui import officers

    # Two connections: a person may take their time to read, and nothing is held open meanwhile.
    detail = one.ask(lambda client: _detail(client, request_id))
    one.say("\n".join(officers.review_lines(officers.checked(detail))))
    asks = one.interactive and sys.stdin.isatty() and not yes
    if asks and not typer.confirm(f"Sign this as {one.person}?", default=False, err=True):
        one.say(f"Nothing was signed; {clean(request_id)} waits.")
        raise typer.Exit(3)
    call = officers.signature(detail.request.id, detail.payload, key_file)
    done = one.ask(lambda client: _send(one, client, call))
    lines = [_standing(done.view)]
    if done.credentials is not None:
        lines.append(f"The application's credentials are complete in {done.credentials}.")
    folder = None if done.credentials is None else str(done.credentials)
    _answer(one, done.view, lines, {"credentials": folder} if folder else {})


@app.command()
def reject(
    ctx: typer.Context,
    request_id: Id,
    reason: Annotated[str, typer.Option(help="Why, for those who asked.")] = "",
) -> None:
    """Refuse a request as an officer; it is closed for good."""
    one = invocation.of(ctx)
    call = RejectRequest(id=request_id, reason=reason)
    detail = one.ask(lambda client: client.call("requests.reject", call, RequestDetail))
    _answer(one, detail.request, [_standing(detail.request)], {})


@request.command()
def export(
    ctx: typer.Context,
    request_id: Id,
    out: Annotated[Path | None, typer.Option(help="The file; by default ID.request.json.")] = None,
) -> None:
    """Write a request to a file, to be signed elsewhere."""
    from holdfast_tui import officers

    one = invocation.of(ctx)
    detail = one.ask(lambda client: _detail(client, request_id))
    officers.checked(detail)
    target = out or Path(f"{detail.request.id}.request.json")
    exported = officers.ExportedRequest(
        id=detail.request.id, sha256=detail.request.sha256, payload=detail.payload
    )
    write_new(target, encode(exported) + b"\n")
    one.show(
        {"request": detail.request.id, "file": str(target)},
        [f"{detail.request.id} is in {target}.", f"Next: holdfast request sign {target} --key KEY"],
    )


@request.command()
def sign(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `request export` wrote.")],
    key: Annotated[Path, typer.Option(help="The officer's daily key.")],
    out: Annotated[
        Path | None, typer.Option(help="The signature's file; by default ID.KEY.signature.json.")
    ] = None,
) -> None:
    """Sign an exported request; needs no site and no network."""
    from holdfast_tui import officers

    one = invocation.of(ctx)
    asked = officers.read_request(file)
    review = officers.read(asked.payload)
    one.say("\n".join(officers.review_lines(review)))
    made = officers.signature(asked.id, asked.payload, key)
    target = out or Path(f"{Path(asked.id).name}.{made.keyid[:8]}.signature.json")
    carried = officers.ExportedSignature(
        id=asked.id, sha256=made.sha256, keyid=made.keyid, signature=made.signature
    )
    write_new(target, encode(carried) + b"\n")
    one.show(
        {"request": asked.id, "file": str(target), "review": review},
        [f"Signed; carry {target} back.", f"Next: holdfast request import {target}"],
    )


@request.command(name="import")
def import_signature(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `request sign` wrote.")],
) -> None:
    """Bring an officer's signature back; whoever carries it."""
    from holdfast_tui import officers

    one = invocation.of(ctx)
    made = officers.read_signature(file)
    call = SignRequest(id=made.id, sha256=made.sha256, keyid=made.keyid, signature=made.signature)
    done = one.ask(lambda client: _send(one, client, call))
    _answer(one, done.view, [_standing(done.view)], {})


async def _detail(client: Client, request_id: str) -> RequestDetail:
    return await client.call("requests.show", RequestQuery(id=request_id), RequestDetail)


async def _send(one: Invocation, client: Client, call: SignRequest) -> _Approved:
    """Send a signature; completes the folder of an application that it granted."""
    detail = await client.call("requests.sign", call, RequestDetail)
    view = detail.request
    folder = None
    if view.kind == "app" and view.state == "committed":
        from holdfast_tui import officers

        name = ids.token(officers.checked(detail).subject, "application")
        folder = one.site.credentials / name
        if not await grants.complete(client, folder, wait_s=grants.GRANT_S):
            folder = None
    return _Approved(view, folder)


def _answer(one: Invocation, view: RequestView, lines: list[str], more: dict[str, str]) -> None:
    fields = {name: getattr(view, name) for name in view.__struct_fields__}
    one.show(msgspec.to_builtins({"request": view.id, **fields, **more}), lines)


def _standing(view: RequestView) -> str:
    who = f" by {', '.join(view.signed_by)}" if view.signed_by else ""
    line = f"{view.id} ({view.kind}) is {view.state}: {view.approvals} of {view.needed}{who}."
    if view.state == "pending" and view.approvals:
        line += f" Next: another officer, holdfast approve {view.id} --as OFFICER."
    if view.state == "rejected" and view.reason:
        line += f" {view.reason}"
    return clean(f"{line} {view.summary}")
