"""A resumed lab to its first answer over NATS, and what starting each program costs.

``python bench/resume.py [--json] [--rounds N]``; about 30 seconds on an idle machine. A lab of the
default three nodes is founded in a temporary folder and serves a tiny model; then ``lab down`` and
``lab up`` in turns, while this process asks over NATS, as any application would, until it is
answered. The moments on the way are told from the start of ``lab up``. Starting a program is
measured by importing its main module in a fresh interpreter, as a share of the bare interpreter's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the site is driven as in the tests

import msgspec  # noqa: E402 - after the path
from holdfast_protocol import api, subjects  # noqa: E402
from holdfast_protocol.bus import nats_bus  # noqa: E402
from holdfast_protocol.codec import decode, encode  # noqa: E402
from holdfast_protocol.errors import HoldfastError  # noqa: E402
from holdfast_protocol.views import StatusAnswer  # noqa: E402

from bench.rig.run import Machine, emit, machine, say  # noqa: E402
from tests.integration.site import SCRIPTS, Site, tiny_stick  # noqa: E402

TARGET_S = 8.0
STATUS_TARGET_S = 0.5
WAIT_S = 90.0
ASK_EVERY_S = 0.05
ASK_S = 2.0
WHO, APP, ALIAS = "operator-1", "triage", "tiny"
QUESTION = json.dumps({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1})
PROGRAMS = {
    "controller": "holdfast_controller.main",
    "minter": "holdfast_controller.minter.main",
    "relay": "holdfast_controller.relay.main",
    "importer": "holdfast_bundles.importer.main",
    "range": "holdfast_bundles.range.main",
    "agent": "holdfast_agent.main",
    "gateway": "holdfast_agent.gateway.main",
    "holdfast": "holdfast_tui.main",
}
STATUS_RUNS = 5
START_RUNS = 3

Ask = Callable[[nats_bus.NatsBus], Awaitable[bool]]


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """One resume: seconds from the start of ``lab up`` until each was so."""

    broker_s: float
    controller_s: float
    nodes_s: float
    answer_s: float
    down_s: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run; ``start_cpu_s`` is user and system time to import a program's main module."""

    machine: Machine
    rounds: list[Resumed]
    answer_s: float
    answer_s_max: float = TARGET_S
    status_s: float
    status_s_max: float = STATUS_TARGET_S
    interpreter_cpu_s: float
    start_cpu_s: dict[str, float]


# ---------------------------------------------------------------- the resumed site


def found(made: Site) -> None:
    """Run a new site with one model that answers to ``APP``."""
    stick = tiny_stick(made.folder)
    made.ok("lab", "up", "--detach")
    root = str(made.folder / "keys" / "root.json")
    trust = made.ok("vendor", "trust", "acme", root, who="officer-1")
    made.approve(trust["request"], "officer-1", "officer-2")
    asked = made.ok("import", str(stick), who=WHO)
    made.approve(asked["request"], "officer-2", "officer-3")
    made.ok("deploy", "acme/tiny@1", "--alias", ALIAS, "--zone", "de", "--wait", "60")
    grant = made.ok("app", "create", APP, "--zone", "de", "--aliases", ALIAS, who=WHO)
    made.approve(grant["request"], "officer-3")


async def until(bus: nats_bus.NatsBus, ask: Ask, began: float) -> float:
    """Return the seconds since ``began`` at which ``ask`` came true."""
    while True:
        with contextlib.suppress(HoldfastError):
            if await ask(bus):
                return time.perf_counter() - began
        await asyncio.sleep(ASK_EVERY_S)


async def status(bus: nats_bus.NatsBus) -> StatusAnswer:
    """Return what the controller says of the site."""
    subject = subjects.api(WHO, "site", "status")
    return decode(
        (await bus.request(subject, encode(api.Nothing()), None, ASK_S)).body, StatusAnswer
    )


async def controller_answers(bus: nats_bus.NatsBus) -> bool:
    """Tell whether the controller answers."""
    return bool((await status(bus)).site)


async def nodes_report(bus: nats_bus.NatsBus) -> bool:
    """Tell whether every node is well."""
    seen = await status(bus)
    return seen.nodes_ok == seen.nodes_total > 0


async def model_answers(bus: nats_bus.NatsBus) -> bool:
    """Tell whether the application is answered."""
    answer = await bus.request(subjects.infer(ALIAS, "chat"), QUESTION.encode(), None, ASK_S)
    return answer.headers.get("Hf-Status") == "200"


async def resumed(made: Site) -> Resumed:
    """Take the site down and up again, asking all the while."""
    began = time.perf_counter()
    made.ok("lab", "down")
    down_s = time.perf_counter() - began
    began = time.perf_counter()
    environment = {**os.environ, "HOLDFAST_SITE": str(made.root)}
    raising = await asyncio.create_subprocess_exec(
        str(SCRIPTS / "holdfast"), "lab", "up", "--detach", "--json",
        env=environment, cwd=made.folder, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    credentials = made.root / "creds"
    async with asyncio.timeout(WAIT_S):
        people = await nats_bus.connect(credentials / WHO, name="bench", timeout_s=WAIT_S)
        async with people, await nats_bus.connect(credentials / APP, name="bench") as app:
            broker_s = time.perf_counter() - began
            async with asyncio.TaskGroup() as group:
                controller = group.create_task(until(people, controller_answers, began))
                nodes = group.create_task(until(people, nodes_report, began))
                answer = group.create_task(until(app, model_answers, began))
        assert await raising.wait() == 0
    return Resumed(
        broker_s=round(broker_s, 2),
        controller_s=round(controller.result(), 2),
        nodes_s=round(nodes.result(), 2),
        answer_s=round(answer.result(), 2),
        down_s=round(down_s, 2),
    )


# ---------------------------------------------------------------- the commands and programs


def status_s(made: Site) -> float:
    """Return the median seconds of ``holdfast status`` as a person waits for it."""
    taken = []
    for _ in range(STATUS_RUNS):
        began = time.perf_counter()
        made.ok("status")
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def start_cpu_s(module: str) -> float:
    """Return the median processor time of an interpreter that imports ``module``."""
    taken = []
    for _ in range(START_RUNS):
        before = os.times()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        after = os.times()
        spent = after.children_user - before.children_user
        taken.append(spent + after.children_system - before.children_system)
    return round(statistics.median(taken), 3)


def measure(folder: Path, rounds: int) -> Result:
    """Found, resume, ask; the site is down at the end."""
    here = machine()
    made = Site(folder)
    try:
        found(made)
        resumes = [asyncio.run(resumed(made)) for _ in range(rounds)]
        asked_s = status_s(made)
    finally:
        made.ok("lab", "down")
    return Result(
        machine=here,
        rounds=resumes,
        answer_s=statistics.median(one.answer_s for one in resumes),
        status_s=round(asked_s, 3),
        interpreter_cpu_s=start_cpu_s("sys"),
        start_cpu_s={name: start_cpu_s(module) for name, module in PROGRAMS.items()},
    )


def table(result: Result) -> str:
    """Return the run as a table."""
    lines = [
        f"load {result.machine.load_before} on {result.machine.cores} cores; seconds since lab up",
        f"{'round':<7}{'broker':>9}{'controller':>12}{'nodes':>9}{'answer':>9}{'(down)':>9}",
    ]
    for number, one in enumerate(result.rounds, 1):
        lines.append(
            f"{number:<7}{one.broker_s:>9.2f}{one.controller_s:>12.2f}{one.nodes_s:>9.2f}"
            f"{one.answer_s:>9.2f}{one.down_s:>9.2f}"
        )
    lines.append(f"first answer after {result.answer_s:.2f} s (reach {result.answer_s_max})")
    lines.append(f"holdfast status {result.status_s:.2f} s (reach {result.status_s_max})")
    starts = "  ".join(f"{name} {taken:.2f}" for name, taken in result.start_cpu_s.items())
    lines.append(f"CPU s to start: bare {result.interpreter_cpu_s:.2f}  {starts}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        result = measure(Path(folder), given.rounds)
    say(table(result))
    emit(result, as_json=given.json)


if __name__ == "__main__":
    main()
