"""The programs of a site as processes: started, watched, started again, stopped in order.

One task a program; a program that ends is started again after a pause (``logic/restart``) and the
incident is written down. Children are told to end when the lab itself is killed, so that nothing
is left running.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from holdfast_lab.logic.restart import ending, failures_after, pause_s

STOP_GRACE_S = 8.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What to start; ``stage`` orders the stop: higher stages end first."""

    name: str
    argv: tuple[str, ...]
    stage: int
    environment: dict[str, str] = {}
    ready_port: int | None = None


class ProgramStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the lab says of a program."""

    name: str
    pid: int | None
    state: str
    restarts: int
    since: float
    last_end: str | None = None


def _end_with_parent() -> None:
    # Runs in the child before exec. SIGTERM, so that a gateway finishes what it answers.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Supervised:
    """One program and its present process."""

    program: Program
    logs: Path
    say: Callable[[str], None]
    changed: Callable[[], None]
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    since_s: float = field(default_factory=time.time)
    last_end: str | None = None
    stopping: bool = False
    started: asyncio.Event = field(default_factory=asyncio.Event)

    def status(self) -> ProgramStatus:
        """What to show of the program now."""
        running = self.process is not None and self.process.returncode is None
        return ProgramStatus(
            name=self.program.name,
            pid=self.process.pid if running and self.process else None,
            state="up" if running else "stopped" if self.stopping else "restarting",
            restarts=self.restarts,
            since=self.since_s,
            last_end=self.last_end,
        )

    async def run(self) -> None:
        """Keep the program running until :meth:`stop`."""
        failures = 0
        while True:
            begun_s = time.monotonic()
            returncode = await self._run_once()
            if self.stopping:
                break
            failures = failures_after(failures, time.monotonic() - begun_s)
            wait_s = pause_s(failures)
            self.restarts += 1
            self.last_end = ending(returncode)
            self.say(f"{self.program.name} {self.last_end}; starting it again")
            self.changed()
            await asyncio.sleep(wait_s)

    async def _run_once(self) -> int:
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{self.program.name}.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.program.environment},
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self.since_s = time.time()
        self.started.set()
        self.changed()
        return await self.process.wait()

    async def stop(self) -> None:
        """Ask the program to end, then make it; returns when no process is left."""
        self.stopping = True
        process = self.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_GRACE_S)
        except TimeoutError:
            self.say(f"{self.program.name} did not end in {STOP_GRACE_S:.0f} s; killed")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def wait_for_port(port: int, deadline_s: float) -> bool:
    """Tell whether something listens on loopback ``port`` before ``deadline_s`` seconds pass."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True
    return False
