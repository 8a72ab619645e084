"""The contract between the agent and an engine's driver.

What an engine can do stands in its capabilities; nobody asks for its name. Operations that an
engine lacks are absent from its capabilities and refused by ``OPERATION_UNSUPPORTED``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

import msgspec
from holdfast_protocol.messages import EngineSettings, Operation

from holdfast_agent.logic.diagnosis import Diagnosis
from holdfast_agent.logic.engine_answer import EngineChunk
from holdfast_agent.logic.estimate import Estimate, ModelHeader
from holdfast_agent.logic.launch import IsolationKind, LaunchRequest, LaunchSpec


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine can do beyond starting, answering and stopping."""

    operations: tuple[Operation, ...]
    formats: tuple[str, ...]
    streams: bool
    cancels_on_close: bool
    """A request ends in the engine when its connection is closed."""
    sleeps: bool = False
    adapters: bool = False
    drains_itself: bool = False


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine this node has, and how it is confined."""

    name: str
    version: str
    capabilities: Capabilities
    isolation: IsolationKind


class EngineStats(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine does now; unknown is ``None``."""

    running: int | None
    waiting: int | None
    tokens_out_total: int | None
    prompt_tokens_total: int | None
    memory_bytes: int | None
    """Resident memory of all its processes."""


class EngineHandle(Protocol):
    """A started engine. It may have ended by itself: see ``alive`` and ``wait_ended``."""

    @property
    def slot(self) -> str: ...

    @property
    def socket(self) -> Path: ...

    @property
    def pid(self) -> int: ...

    @property
    def alive(self) -> bool: ...

    async def wait_ended(self) -> None:
        """Return when the engine's process has ended, for whatever reason."""


class EngineDriver(Protocol):
    """One kind of engine. Deadlines are seconds from the call."""

    async def probe(self) -> EngineInfo:
        """Return what this node has; raises ``ENGINE_FAILED`` where the engine is unusable."""

    def estimate(self, model: ModelHeader, settings: EngineSettings, *, gpu: bool) -> Estimate:
        """Return the memory of one replica; pure."""

    def plan(self, request: LaunchRequest) -> LaunchSpec:
        """Return how a replica is started; pure. Raises as :func:`launch.plan`."""

    async def start(self, spec: LaunchSpec) -> EngineHandle:
        """Start the engine on weights that were verified already; returns before it is ready."""

    async def ready(self, handle: EngineHandle, deadline_s: float) -> None:
        """Return once it has computed an answer; raises what :meth:`diagnose` says, or
        ``DEADLINE``. May be called again at any time, to see whether it still computes."""

    def infer(
        self, handle: EngineHandle, op: Operation, body: bytes, timeout_s: float
    ) -> AsyncGenerator[EngineChunk, None]:
        """Yield the answer as :func:`engines.local.infer`."""

    async def stats(self, handle: EngineHandle) -> EngineStats:
        """Return what it does now; raises ``ENGINE_FAILED`` where it does not say."""

    async def drain(self, handle: EngineHandle, deadline_s: float) -> bool:
        """Return True once nothing runs or waits in it, False at the deadline.

        Whoever sends it requests stops first; nothing is refused here.
        """

    async def stop(self, handle: EngineHandle, grace_s: float) -> None:
        """End it and everything it started; idempotent. Close the connections to it first."""

    def diagnose(self, handle: EngineHandle) -> Diagnosis:
        """Return why it ended or does not answer, with its last words."""
