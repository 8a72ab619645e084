"""``import``, ``vendor trust``: what comes in, and from whom it may come."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from holdfast_protocol.api import (
    ImportQuery,
    ImportView,
    RequestMade,
    StartImportCall,
    TrustVendor,
    raised,
)
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import ROOT_BYTES

from holdfast_tui import invocation
from holdfast_tui.client import Client
from holdfast_tui.files import read_capped
from holdfast_tui.invocation import Invocation
from holdfast_tui.logic.text import clean
from holdfast_tui.logic.transfer import Rate, bar

POLL_S: Final = 0.3
PATIENCE_S: Final = 30.0

app = typer.Typer()
vendor = typer.Typer(help="Vendors whose bundles may come in.")
app.add_typer(vendor, name="vendor")


@vendor.command(name="trust")
def trust_vendor(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="V", help="The vendor's name.")],
    root: Annotated[Path, typer.Argument(metavar="ROOT.json", help="Its TUF root.")],
) -> None:
    """Ask the officers to trust a vendor's root."""
    one = invocation.of(ctx)
    call = TrustVendor(vendor=name, root=read_capped(root, ROOT_BYTES))
    made = one.ask(lambda client: client.call("vendors.trust", call, RequestMade))
    one.show(made, waits(made))


@app.command(name="import")
def import_bundle(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="The stick, on the controller's host.")],
) -> None:
    """Verify a bundle and bring it in; then it waits for approvals."""
    one = invocation.of(ctx)
    call = StartImportCall(path=str(path.absolute()))
    view = one.ask(lambda client: _import(one, client, call))
    first = view.requests[0] if view.requests else None
    if view.state == "committed":
        lines = ["This bundle is in the store already, approved."]
    else:
        lines = [
            f"Verified and in quarantine. Request {', '.join(view.requests)} waits for officers.",
            f"Next: holdfast requests show {first}, then holdfast approve {first} --as OFFICER.",
        ]
    one.show({"request": first, "requests": view.requests, "state": view.state}, lines)


def waits(made: RequestMade) -> list[str]:
    """Return what people read where a request was made."""
    officers = "1 officer" if made.needed == 1 else f"{made.needed} officers"
    return [
        f"Request {made.request} waits for {officers}: {clean(made.summary)}",
        f"Next: holdfast requests show {made.request}, "
        f"then holdfast approve {made.request} --as OFFICER.",
    ]


async def _import(one: Invocation, client: Client, call: StartImportCall) -> ImportView:
    """Return the import where it ended well; raises what it failed with."""
    rate = Rate()
    view = await client.call("imports.start", call, ImportView)
    while True:
        if view.error is not None:
            _line(one, "", end="\n")
            raise raised(view.error)
        if view.state in ("waiting", "committed"):
            _line(one, bar("imported", 1, 1, None), end="\n")
            return view
        if view.state in ("paused", "failed"):
            raise HoldfastError(Code.IMPORT_FAILED, f"Import {view.id} is {view.state}.")
        rate.saw(view.bytes_done, time.monotonic())
        _line(one, bar(view.state, view.bytes_done, view.bytes_total, rate.bytes_per_s))
        await asyncio.sleep(POLL_S)
        view = await _shown(client, view.id)


async def _shown(client: Client, import_id: str) -> ImportView:
    """Return the import's state; a controller that restarts meanwhile is waited for."""
    ends_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await client.call("imports.show", ImportQuery(id=import_id), ImportView)
        except HoldfastError as error:
            away = error.code in (Code.CONTROLLER_DOWN, Code.BROKER_DOWN)
            if not away or time.monotonic() > ends_at:
                raise
        await asyncio.sleep(POLL_S)


def _line(one: Invocation, text: str, end: str = "") -> None:
    if one.interactive:
        sys.stderr.write(f"\r{text:<78.78}{end}")
        sys.stderr.flush()
