"""The lab's loop: start the programs in order, keep them running, say what happens, stop them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.credentials import write_private

from holdfast_lab import site_file
from holdfast_lab.ground import private_folder
from holdfast_lab.layout import Layout
from holdfast_lab.processes import ProgramStatus, Supervised, wait_for_port
from holdfast_lab.programs import programs

BROKER_START_S = 15.0
INCIDENTS_KEPT_BYTES = 1024 * 1024


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a program; ``at`` in Unix seconds."""

    at: float
    text: str


class LabStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the lab says of itself, rewritten at every change."""

    pid: int
    site: str
    started: float
    programs: tuple[ProgramStatus, ...]


class Lab:
    """One running site; owns the processes and the status file."""

    def __init__(self, layout: Layout, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._site = site_file.read(layout.site_file)
        self._say = say
        self._started_s = time.time()
        self._supervised: list[Supervised] = []
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Run the site until SIGTERM or SIGINT; raises ``ALREADY_EXISTS`` if it runs already."""
        layout = self._layout
        os.umask(0o077)
        private_folder(layout.runtime)
        layout.status_file.parent.mkdir(parents=True, exist_ok=True)
        with _locked(layout.lock):
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.add_signal_handler(number, self._done.set)
            self._supervised = [
                Supervised(one, layout.logs, self._incident, self._write_status)
                for one in programs(layout, self._site)
            ]
            try:
                await self._run()
            finally:
                await self._stop()
                layout.status_file.unlink(missing_ok=True)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            first = [one for one in self._supervised if one.program.ready_port is not None]
            tasks = [group.create_task(one.run()) for one in first]
            for one in first:
                port = one.program.ready_port
                assert port is not None
                if not await wait_for_port(port, BROKER_START_S):
                    self._say(f"{one.program.name} does not listen yet; see {self._layout.logs}")
            rest = [one for one in self._supervised if one.program.ready_port is None]
            tasks += [group.create_task(one.run()) for one in rest]
            self._write_status()
            await self._done.wait()
            await self._stop()
            for task in tasks:
                task.cancel()

    async def _stop(self) -> None:
        for stage in sorted({one.program.stage for one in self._supervised}, reverse=True):
            of_stage = [one for one in self._supervised if one.program.stage == stage]
            await asyncio.gather(*(one.stop() for one in of_stage))

    def _incident(self, text: str) -> None:
        self._say(text)
        path = self._layout.incidents
        if path.exists() and path.stat().st_size > INCIDENTS_KEPT_BYTES:
            path.replace(path.with_suffix(".old"))
        with path.open("ab") as file:
            file.write(encode(Incident(at=time.time(), text=text)) + b"\n")

    def _write_status(self) -> None:
        status = LabStatus(
            pid=os.getpid(),
            site=self._site.site,
            started=self._started_s,
            programs=tuple(one.status() for one in self._supervised),
        )
        write_private(self._layout.status_file, encode(status))


class _locked:  # noqa: N801  (a context manager reads as a verb)
    """Hold the site's lock, so that two labs never run the same site."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> None:
        self._file = self._path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise HoldfastError(Code.ALREADY_EXISTS, "This site runs already.") from error

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()


def read_status(layout: Layout) -> LabStatus | None:
    """Return what the running lab says, None if none runs."""
    if not layout.lock.exists():
        return None
    try:
        with _locked(layout.lock):
            return None
    except HoldfastError:
        pass
    try:
        return msgspec.json.decode(layout.status_file.read_bytes(), type=LabStatus)
    except (OSError, msgspec.MsgspecError):
        return None


def read_incidents(layout: Layout, limit: int) -> list[Incident]:
    """Return the newest ``limit`` incidents, oldest first."""
    try:
        lines = layout.incidents.read_bytes().splitlines()[-limit:]
    except OSError:
        return []
    return [msgspec.json.decode(line, type=Incident) for line in lines]
