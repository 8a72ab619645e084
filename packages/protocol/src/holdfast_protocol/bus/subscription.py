"""A subscription: hands messages to handler tasks within bounds, and knows when it is idle.

The reader of the connection only calls :meth:`Subscription.deliver`, which never blocks and never
raises: one slow or broken handler must not stop the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast_protocol.bus.port import Handler, Message, Pending


class Subscription:
    """Interest in a subject; ``dropped`` counts messages beyond the bounds."""

    def __init__(self, subject: str, queue: str, handler: Handler, pending: Pending) -> None:
        self.subject = subject
        self.queue = queue
        self.dropped = 0
        self.failed = 0
        self._handler = handler
        self._pending = pending
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._none_waits = asyncio.Event()
        self._none_waits.set()

    def deliver(self, message: Message) -> None:
        """Start the handler, or let the message wait, or drop it beyond the bounds."""
        if len(self._running) < self._pending.running:
            self._start(message)
            return
        size = len(message.body)
        full = len(self._waiting) >= self._pending.waiting
        if full or self._waiting_bytes + size > self._pending.waiting_bytes:
            self.dropped += 1
            return
        self._waiting.append(message)
        self._waiting_bytes += size
        self._none_waits.clear()

    async def started(self) -> None:
        """Return when every delivered message was handed to the handler."""
        await self._none_waits.wait()

    async def idle(self) -> None:
        """Return when no handler runs and no message waits."""
        await self._idle.wait()

    async def cancel(self) -> None:
        """Forget what waits and end the handlers."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self._none_waits.set()
        current = asyncio.current_task()
        tasks = [task for task in self._running if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, message: Message) -> None:
        task = asyncio.ensure_future(self._handle(message))
        self._running.add(task)
        self._idle.clear()
        task.add_done_callback(self._done)

    async def _handle(self, message: Message) -> None:
        await self._handler(message)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed += 1
            # A handler answers its expected errors itself, so this is a defect: the loop's own
            # handler reports it, and the program's shell decides whether the process ends.
            asyncio.get_running_loop().call_exception_handler(
                {
                    "message": f"A handler of {self.subject} failed.",
                    "exception": error,
                    "task": task,
                }
            )
        if self._waiting:
            message = self._waiting.popleft()
            self._waiting_bytes -= len(message.body)
            self._start(message)
        if not self._waiting:
            self._none_waits.set()
        if not self._running:
            self._idle.set()
