"""The port through which the gateway asks an engine; ``engines.local.infer`` is the real one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

from holdfast_protocol.messages import Operation

from holdfast_agent.logic.engine_answer import EngineChunk


class Infer(Protocol):
    """Asks the engine behind a socket."""

    def __call__(
        self,
        socket: Path,
        op: Operation,
        body: bytes,
        timeout_s: float,
        coalesce_s: float = 0.0,
    ) -> AsyncGenerator[EngineChunk, None]:
        """Yield the answer; closing the generator ends the request in the engine."""
        ...
