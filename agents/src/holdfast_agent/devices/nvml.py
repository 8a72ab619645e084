"""NVIDIA's GPUs, as the helper process tells: nothing of the driver runs in the agent's loop.

A helper that says nothing for ``NVML_SILENCE_S`` is killed, one that ended is started again with
growing pauses; meanwhile its GPUs are in the list with health ``unknown`` and without numbers. All
of this happens inside :meth:`NvmlDevices.read`, from the state, so there is no task to watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from holdfast_protocol import codec
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import NVML_BACKOFF_MAX_S, NVML_LINE_BYTES, NVML_SILENCE_S
from holdfast_protocol.messages import Device

from holdfast_agent.devices.nvml_wire import GpuSample, NvmlSample
from holdfast_agent.logic.gpu_health import GpuHealth, GpuSigns, judge

_HELPER: Final = "holdfast_agent.devices.nvml_helper"
_FIRST_SAMPLE_S: Final = 3.0
_CLOSE_S: Final = 1.0
_BACKOFF_FIRST_S: Final = 1.0


class NvmlTiming(msgspec.Struct, frozen=True, kw_only=True):
    """How often the helper samples, and when its silence is a fault."""

    every_s: float = 1.0
    silence_s: float = NVML_SILENCE_S
    backoff_first_s: float = _BACKOFF_FIRST_S
    backoff_max_s: float = NVML_BACKOFF_MAX_S


class NvmlDevices:
    """The provider of NVIDIA GPUs; owns the helper process."""

    def __init__(
        self,
        timing: NvmlTiming | None = None,
        env: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``env`` is the helper's environment, by default ours; ``clock`` counts seconds."""
        self._timing = timing or NvmlTiming()
        self._env = dict(os.environ if env is None else env)
        self._clock = clock
        self._helper: _Helper | None = None
        self._heard_at = 0.0
        self._start_at = 0.0
        self._backoff_s = self._timing.backoff_first_s
        self._last: NvmlSample | None = None
        self._fresh = False
        self._health: dict[str, GpuHealth] = {}
        self.starts = 0

    async def read(self) -> list[Device]:
        """Return the GPUs: none where there is no driver, health ``unknown`` where it is silent."""
        await self._tend()
        last = self._last
        if last is None:
            return []
        return [self._device(gpu, last.driver) for gpu in last.gpus]

    async def close(self) -> None:
        """End the helper; idempotent. One that hangs in the driver is left to the kernel."""
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await helper.exited.wait()
            helper.let_go()

    async def _tend(self) -> None:
        if self._helper is None and self._clock() >= self._start_at:
            await self._start()
        helper = self._helper
        if helper is None:
            return
        if helper.exited.is_set():
            self._give_up(helper)
        elif self._clock() - self._heard_at > self._timing.silence_s:
            # Hung in the driver. It may not even die; another one is started only once it has,
            # so that there is never a heap of them.
            self._fresh = False
            helper.kill()

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        argv = (sys.executable, "-m", _HELPER)
        options = ("--parent", str(os.getpid()), "--every", str(self._timing.every_s))
        try:
            _, helper = await loop.subprocess_exec(
                lambda: _Helper(self._accept),
                *argv,
                *options,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._env,
                start_new_session=True,
            )
        except OSError:
            self._pause()
            return
        self._helper = helper
        self.starts += 1
        self._heard_at = self._clock()
        # The first report of a node should name its GPUs; a silent driver may not hold it up.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(_FIRST_SAMPLE_S, self._timing.silence_s)):
                await helper.spoke.wait()

    def _accept(self, sample: NvmlSample) -> None:
        # At once, not at the next read: no fault may be lost because nobody read for a while.
        self._heard_at = self._clock()
        if sample.status == "failed":
            self._fresh = False
            return
        self._last = sample
        self._fresh = True
        if sample.status == "ok":
            self._backoff_s = self._timing.backoff_first_s
        for gpu in sample.gpus:
            signs = GpuSigns(
                lost=gpu.lost,
                recovery_action=gpu.recovery_action,
                rows_failed=gpu.rows_failed,
                xids=gpu.xids,
            )
            self._health[gpu.uuid] = judge(self._health.get(gpu.uuid, GpuHealth()), signs)

    def _give_up(self, helper: _Helper) -> None:
        helper.let_go()
        self._helper = None
        self._fresh = False
        if self._last is not None and self._last.status == "absent":
            # A driver seldom appears; looking costs the start of a program.
            self._backoff_s = self._timing.backoff_max_s
        self._pause()

    def _pause(self) -> None:
        self._start_at = self._clock() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, self._timing.backoff_max_s)

    def _device(self, gpu: GpuSample, driver: str | None) -> Device:
        known = self._fresh and not gpu.lost
        health = self._health[gpu.uuid].health if self._fresh else "unknown"
        if known and gpu.memory_total_bytes is None and health == "ok":
            # Without its size nothing can be placed on it.
            health = "unknown"
        return Device(
            uuid=gpu.uuid,
            kind="gpu",
            name=gpu.name,
            memory_total_bytes=gpu.memory_total_bytes or 0,
            memory_used_bytes=gpu.memory_used_bytes if known else None,
            utilization_percent=gpu.utilization_percent if known else None,
            temperature_c=gpu.temperature_c if known else None,
            power_mw=gpu.power_mw if known else None,
            health=health,
            driver=driver,
            compute_capability=gpu.compute_capability,
            index=gpu.index,
            features=gpu.features,
        )


class _Helper(asyncio.SubprocessProtocol):
    """The helper's side of the pipe: whole lines, capped, each handed on as it comes."""

    def __init__(self, accept: Callable[[NvmlSample], None]) -> None:
        self._accept = accept
        self.spoke = asyncio.Event()
        self.exited = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None
        self._partial = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > NVML_LINE_BYTES:
            self._partial = b""
            self.kill()
        for line in lines:
            # What does not fit is as good as silence.
            with contextlib.suppress(HoldfastError):
                self._accept(codec.decode(line, NvmlSample))
                self.spoke.set()

    def connection_lost(self, exc: Exception | None) -> None:
        # After the last line has been read: a helper that says why it ends is heard.
        self.spoke.set()
        self.exited.set()

    def kill(self) -> None:
        """Send KILL; idempotent."""
        if self._transport is not None and not self.exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL)

    def let_go(self) -> None:
        """Close the pipe."""
        if self._transport is not None:
            self._transport.close()
