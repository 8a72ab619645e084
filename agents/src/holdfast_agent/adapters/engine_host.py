"""The engines of a node: one subprocess a slot, started, probed, watched and ended here.

Each slot has one task; stopping a slot cancels its task, ends the process and says so. What came
of it goes back to the core as inputs, never as exceptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.messages import Placement

from holdfast_agent.adapters.artifacts import ModelFiles
from holdfast_agent.engines.port import EngineDriver, EngineHandle
from holdfast_agent.engines.probe_runner import run_probes
from holdfast_agent.logic import io
from holdfast_agent.logic.launch import LaunchRequest

READY_BASE_S = 30.0
READY_BYTES_PER_S = 200_000_000
PROBES_S = 120.0

_log = logging.getLogger("holdfast.agent")


@dataclass
class _Running:
    attempt: int
    task: asyncio.Task[None]
    handle: EngineHandle | None = None


class EngineHost:
    """Owner of every engine process of this node."""

    def __init__(
        self, driver: EngineDriver, runtime: Path, tell: Callable[[io.Input], None]
    ) -> None:
        self._driver = driver
        self._runtime = runtime
        self._tell = tell
        self._running: dict[str, _Running] = {}

    def start(self, group: asyncio.TaskGroup, order: io.StartEngine, files: ModelFiles) -> None:
        """Begin to load; ``EngineReady`` or ``Failed`` follows."""
        slot = order.placement.slot
        task = group.create_task(self._run(order, files), name=f"engine {slot}")
        self._running[slot] = _Running(attempt=order.attempt, task=task)

    async def stop(self, order: io.StopEngine) -> None:
        """End the slot's engine, whatever it was doing; ``EngineStopped`` follows."""
        running = self._running.pop(order.slot, None)
        if running is not None:
            running.task.cancel()
            ended = running.handle is None or await self._end(running.handle, order.grace_s)
            with contextlib.suppress(asyncio.CancelledError):
                await running.task
            if not ended:
                return  # its memory is still taken, so nobody is told that it is free
        self._tell(io.EngineStopped(slot=order.slot, attempt=order.attempt))

    async def close(self) -> None:
        """End every engine: the agent is going."""
        for slot in list(self._running):
            running = self._running.pop(slot)
            running.task.cancel()
            if running.handle is not None:
                await self._end(running.handle, 1.0)

    async def _end(self, handle: EngineHandle, grace_s: float) -> bool:
        """End an engine; tell whether it ended. A driver that hangs must not end the agent."""
        try:
            await self._driver.stop(handle, grace_s)
        except HoldfastError as error:
            _log.error("%s", error.message)
            return False
        return True

    async def _run(self, order: io.StartEngine, files: ModelFiles) -> None:
        slot = order.placement.slot
        handle: EngineHandle | None = None
        try:
            handle = await self._start(order, files)
            await self._become_ready(order, files, handle)
            await handle.wait_ended()
            diagnosis = self._driver.diagnose(handle)
            failure = (diagnosis.code.value, diagnosis.message)
        except HoldfastError as error:
            failure = (error.code.value, error.message)
        finally:
            # A cancelled or failed load must not leave its process behind either.
            if handle is not None:
                await asyncio.shield(self._end(handle, 0.0))
        current = self._running.get(slot)
        if current is not None and current.attempt == order.attempt:
            del self._running[slot]
        self._tell(io.Failed(slot=slot, attempt=order.attempt, code=failure[0], message=failure[1]))

    async def _start(self, order: io.StartEngine, files: ModelFiles) -> EngineHandle:
        spec = self._driver.plan(self._request(order.placement, files))
        handle = await self._driver.start(spec)
        running = self._running.get(order.placement.slot)
        if running is not None:
            running.handle = handle
        return handle

    async def _become_ready(
        self, order: io.StartEngine, files: ModelFiles, handle: EngineHandle
    ) -> None:
        slot, started_s = order.placement.slot, time.monotonic()
        size_bytes = await asyncio.to_thread(os.path.getsize, files.weights)
        await self._driver.ready(handle, READY_BASE_S + size_bytes / READY_BYTES_PER_S)
        self._tell(io.EngineProbing(slot=slot, attempt=order.attempt))
        await run_probes(handle.socket, files.probes, PROBES_S)
        stats = await self._driver.stats(handle)
        self._tell(
            io.EngineReady(
                slot=slot,
                attempt=order.attempt,
                socket=str(handle.socket),
                memory_bytes=stats.memory_bytes,
                load_seconds=round(time.monotonic() - started_s, 3),
            )
        )

    def _request(self, placement: Placement, files: ModelFiles) -> LaunchRequest:
        # Short, because a socket's path has 107 bytes at most; hashed, so that no two slots meet.
        run_dir = self._runtime / "e" / hashlib.sha256(placement.slot.encode()).hexdigest()[:12]
        real = placement.device.startswith(("GPU-", "MIG-")) and not placement.device.startswith(
            "GPU-sim-"
        )
        return LaunchRequest(
            slot=placement.slot,
            alias=placement.alias,
            weights=str(files.weights),
            run_dir=str(run_dir),
            operations=placement.operations,
            settings=placement.settings,
            gpu_uuids=(placement.device,) if real else (),
        )
