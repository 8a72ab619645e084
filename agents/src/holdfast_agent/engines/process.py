"""One engine process: its group, its readiness line, its last words, its end.

The process leads a group of its own, so that everything it starts ends with it. No task is needed
to watch it: the loop's callbacks keep the last lines of stderr, in memory only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections import deque
from pathlib import Path
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import ENGINE_STDERR_LINE_BYTES, ENGINE_STDERR_LINES

_LOOK_EVERY_S: Final = 0.005
_KILL_WAIT_S: Final = 5.0
_STDOUT: Final = 1
_ASSERTION: Final = re.compile(rb"\.(c|cc|cpp|cu|h):\d+: |^terminate called|^CUDA error")


class EngineProcess(asyncio.SubprocessProtocol):
    """A started process; use :func:`spawn`. The loop sets ``ready``, ``exited``, ``drained``."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.exited = asyncio.Event()
        self.drained = asyncio.Event()
        self.pid = 0
        self.returncode: int | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._group_ended = False
        self._lines: deque[str] = deque(maxlen=ENGINE_STDERR_LINES)
        self._partial = b""

    # ---- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        self.pid = transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDOUT:
            if b"ready" in data:
                self.ready.set()
            return
        *whole, rest = (self._partial + data).split(b"\n")
        # A line without an end is cut, so that an engine cannot fill our memory with it.
        self._partial = rest[:ENGINE_STDERR_LINE_BYTES]
        self._lines.extend(_text(line) for line in whole if self._kept(line))

    def process_exited(self) -> None:
        assert self._transport is not None
        self.returncode = self._transport.get_returncode()
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._kept(self._partial):
            self._lines.append(_text(self._partial))
        # Called once the process has ended and its pipes have been read to their ends.
        self.drained.set()

    def _kept(self, line: bytes) -> bool:
        # Once it answers, its words may quote a request; a failed assertion quotes only itself.
        return bool(_ASSERTION.search(line) if self.ready.is_set() else line.strip())

    # ---- for the driver

    def tail(self) -> tuple[str, ...]:
        """The last lines of stderr, oldest first."""
        return tuple(self._lines)

    async def stop(self, grace_s: float) -> None:
        """End the whole group: TERM, after ``grace_s`` KILL; returns when none of it is left.

        Idempotent. Raises ``ENGINE_FAILED`` where the kernel does not end it (a driver that
        hangs): its memory must then be counted as taken.
        """
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await self._gone(grace_s)
        self._signal(signal.SIGKILL)
        try:
            await self._gone(_KILL_WAIT_S)
        except TimeoutError as error:
            raise HoldfastError(
                Code.ENGINE_FAILED, f"Engine process {self.pid} does not end, not even by KILL."
            ) from error
        finally:
            if self._transport is not None:
                self._transport.close()

    async def _gone(self, deadline_s: float) -> None:
        async with asyncio.timeout(deadline_s):
            await self.exited.wait()
            # A sandbox's own process may end before the engine inside it.
            while _group_alive(self.pid):  # noqa: ASYNC110 - the kernel tells no event for a group
                await asyncio.sleep(_LOOK_EVERY_S)
        self._group_ended = True

    def _signal(self, number: signal.Signals) -> None:
        # The group keeps its number while any of its members lives; afterwards it may be a
        # stranger's.
        if not self._group_ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


async def spawn(argv: tuple[str, ...], env: dict[str, str], cwd: str) -> EngineProcess:
    """Return the started process; raises ``ENGINE_FAILED`` where it cannot be started."""
    loop = asyncio.get_running_loop()
    try:
        _, process = await loop.subprocess_exec(
            EngineProcess,
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise HoldfastError(
            Code.ENGINE_FAILED, f"{argv[0]} cannot be started: {error.strerror}."
        ) from error
    return process


def group_members(group: int) -> tuple[int, ...]:
    """Return the pids of the processes of ``group`` that are no zombies."""
    members = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name may hold spaces and brackets; state, parent and group follow the last one.
            stat = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(stat[2]) == group and stat[0] not in ("Z", "X"):
                members.append(int(entry.name))
    return tuple(members)


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # Zombies that nobody reaps (a container without init) still answer to the signal.
    return bool(group_members(group))


def _text(line: bytes) -> str:
    return line[:ENGINE_STDERR_LINE_BYTES].decode("utf-8", "replace").rstrip()
