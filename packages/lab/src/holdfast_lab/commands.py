"""``holdfast lab up | down | status``: a whole site on this machine, secured as in production."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.views import StatusAnswer

from holdfast_lab import ceremony, ground, site_file
from holdfast_lab.layout import Layout
from holdfast_lab.logic import nodes as node_names
from holdfast_lab.programs import script_path
from holdfast_lab.readiness import wait_until_ready
from holdfast_lab.shell import Incident, Lab, LabStatus, read_incidents, read_status
from holdfast_lab.site_file import SiteFile

READY_S = 60.0
DOWN_S = 30.0
ENDED_LOOK_S = 0.1
NOTE = "All programs of a lab run under one user; on a real site each has its own."

app = typer.Typer(help="A whole site on this machine, with the security of production.")

Dir = Annotated[
    Path, typer.Option("--dir", "--site", envvar="HOLDFAST_SITE", help="The site's folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DEFAULT_DIR = Path(".holdfast/site")


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """What ``lab status --json`` prints."""

    running: bool
    site: str | None
    lab: LabStatus | None
    incidents: list[Incident]


@app.command()
def up(
    directory: Dir = DEFAULT_DIR,
    nodes: Annotated[
        str | None, typer.Option(help=f"NAME=JURISDICTION:DEVICES,... ({node_names.DEFAULT})")
    ] = None,
    media: Annotated[
        list[Path] | None, typer.Option(help="One more folder that bundles may come from.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once the site is ready.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Found a site, or resume the one in the folder, and run it."""
    os.umask(0o077)
    layout = Layout(directory.resolve())
    running = read_status(layout)
    if running is not None:
        _say_ready(layout, as_json, already=True)
        return
    site = _site(layout, nodes, media or [], quiet=as_json)
    ground.check(layout, site)
    if detach:
        _up_detached(layout, site)
        _say_ready(layout, as_json, already=False)
        return
    asyncio.run(_up_attached(layout, site))


@app.command()
def down(directory: Dir = DEFAULT_DIR, as_json: Json = False) -> None:
    """Stop the site; everything it was is there again at the next `up`."""
    layout = Layout(directory.resolve())
    status = read_status(layout)
    if status is None:
        _print(as_json, {"running": False}, "The site does not run.")
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(status.pid, signal.SIGTERM)
    end_s = time.monotonic() + DOWN_S
    while read_status(layout) is not None or _alive(status.pid):
        if time.monotonic() > end_s:
            raise HoldfastError(Code.DEADLINE, f"The lab (process {status.pid}) does not end.")
        time.sleep(0.05)
    shutil.rmtree(layout.runtime, ignore_errors=True)
    _print(as_json, {"running": False}, "The site is down.")


@app.command()
def status(directory: Dir = DEFAULT_DIR, as_json: Json = False) -> None:
    """Show the programs of the site and what happened to them."""
    layout = Layout(directory.resolve())
    if not layout.site_file.exists():
        raise HoldfastError(Code.SITE_UNKNOWN, f"There is no site in {layout.root}.")
    running = read_status(layout)
    incidents = read_incidents(layout, 10)
    view = StatusView(
        running=running is not None,
        site=site_file.read(layout.site_file).site,
        lab=running,
        incidents=incidents,
    )
    if as_json:
        print(msgspec.json.encode(view).decode())
        return
    for line in _lines(view):
        print(line)


def _site(layout: Layout, nodes: str | None, media: list[Path], *, quiet: bool) -> SiteFile:
    """Return the folder's site, founding it first where there is none."""
    if layout.site_file.exists():
        if nodes is not None:
            known = site_file.read(layout.site_file).nodes
            if node_names.parse(nodes) != known:
                raise HoldfastError(
                    Code.ALREADY_EXISTS, f"The site in {layout.root} has other nodes."
                )
        return site_file.read(layout.site_file)
    wanted = node_names.parse(nodes or node_names.DEFAULT)
    roots = tuple(str(path.resolve()) for path in [Path.cwd(), *media])
    if not quiet:
        print(f"Founding a site in {layout.root}: 3 officers, 2 of them decide. {NOTE}", flush=True)
    return ceremony.found(layout, wanted, roots)


def _up_detached(layout: Layout, site: SiteFile) -> None:
    layout.logs.mkdir(parents=True, exist_ok=True)
    with (layout.logs / "lab.log").open("ab") as log:
        process = subprocess.Popen(
            [str(script_path("holdfast-lab")), "--site", str(layout.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    ready = asyncio.run(_ready_or_ended(layout, site, process))
    if ready is None:
        ended = process.poll()
        how = (
            f"it ended with exit code {ended}"
            if ended is not None
            else f"after {READY_S:.0f} s it is not ready"
        )
        raise HoldfastError(
            Code.SITE_DOWN,
            f"The site does not run as it should: {how}; see {layout.logs / 'lab.log'}.",
        )


async def _ready_or_ended(
    layout: Layout, site: SiteFile, process: subprocess.Popen[bytes]
) -> StatusAnswer | None:
    """Return the site's status once it is ready; None when it is not in time, or has ended."""
    ready = asyncio.create_task(wait_until_ready(layout, len(site.nodes), READY_S))
    while not ready.done() and process.poll() is None:
        await asyncio.wait([ready], timeout=ENDED_LOOK_S)
    if not ready.done():
        ready.cancel()
        await asyncio.wait([ready])
        return None
    return ready.result()


async def _up_attached(layout: Layout, site: SiteFile) -> None:
    def say(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    async def announce() -> None:
        if await wait_until_ready(layout, len(site.nodes), READY_S) is not None:
            _say_ready(layout, as_json=False, already=False)
            print("Ctrl-C stops it.", flush=True)
        else:
            say(f"not ready after {READY_S:.0f} s; see {layout.logs}")

    announcing = asyncio.create_task(announce())
    try:
        await Lab(layout, say).run()
    finally:
        announcing.cancel()
        await asyncio.gather(announcing, return_exceptions=True)


def _say_ready(layout: Layout, as_json: bool, *, already: bool) -> None:
    site = site_file.read(layout.site_file)
    if as_json:
        value = {"running": True, "site": site.site, "nodes": [one.node for one in site.nodes]}
        print(msgspec.json.encode(value).decode(), flush=True)
        return
    how = "runs already" if already else "is ready"
    print(f"Site {site.site} {how}: {', '.join(one.node for one in site.nodes)}.", flush=True)
    print("Next: holdfast status, holdfast nodes, holdfast console", flush=True)


def _print(as_json: bool, value: dict[str, bool], text: str) -> None:
    print(msgspec.json.encode(value).decode() if as_json else text)


def _lines(view: StatusView) -> list[str]:
    lines = [f"site {view.site}: {'running' if view.running else 'down'}"]
    now_s = time.time()
    for one in view.lab.programs if view.lab else ():
        age = f"{max(0.0, now_s - one.since):.0f} s"
        ended = f"  last {one.last_end}" if one.last_end else ""
        pid = str(one.pid) if one.pid else "n/a"
        lines.append(
            f"  {one.name:<16} {one.state:<11} pid {pid:<8} {age:>8}"
            f"  restarts {one.restarts}{ended}"
        )
    for incident in view.incidents:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(incident.at))
        lines.append(f"  {stamp}  {incident.text}")
    return lines


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A zombie of our own, where the caller is also the parent, is gone for our purpose.
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


if __name__ == "__main__":
    sys.exit(app())
