"""Ask an engine of this machine: all one needs to know is its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from holdfast_protocol.messages import Operation

from holdfast_agent.engines.http import EngineConnection
from holdfast_agent.logic.engine_answer import TARGETS, EngineChunk, Usage, chunk_of, refusal
from holdfast_agent.logic.engine_stream import Events

__all__ = ["EngineChunk", "Usage", "infer"]


async def infer(
    socket: Path, op: Operation, body: bytes, timeout_s: float, coalesce_s: float = 0.0
) -> AsyncGenerator[EngineChunk, None]:
    """Yield the engine's answer to ``body``, an OpenAI-shaped JSON request.

    With ``"stream": true`` in the body: one chunk per read, the first token at once and the next
    ones collected for ``coalesce_s``; else one final chunk with the whole answer. The last chunk is
    ``final``; an answer that breaks off raises instead. Closing the generator (``aclose``, or
    leaving the loop within ``contextlib.aclosing``) ends the request in the engine.

    Raises ``TOO_LARGE``, ``OPERATION_UNSUPPORTED``, ``BAD_REQUEST``, ``DEADLINE`` and
    ``ENGINE_FAILED``.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    with EngineConnection(socket, deadline) as connection:
        head = await connection.ask("POST", TARGETS[op], body)
        if head.status != 200:
            raise refusal(head.status, await connection.read_all(), op)
        if not head.events:
            whole = await connection.read_all()
            yield chunk_of([whole], operation=op, final=True)
            return
        events = Events()
        while not events.done:
            content = await connection.read()
            if not content:
                # The engine's streams end by a mark; without it the answer was cut off.
                raise refusal(502, b'{"error":"the stream broke off"}', op)
            ready = events.feed(content)
            if ready or events.done:
                yield chunk_of(ready, operation=op, final=events.done)
            if not events.done:
                # Also without coalescing: an engine that floods us must not own the loop.
                await asyncio.sleep(coalesce_s if ready else 0)
