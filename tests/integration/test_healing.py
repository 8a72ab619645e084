"""Whatever is killed heals, and the lab says so; nothing approved or deployed is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nats.errors
import pytest

from tests.integration import foreign
from tests.integration.conftest import APP
from tests.integration.site import Site, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("site"), pytest.mark.timeout(240)]


def answers(site: Site) -> bool:
    """Whether the application gets an answer, asked as any program would."""
    with ThreadPoolExecutor(1) as thread:  # the caller may have a loop of its own
        return thread.submit(asyncio.run, _answers(site)).result()


async def _answers(site: Site) -> bool:
    body = b'{"messages":[{"role":"user","content":"hello"}],"max_tokens":4}'
    try:
        client = await foreign.connect(site.root / "creds" / APP)
        try:
            answer = await client.request("infer.tiny.chat", body, timeout=5)
        finally:
            await client.close()
    except (OSError, nats.errors.Error):
        return False
    return (answer.headers or {}).get("Hf-Status") == "200"


def well(site: Site) -> bool:
    """Everything that was approved and deployed is there and answers."""
    listed, models = site.look("deployments"), site.look("models")
    if listed is None or models is None:
        return False
    states = {one["alias"]: one["state"] for one in listed["deployments"]}
    approved = [one["state"] for one in models["models"] if one["name"] == "acme/tiny"]
    return states == {"tiny": "ready", "french": "ready"} and approved == ["approved"]


def serving_node(site: Site) -> str:
    found = site.replicas("tiny")[0]["node"]
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize("program", ["controller", "agent", "gateway", "broker-de", "broker-fr"])
def test_a_killed_program_heals(site: Site, program: str) -> None:
    until("well before", lambda: well(site) and answers(site))
    name = f"{program}-{serving_node(site)}" if program in ("agent", "gateway") else program
    before = site.pid(name)
    os.kill(before, signal.SIGKILL)

    def said() -> bool:
        status = site.ok("lab", "status")
        told = any(f"{name} was killed by signal 9" in one["text"] for one in status["incidents"])
        running = {one["name"]: one["pid"] for one in status["lab"]["programs"]}
        return told and running[name] not in (None, before)

    until("the lab says so and starts it again", said)
    until("well again", lambda: well(site) and answers(site), deadline_s=60)


def test_a_killed_engine_heals(site: Site) -> None:
    until("well before", lambda: well(site) and answers(site))
    agent = site.pid(f"agent-{serving_node(site)}")
    engines = _descendants(agent, "launcher_xllamacpp")
    assert engines
    for pid in engines:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it went with the one before

    def told() -> bool:
        events = (site.look("events") or {"events": []})["events"]
        return any("engine-died" in f"{one['kind']} {one['text']}" for one in events)

    until("the journal says so", told)
    until("well again", lambda: well(site) and answers(site))


def test_the_site_resumes_from_its_folder(site: Site) -> None:
    until("well before", lambda: well(site) and answers(site))
    site.ok("lab", "down")
    site.refused("BROKER_DOWN", 5, "nodes")
    site.ok("lab", "up", "--detach")
    until("well again", lambda: well(site) and answers(site))
    again = site.ok("lab", "up", "--detach")
    assert again["running"] is True


def _descendants(root: int, word: str) -> list[int]:
    """The processes below ``root`` whose command line has ``word``."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        lines[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace")

    def below(pid: int) -> bool:
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root

    return [pid for pid, line in lines.items() if word in line and below(pid)]
