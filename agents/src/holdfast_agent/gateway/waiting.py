"""Requests that wait for a free slot: in order, each with its deadline, each to be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator

from holdfast_protocol.errors import Code, HoldfastError

from holdfast_agent.gateway.request import Request
from holdfast_agent.logic.gateway.dedupe import RequestKey
from holdfast_agent.logic.gateway.hold import Hold, Pace


class Waiter:
    """One waiting request."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.cancelled = False
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let it look again."""
        self._woken.set()

    async def wait(self, at_most_s: float) -> None:
        """Return when woken or after ``at_most_s``; raises ``DEADLINE`` or ``CANCELLED``."""
        left_s = self.request.deadline - asyncio.get_running_loop().time()
        if left_s > 0 and not self.cancelled:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, at_most_s)):
                    await self._woken.wait()
        self._woken.clear()
        if self.cancelled:
            raise HoldfastError(Code.CANCELLED, f"{self.request.key.request} was cancelled.")
        if asyncio.get_running_loop().time() >= self.request.deadline:
            raise HoldfastError(Code.DEADLINE, f"{self.request.key.request} waited too long.")


class Line:
    """Who waits for one alias."""

    def __init__(self) -> None:
        self.hold: Hold[Waiter] = Hold()
        self.pace = Pace()

    def wake(self) -> None:
        """Let the first in line look again."""
        if self.hold.head is not None:
            self.hold.head.wake()


class Lines:
    """Lines by alias; empty ones are forgotten except for their pace."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self._lines: dict[str, Line] = {}
        self._waiters: dict[RequestKey, Waiter] = {}

    def line(self, alias: str) -> Line:
        """Return the line of a routed alias."""
        return self._lines.setdefault(alias, Line())

    def wake(self, alias: str) -> None:
        """A slot of ``alias`` is free."""
        if alias in self._lines:
            self._lines[alias].wake()

    def wake_all(self) -> None:
        """The world has changed."""
        for line in self._lines.values():
            line.wake()

    def cancel(self, key: RequestKey) -> bool:
        """End a waiting request; tells whether it waited."""
        waiter = self._waiters.get(key)
        if waiter is None:
            return False
        waiter.cancelled = True
        waiter.wake()
        return True

    @contextlib.contextmanager
    def standing(self, line: Line, waiter: Waiter) -> Iterator[None]:
        """Stand in line meanwhile."""
        line.hold.join(waiter)
        self._waiters[waiter.request.key] = waiter
        try:
            yield
        finally:
            line.hold.leave(waiter)
            del self._waiters[waiter.request.key]
            line.wake()
