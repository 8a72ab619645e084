"""A lab's site for tests: every step is the ``holdfast`` command in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sysconfig
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from holdfast_protocol import subjects
from holdfast_protocol.bus import nats_bus
from holdfast_protocol.errors import HoldfastError

from tools.demo import models, probes

T = TypeVar("T")
SCRIPTS = Path(sysconfig.get_path("scripts"))
COMMAND_S = 90.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its JSON object; an assertion fails with everything it said otherwise."""
        try:
            return json.loads(self.out)
        except json.JSONDecodeError:
            raise AssertionError(f"no JSON: {self.out!r} {self.err!r}") from None


@dataclass(frozen=True)
class Site:
    """A site in ``folder``/site; sticks and keys lie beside it."""

    folder: Path

    @property
    def root(self) -> Path:
        """The site's own folder."""
        return self.folder / "site"

    def command(self, *words: str, who: str | None = None) -> Done:
        """Run ``holdfast`` as a person would."""
        environment = {**os.environ, "HOLDFAST_SITE": str(self.root)}
        environment.pop("HOLDFAST_AS", None)
        if who is not None:
            environment["HOLDFAST_AS"] = who
        done = subprocess.run(
            [str(SCRIPTS / "holdfast"), *words],
            cwd=self.folder, env=environment, capture_output=True, text=True,
            timeout=COMMAND_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert "Traceback" not in done.stderr + done.stdout, done.stderr + done.stdout
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, who: str | None = None) -> Any:
        """Run a command that must succeed; return its JSON object."""
        done = self.command(*words, "--json", who=who)
        assert done.code == 0, (words, done)
        return done.json()

    def refused(self, code: str, exit_code: int, *words: str, who: str | None = None) -> Any:
        """Run a command that must be refused so; return the error."""
        done = self.command(*words, "--json", who=who)
        assert done.code == exit_code, (words, done)
        error = done.json()["error"]
        assert error["code"] == code, error
        assert error["message"]
        assert error["next"]
        return error

    def look(self, what: str) -> Any:
        """Return what ``holdfast WHAT --json`` shows, None while nobody answers.

        Asked over the bus by this process: a command each time would make every wait slow.
        """
        resource = "site.status" if what == "status" else f"{what}.list"
        with ThreadPoolExecutor(1) as thread:  # the caller may have a loop of its own
            return thread.submit(asyncio.run, self._look(resource)).result()

    async def _look(self, call: str) -> Any:
        who, (resource, verb) = "operator-1", call.split(".")
        try:
            folder = self.root / "creds" / who
            async with await nats_bus.connect(folder, name="test", timeout_s=5.0) as bus:
                answer = await bus.request(subjects.api(who, resource, verb), b"{}", None, 5.0)
        except HoldfastError:
            return None
        found = json.loads(answer.body)
        return None if "error" in found else found

    def programs(self) -> dict[str, int | None]:
        """The lab's programs with their processes, as the lab itself writes them down."""
        status = json.loads((self.root / "lab" / "status.json").read_text())
        return {one["name"]: one["pid"] for one in status["programs"]}

    def approve(self, request: str, *officers: str) -> None:
        """Sign as each officer."""
        for officer in officers:
            self.ok("approve", request, who=officer)

    def pid(self, program: str) -> int:
        """The process of one of the lab's programs."""
        found = self.programs()[program]
        assert isinstance(found, int), f"{program} does not run"
        return found

    def replicas(self, alias: str) -> list[dict[str, Any]]:
        """The replicas of a deployment."""
        for one in self.look("deployments")["deployments"]:
            if one["alias"] == alias:
                found: list[dict[str, Any]] = one["replicas"]
                return found
        return []


def until(what: str, probe: Callable[[], T | None], deadline_s: float = 45.0) -> T:
    """Return what ``probe`` returns once it is true; fail after ``deadline_s``."""
    end_s = time.monotonic() + deadline_s
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.2)


def tiny_stick(folder: Path, vendor: str = "acme") -> Path:
    """Build and sign a stick with a small chat model of ``vendor``; return its path."""
    site = Site(folder)
    (folder / "tiny").mkdir()
    models.tiny_llama(folder / "tiny" / "model.gguf", seed=7)
    probe = probes.chat_probe(folder / "tiny" / "model.gguf", folder / "tiny.probes.json")
    stick = folder / "stick"
    site.ok("bundle", "keys", "--vendor", vendor, "--out", str(folder / "keys"))
    site.ok(
        "bundle", "build", str(folder / "tiny"), "--name", f"{vendor}/tiny", "--version", "1",
        "--license", "Apache-2.0", "--probe", str(probe), "--out", str(stick),
    )  # fmt: skip
    site.ok("bundle", "sign", str(stick), "--keys", str(folder / "keys"))
    return stick
