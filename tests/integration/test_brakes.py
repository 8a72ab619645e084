"""The brakes on real programs: denied models stop and stay stopped, nodes are drained, revoked."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import foreign
from tests.integration.conftest import APP
from tests.integration.site import Site, until
from tests.integration.test_healing import answers, serving_node, well

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("site"), pytest.mark.timeout(300)]

STOPPED_S = 20.0
"""Far above what is measured; a slow machine must not make a liar of the test."""


@pytest.fixture(autouse=True)
def as_found(site: Site) -> Iterator[None]:
    """The site is well before, and brought back to that afterwards, also after a failure."""
    until("well before", lambda: well(site) and answers(site))
    yield
    for one in site.look("nodes")["nodes"]:
        if one["state"] == "retired":
            lift = site.ok("node", "revoke", "--lift", one["id"], who="officer-1")
            site.approve(lift["request"], "officer-1", "officer-2")
        elif one["duty"] != "in-service":
            site.ok("node", "uncordon", one["id"], who="operator-1")
    for model in site.look("models")["models"]:
        if model["state"] == "denied":
            lift = site.ok("revoke", "--lift", model["digest"], who="officer-1")
            site.approve(lift["request"], "officer-1", "officer-2")
    until("well after", lambda: well(site) and answers(site), deadline_s=90)


def engines() -> list[int]:
    """Every engine process of this machine's lab agents."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it ended meanwhile
            if b"launcher_xllamacpp" in line:
                found.append(int(entry.name))
    return found


def engines_of(site: Site) -> list[int]:
    """The engines that were started below this site's folder or its agents."""
    agents = {site.pid(f"agent-{one['id']}") for one in site.look("nodes")["nodes"]}
    return [pid for pid in engines() if _ancestors(pid) & agents]


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
        found.add(pid)
    return found


def alive(pids: list[int]) -> list[int]:
    """Those of ``pids`` that still run; what only waits to be buried does not."""
    running = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            running.append(pid)
    return running


def gone_at(pids: list[int]) -> float:
    """Return when the last of ``pids`` was gone, Unix time."""
    end_s = time.monotonic() + STOPPED_S
    while alive(pids):
        assert time.monotonic() < end_s, f"they run on after {STOPPED_S} s"
        time.sleep(0.01)
    return time.time()


def state_of(site: Site) -> dict[str, Any]:
    [model] = [one for one in site.look("models")["models"] if one["name"] == "acme/tiny"]
    found: dict[str, Any] = model
    return found


async def ends(site: Site, ready: asyncio.Event) -> dict[str, str]:
    """Ask for the longest answer there is, over and over; return how it is refused at last."""
    client = await foreign.connect(site.root / "creds" / APP)
    body = json.dumps(
        {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2000}
    ).encode()
    try:
        while True:
            inbox = client.new_inbox()
            subscription = await client.subscribe(inbox)
            await client.publish("infer.tiny.chat", body, inbox, headers={"Hf-Accept": "stream"})
            headers: dict[str, str] = {}
            while "Hf-Status" not in headers:
                headers = dict((await subscription.next_msg(timeout=30)).headers or {})
                if "Hf-Seq" in headers:
                    ready.set()
            # Between the engine's end and the gateway's look at the denial, nothing is loaded.
            if headers["Hf-Status"] != "200" and headers.get("Hf-Code") != "NOT_LOADED":
                return headers
    finally:
        await client.close()


async def test_one_officer_stops_a_model_everywhere_and_two_bring_it_back(
    site: Site, record_property: Any
) -> None:
    digest = state_of(site)["digest"]
    before = engines_of(site)
    assert before
    ready = asyncio.Event()
    async with asyncio.timeout(120):
        asking = asyncio.create_task(ends(site, ready))
        await ready.wait()
        made = await asyncio.to_thread(
            site.ok, "revoke", digest, "--reason", "found unsafe", who="officer-1"
        )
        assert made["needed"] == 1
        assert alive(before) == before, "a request alone does nothing"
        watched = asyncio.create_task(asyncio.to_thread(gone_at, before))
        await asyncio.to_thread(site.approve, made["request"], "officer-2")
        stopped = await watched
        end = await asking
    [denied] = [one for one in site.look("events")["events"] if one["kind"] == "denied"][-1:]
    record_property("denied_to_stopped_s", round(stopped - denied["at"], 3))
    print(f"all engines stopped {stopped - denied['at']:.3f} s after the decision")
    assert end["Hf-Code"] == "DENIED_MODEL", end

    said = state_of(site)
    assert (said["state"], said["reason"]) == ("denied", "found unsafe")
    for one in site.look("deployments")["deployments"]:
        assert (one["state"], one["replicas"]) == ("broken", [])
        assert "acme/tiny@1 is denied: found unsafe." in one["reason"]
    site.refused("DENIED_MODEL", 3, "deploy", "acme/tiny@1", "--alias", "again", who="operator-1")
    site.refused("NOT_PERMITTED", 3, "revoke", "--lift", digest, who="operator-1")

    for program in ("controller", "agent-de-1", "agent-de-2", "agent-fr-1", "gateway-de-1"):
        os.kill(site.pid(program), signal.SIGKILL)
    until("everything is back", lambda: _all_ok(site), deadline_s=60)
    assert state_of(site)["state"] == "denied"
    assert engines_of(site) == [], "no accepted digest helps"
    site.refused("DENIED_MODEL", 3, "infer", "tiny", "hello", who=APP)

    lift = site.ok("model", "revoke", "--lift", digest, who="officer-1")
    assert lift["needed"] == 2
    site.approve(lift["request"], "officer-1")
    shown = {one["id"]: one for one in site.look("requests")["requests"]}[lift["request"]]
    assert (shown["kind"], shown["state"], shown["approvals"], shown["needed"]) == (
        "lift", "pending", 1, 2,
    )  # fmt: skip
    assert engines_of(site) == []
    site.approve(lift["request"], "officer-3")
    until("nobody deployed it again", lambda: well(site) and answers(site), deadline_s=90)


def _all_ok(site: Site) -> bool:
    listed = site.command("nodes", "--json")
    if listed.code != 0:
        return False
    nodes = listed.json()["nodes"]
    programs = {one["name"]: one["pid"] for one in site.ok("lab", "status")["lab"]["programs"]}
    fresh = all(one["state"] == "ok" and one["gateway"] == "ok" for one in nodes)
    return fresh and None not in programs.values()


def test_a_drained_node_is_empty_and_no_request_was_lost(site: Site) -> None:
    first = serving_node(site)
    [second] = {"de-1", "de-2"} - {first}
    site.ok("node", "drain", first, who="operator-1")
    asked = 0

    def moved() -> bool:
        nonlocal asked
        assert answers(site), "an answer was lost"
        asked += 1
        shown = {one["id"]: one for one in site.look("nodes")["nodes"]}[first]
        return bool(shown["reason"] == "Drained: empty.")

    until("everything moved", moved, deadline_s=60)
    assert asked
    assert serving_node(site) == second
    explained = site.ok("explain", "tiny")
    why = {one["node"]: one["constraint"] for one in explained["rejections"]}
    assert why[first] == "draining"
    site.ok("node", "uncordon", first, who="operator-1")
    site.refused("NOT_PERMITTED", 3, "node", "drain", first, who="auditor-1")


def test_a_revoked_node_stops_and_its_peers_carry_on(site: Site) -> None:
    first = serving_node(site)
    [second] = {"de-1", "de-2"} - {first}
    before = [pid for pid in engines() if site.pid(f"agent-{first}") in _ancestors(pid)]
    assert before
    made = site.ok("node", "revoke", first, "--reason", "stolen", who="officer-3")
    assert made["needed"] == 1
    site.approve(made["request"], "officer-3")
    until("its engines stopped", lambda: not alive(before), STOPPED_S)

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = {one["id"]: one for one in site.look("nodes")["nodes"]}[first]
        return found

    assert (shown()["state"], shown()["reason"]) == ("retired", "An officer revoked it: stolen.")
    until("the other took over", lambda: well(site) and serving_node(site) == second)
    until("its gateway left", lambda: all(answers(site) for _ in range(4)))
    assert all(answers(site) for _ in range(8)), "no request ends at the revoked gateway"
    findings = site.ok("status")["findings"]
    assert f"Node {first} is revoked: stolen." in findings
    os.kill(site.pid(f"agent-{first}"), signal.SIGKILL)
    os.kill(site.pid(f"gateway-{first}"), signal.SIGKILL)
    until("heard again", lambda: (shown()["age_s"] or 99) < 2)
    assert (shown()["state"], shown()["slots_total"]) == ("retired", 0)
    assert all(answers(site) for _ in range(4))
    again = site.ok("node", "revoke", "--lift", first, who="officer-1")
    assert again["needed"] == 2
    site.approve(again["request"], "officer-1", "officer-2")
    until("let back in", lambda: shown()["state"] == "ok")
