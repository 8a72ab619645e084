"""Requests that run on this node's engines: the answer, its keep-alives, cancel and deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from holdfast_protocol.bus.port import Core
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import COALESCE_S, KEEP_ALIVE_S
from holdfast_protocol.messages import LocalSlot, Operation

from holdfast_agent.gateway.engine import Infer
from holdfast_agent.gateway.tally import Tally
from holdfast_agent.gateway.world import World
from holdfast_agent.logic.engine_answer import Usage
from holdfast_agent.logic.gateway import headers
from holdfast_agent.logic.gateway.dedupe import RequestKey, Seen

_TICK_S: Final = KEEP_ALIVE_S / 4


class Run:
    """One request that runs; ``deadline`` is on the loop's clock."""

    def __init__(self, key: RequestKey, reply: str, *, stream: bool, deadline: float) -> None:
        self.key = key
        self.reply = reply
        self.stream = stream
        self.deadline = deadline
        self.cancelled = False
        self.stopped: HoldfastError | None = None
        self.seq = 0
        self.sent_at = 0.0
        self._scope: asyncio.Timeout | None = None

    def cancel(self) -> None:
        """End the work now; the answer's last message says so. Idempotent."""
        self.cancelled = True
        self._end()

    def stop(self, why: HoldfastError) -> None:
        """End the work now, for ``why``. Idempotent."""
        self.stopped = why
        self._end()

    def _end(self) -> None:
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    @contextlib.asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Raise ``DEADLINE``, ``CANCELLED`` or what it was stopped for, when that comes first."""
        try:
            async with asyncio.timeout_at(self.deadline) as self._scope:
                if self.cancelled or self.stopped is not None:
                    self._end()
                yield
        except TimeoutError as error:
            if self.stopped is not None:
                raise self.stopped from error
            code = Code.CANCELLED if self.cancelled else Code.DEADLINE
            raise HoldfastError(code, f"Request {self.key.request} ended early.") from error
        finally:
            self._scope = None


class Runs:
    """Everything that runs here, by (application, request id)."""

    def __init__(self, bus: Core, infer: Infer, tally: Tally, world: World) -> None:
        self.seen = Seen()
        self.idle = asyncio.Event()
        self.idle.set()
        self._bus = bus
        self._infer = infer
        self._tally = tally
        self._world = world
        self._running: dict[RequestKey, tuple[Run, LocalSlot]] = {}
        world.watchers.append(self._stop_denied)

    def cancel(self, key: RequestKey) -> bool:
        """End a request that runs here; tells whether it did."""
        run, _ = self._running.get(key, (None, None))
        if run is None:
            return False
        run.cancel()
        return True

    def _stop_denied(self) -> None:
        """End what officers stopped, at once: neither a drain nor a deadline stands above that."""
        for run, slot in self._running.values():
            why = self._world.stopped(slot)
            if why is not None:
                run.stop(why)

    async def execute(self, run: Run, slot: LocalSlot, op: Operation, body: bytes) -> None:
        """Answer ``run`` from ``slot``, whatever becomes of it; the caller owns the slot's place.

        Every request ends with exactly one last message, except where the bus itself is gone.
        """
        self._running[run.key] = (run, slot)
        self.idle.clear()
        self.seen.begin(run.key, run.reply)
        try:
            async with run.bounded():
                whole, usage = await self._answer(run, slot, op, body)
            # Outside the bounds: neither deadline nor cancel may make a second last message.
            await self._bus.publish(run.reply, whole, headers.last(slot.digest, usage))
            self._tally.answered += 1
        except HoldfastError as error:
            self._tally.failed += 1
            why = await self._why(error, slot)
            with contextlib.suppress(HoldfastError):
                # Where even this cannot be sent the connection is gone, and the caller knows.
                await self._fail(run, why, slot.digest)
        finally:
            del self._running[run.key]
            if not self._running:
                self.idle.set()
            self.seen.end(run.key)

    async def keep_alive(self) -> None:
        """Tell the callers of quiet streams that their request is alive; for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_S)
            for run, _ in list(self._running.values()):
                if run.stream and loop.time() - run.sent_at >= KEEP_ALIVE_S - _TICK_S:
                    run.sent_at = loop.time()
                    with contextlib.suppress(HoldfastError):
                        await self._bus.publish(run.reply, b"", {headers.KEEP_ALIVE: "1"})

    async def _answer(
        self, run: Run, slot: LocalSlot, op: Operation, body: bytes
    ) -> tuple[bytes, Usage | None]:
        """Return the body of the last message, empty for a stream, and the usage."""
        loop = asyncio.get_running_loop()
        run.sent_at = loop.time()
        left_s = max(0.0, run.deadline - loop.time())
        coalesce_s = COALESCE_S if run.stream else 0.0
        usage: Usage | None = None
        whole = b""
        chunks = self._infer(Path(slot.socket), op, body, left_s, coalesce_s)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                usage = chunk.usage or usage
                if run.stream:
                    await self._send(run, chunk.objects)
                else:
                    whole += b"".join(chunk.objects)
        if not run.stream and not whole:
            raise HoldfastError(Code.ENGINE_FAILED, "The engine answered with nothing.")
        return whole, usage

    async def _why(self, error: HoldfastError, slot: LocalSlot) -> HoldfastError:
        """Return what to tell: an engine that failed may have been stopped by an officer's act.

        The agent reads of a denial first and ends the engine before this gateway has looked.
        """
        if error.code is not Code.ENGINE_FAILED:
            return error
        await self._world.look_again()
        return self._world.stopped(slot) or error

    async def _send(self, run: Run, objects: tuple[bytes, ...]) -> None:
        if not objects:
            return
        await self._bus.publish(
            run.reply, b"[" + b",".join(objects) + b"]", {headers.SEQ: str(run.seq)}
        )
        run.seq += 1
        run.sent_at = asyncio.get_running_loop().time()

    async def _fail(self, run: Run, error: HoldfastError, digest: str) -> None:
        told, body = headers.failed(error, digest=digest)
        await self._bus.publish(run.reply, body, told)
