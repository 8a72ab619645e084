"""How the demo speaks and acts: each step is a command a person could type, shown first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

COMMAND_S = 120.0


class StepError(Exception):
    """A step did not do what the demo shows."""


class Demo:
    """Runs ``holdfast`` in ``folder`` against the demo's own site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        self._script = str(Path(sysconfig.get_path("scripts")) / "holdfast")
        self._started_s = time.monotonic()

    def title(self, text: str) -> None:
        """Begin a part."""
        print(f"\n[{time.monotonic() - self._started_s:5.1f} s] {text}", flush=True)

    def say(self, text: str) -> None:
        """Tell what came of a step."""
        print(f"          {text}", flush=True)

    def run(self, *words: str, who: str | None = None) -> Any:
        """Run a command with ``--json`` and return its object; raises ``StepError`` if it fails."""
        code, value = self.attempt(*words, who=who)
        if code != 0:
            raise StepError(f"holdfast {' '.join(words)} ended with {code}: {value}")
        return value

    def attempt(self, *words: str, who: str | None = None) -> tuple[int, Any]:
        """Run a command with ``--json``; return its exit code and object."""
        shown = " ".join(words) + (f" --as {who}" if who else "")
        print(f"  holdfast {shown.replace(str(self.folder) + '/', '')}", flush=True)
        done = self._process([*words, "--json"], who)
        try:
            return done.returncode, json.loads(done.stdout)
        except json.JSONDecodeError:
            raise StepError(f"holdfast {shown}: {done.stdout}\n{done.stderr}") from None

    def show(self, *words: str, who: str | None = None) -> None:
        """Run a command as a person would and pass its output on."""
        print(f"  holdfast {' '.join(words)}{f' --as {who}' if who else ''}", flush=True)
        done = self._process(list(words), who)
        for line in done.stdout.splitlines():
            self.say(line)
        if done.returncode != 0:
            raise StepError(
                f"holdfast {' '.join(words)} ended with {done.returncode}: {done.stderr}"
            )

    def expect(self, code: str, exit_code: int, *words: str, who: str | None = None) -> str:
        """Run a command that must be refused with ``code``; return its sentence."""
        ended, value = self.attempt(*words, who=who)
        error = value.get("error", value)
        if ended != exit_code or error.get("code") != code:
            raise StepError(f"expected {code} ({exit_code}), got {ended}: {value}")
        sentence = str(error.get("message") or error.get("file"))
        self.say(f"refused, {code}: {sentence}")
        return sentence

    def approve(self, request: str, *officers: str) -> None:
        """Let each officer sign in a process of their own."""
        for officer in officers:
            self.run("approve", request, who=officer)

    def _process(self, words: list[str], who: str | None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOLDFAST_SITE": str(self.site)}
        environment.pop("HOLDFAST_AS", None)
        if who:
            environment["HOLDFAST_AS"] = who
        return subprocess.run(
            [self._script, *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )


def fail(error: Exception) -> None:
    """Say why the demo ended early."""
    print(f"\nThe demo failed: {error}", file=sys.stderr, flush=True)
