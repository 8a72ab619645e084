"""``node code enroll renew``: machines become nodes of the site, and stay it."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Annotated, Final

import typer
from holdfast_protocol import ids
from holdfast_protocol.api import NodeCall, RequestMade
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_tui import invocation
from holdfast_tui.files import write_new
from holdfast_tui.verbs.commands_brakes import Node, node
from holdfast_tui.verbs.commands_imports import waits

app = typer.Typer()
app.add_typer(node, name="node")

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_LIFE: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")


@node.command()
def code(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="How the node will be called.")],
    zone: Annotated[str, typer.Option(help="Where it stands, for example de.")],
    ttl: Annotated[str, typer.Option(help="How long it may be used: 30m, 1h, 2d.")] = "1h",
    out: Annotated[
        Path | None, typer.Option(help="A new file for it, 0600; else it is printed.")
    ] = None,
) -> None:
    """Make a one-time code for a new node; its secrets are made here."""
    from holdfast_tui import codes

    one = invocation.of(ctx)
    life_s = _seconds(ttl)
    wanted = ids.token(name, "node")
    if out is not None and out.exists():
        raise HoldfastError(Code.ALREADY_EXISTS, f"{out} is there already.")
    made = one.ask(lambda client: codes.make(client, wanted, zone, life_s))
    text = codes.text_of(made)
    shown = {
        "node": made.node,
        "zone": made.zone,
        "expires": made.not_after_s,
        "ca_sha256": made.ca_sha256,
        "root_sha256": made.root_sha256,
    }
    if out is None:
        one.show({**shown, "code": text}, text.splitlines())
        return
    write_new(out, text.encode("ascii"))
    lines = [
        f"The code of {made.node} is in {out}; it is valid once, for {ttl}.",
        f"On the node: holdfast-agent enroll --code {out.name} --dir DIR",
    ]
    one.show({**shown, "file": str(out)}, lines)


@node.command()
def enroll(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The code's file.")],
    folder: Annotated[Path, typer.Option("--dir", help="The node's folder.")],
    devices: Annotated[str, typer.Option(help="What to inventory: cpu, sim1x24, nvml.")] = "cpu",
    wait: Annotated[
        float | None, typer.Option(help="Seconds to wait for officers; run again to go on.")
    ] = None,
) -> None:
    """Make this machine a node: runs holdfast-agent enroll, which also a node without us has."""
    one = invocation.of(ctx)
    script = Path(sysconfig.get_path("scripts")) / "holdfast-agent"
    if not script.is_file():
        raise HoldfastError(
            Code.CONFIG_INVALID, "This machine has no holdfast-agent; enroll the node on itself."
        )
    words = ["enroll", "--code", str(file), "--dir", str(folder), "--devices", devices]
    words += [] if wait is None else ["--wait", str(wait)]
    words += ["--json"] if one.as_json else []
    done = subprocess.run([str(script), *words], check=False)
    raise typer.Exit(done.returncode)


@node.command()
def renew(ctx: typer.Context, name: Node) -> None:
    """Ask two officers for a later end of a node's certificate, for the same keys."""
    one = invocation.of(ctx)
    call = NodeCall(node=ids.token(name, "node"))
    made = one.ask(lambda client: client.call("nodes.renew", call, RequestMade))
    one.show(made, waits(made))


def _seconds(text: str) -> int:
    found = _LIFE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text[:20]!a} is not like 30m, 1h or 2d.")
    return int(found[1]) * _UNITS_S[found[2]]
