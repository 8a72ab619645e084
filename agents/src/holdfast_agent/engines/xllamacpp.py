"""The driver of llama.cpp's own server, carried by xllamacpp: one model, one process, one socket.

Traps of the engine, each a regression test: it may hang when asked to end right after its start,
takes long to end while a stream is open, and refuses a model only on stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from holdfast_protocol import codec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import EngineSettings, Operation

from holdfast_agent.engines import http, local
from holdfast_agent.engines.port import Capabilities, EngineHandle, EngineInfo, EngineStats
from holdfast_agent.engines.process import EngineProcess, group_members, spawn
from holdfast_agent.logic import estimate as estimates
from holdfast_agent.logic import launch, metrics
from holdfast_agent.logic.diagnosis import Diagnosis, diagnose
from holdfast_agent.logic.engine_answer import EngineChunk

_OPERATIONS: Final[tuple[Operation, ...]] = ("chat", "complete", "embed")
_STATS_S: Final = 2.0
_DRAIN_LOOK_S: Final = 0.05
_LAST_WORDS_S: Final = 1.0
_WARM_COMPLETE: Final = codec.encode({"prompt": "a", "max_tokens": 1, "temperature": 0})
_WARM_EMBED: Final = codec.encode({"input": "a"})


class RunningEngine:
    """A started engine process with its socket."""

    def __init__(self, spec: launch.LaunchSpec, process: EngineProcess) -> None:
        self.spec = spec
        self.process = process
        self.cleared = False

    @property
    def slot(self) -> str:
        """The slot it was started for."""
        return self.spec.slot

    @property
    def socket(self) -> Path:
        """Where it answers once it is ready."""
        return Path(self.spec.socket)

    @property
    def pid(self) -> int:
        """The process that leads its group: the engine, or the sandbox around it."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return not self.process.exited.is_set()

    async def wait_ended(self) -> None:
        """Return when its process has ended, for whatever reason."""
        await self.process.exited.wait()


class XllamacppDriver:
    """Starts, asks and ends llama.cpp servers on this host."""

    def __init__(self, host: launch.EngineHost) -> None:
        self._host = host

    async def probe(self) -> EngineInfo:
        """Return the engine's version and capabilities; raises ``ENGINE_FAILED`` without it."""
        try:
            version = importlib.metadata.version("xllamacpp")
        except importlib.metadata.PackageNotFoundError as error:
            raise HoldfastError(
                Code.ENGINE_FAILED, "The engine xllamacpp is not installed on this node."
            ) from error
        return EngineInfo(
            name="xllamacpp",
            version=version,
            capabilities=Capabilities(
                operations=_OPERATIONS, formats=("gguf",), streams=True, cancels_on_close=True
            ),
            isolation=self._host.isolation,
        )

    def estimate(
        self, model: estimates.ModelHeader, settings: EngineSettings, *, gpu: bool
    ) -> estimates.Estimate:
        """Return the memory of one replica; pure."""
        return estimates.estimate(model, settings, gpu=gpu)

    def plan(self, request: launch.LaunchRequest) -> launch.LaunchSpec:
        """Return how a replica is started; pure. Raises as :func:`launch.plan`."""
        return launch.plan(request, self._host)

    async def start(self, spec: launch.LaunchSpec) -> RunningEngine:
        """Start the engine of ``spec``; the weights in it were verified by the caller.

        Raises ``ENGINE_FAILED`` where folder or process cannot be made.
        """
        try:
            _prepare(spec)
        except OSError as error:
            raise HoldfastError(
                Code.ENGINE_FAILED, f"The folder {spec.run_dir} cannot be prepared: {error}."
            ) from error
        argv = spec.argv
        if spec.isolation == "none":
            # bubblewrap ends its content with its parent; without it the launcher does.
            argv = (*argv, "--parent", str(os.getpid()))
        return RunningEngine(spec, await spawn(argv, dict(spec.env), spec.run_dir))

    async def ready(self, handle: EngineHandle, deadline_s: float) -> None:
        """Return once the engine has computed a first answer (one token, or one embedding).

        Raises the diagnosis (``FORMAT_REFUSED``, ``VRAM_DRIFT``, ``ENGINE_FAILED``) where it ends
        instead, ``DEADLINE`` where it does neither; the caller then stops it.
        """
        engine = _ours(handle)
        deadline = asyncio.get_running_loop().time() + deadline_s
        try:
            async with asyncio.timeout_at(deadline):
                await _either(engine.process.ready, engine.process.exited)
        except TimeoutError as error:
            raise HoldfastError(
                Code.DEADLINE, f"The engine of {handle.slot} was not ready in {deadline_s:g} s."
            ) from error
        if not engine.alive:
            raise await self._failure(engine)
        embeds = "embed" in engine.spec.operations
        op: Operation = "embed" if embeds else "complete"
        body = _WARM_EMBED if embeds else _WARM_COMPLETE
        left_s = max(0.1, deadline - asyncio.get_running_loop().time())
        try:
            async with contextlib.aclosing(self.infer(handle, op, body, left_s)) as answer:
                async for _ in answer:
                    pass
        except HoldfastError as error:
            if error.code is not Code.ENGINE_FAILED:
                raise
            raise await self._failure(engine) from error

    def infer(
        self, handle: EngineHandle, op: Operation, body: bytes, timeout_s: float
    ) -> AsyncGenerator[EngineChunk, None]:
        """Yield the answer as :func:`engines.local.infer`."""
        return local.infer(handle.socket, op, body, timeout_s)

    async def stats(self, handle: EngineHandle) -> EngineStats:
        """Return what the engine does now; raises ``ENGINE_FAILED`` or ``DEADLINE``."""
        status, body = await http.get(handle.socket, "/metrics", _STATS_S)
        if status != 200:
            raise HoldfastError(
                Code.ENGINE_FAILED, f"The engine of {handle.slot} tells no numbers: {status}."
            )
        numbers = metrics.parse(body.decode("utf-8", "replace"))
        return EngineStats(
            running=numbers.get("llamacpp:requests_processing"),
            waiting=numbers.get("llamacpp:requests_deferred"),
            tokens_out_total=numbers.get("llamacpp:tokens_predicted_total"),
            prompt_tokens_total=numbers.get("llamacpp:prompt_tokens_total"),
            memory_bytes=_resident_bytes(handle.pid),
        )

    async def drain(self, handle: EngineHandle, deadline_s: float) -> bool:
        """Return True once nothing runs or waits in the engine, False at the deadline."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        while handle.alive:
            stats = await self.stats(handle)
            if not stats.running and not stats.waiting:
                return True
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(_DRAIN_LOOK_S)
        return True

    async def stop(self, handle: EngineHandle, grace_s: float) -> None:
        """End the engine and all it started, and remove its folder; idempotent.

        Raises ``ENGINE_FAILED`` where the kernel does not end it.
        """
        engine = _ours(handle)
        await engine.process.stop(grace_s)
        # Once only: a second call may come when the slot's next engine lives in that folder.
        if not engine.cleared:
            engine.cleared = True
            shutil.rmtree(engine.spec.run_dir, ignore_errors=True)

    def diagnose(self, handle: EngineHandle) -> Diagnosis:
        """Return why the engine ended or does not answer, with its last words."""
        process = _ours(handle).process
        return diagnose(handle.slot, process.returncode, process.tail())

    async def _failure(self, engine: RunningEngine) -> HoldfastError:
        # The process may be gone before its last words have been read from the pipe.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await engine.process.drained.wait()
        found = self.diagnose(engine)
        return HoldfastError(found.code, found.message)


def _ours(handle: EngineHandle) -> RunningEngine:
    assert isinstance(handle, RunningEngine)
    return handle


def _prepare(spec: launch.LaunchSpec) -> None:
    folder = Path(spec.run_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    Path(spec.config_path).write_bytes(spec.config)


async def _either(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _resident_bytes(group: int) -> int | None:
    total = 0
    for pid in group_members(group):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            total += pages * os.sysconf("SC_PAGE_SIZE")
    return total or None
