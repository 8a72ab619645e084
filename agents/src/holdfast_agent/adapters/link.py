"""The agent's link to its site: desired documents in, reports and events out, trust on request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import TimeoutError as FutureTimeout

from holdfast_bundles.site.fetch import Unreachable
from holdfast_protocol import subjects
from holdfast_protocol.bus.port import Bus, Message, State
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import DESIRED_POLL_S
from holdfast_protocol.messages import Report, TrustAnswer, TrustQuery

from holdfast_agent.adapters.spool import Spool, message_id

TRUST_ANSWER_S = 5.0
SPOOL_EVERY_S = 0.25


class Link:
    """What one node says and hears on CONTROL."""

    def __init__(self, bus: Bus, node: str, domain: str, spool: Spool) -> None:
        self._bus = bus
        self._node = node
        self._domain = domain
        self.spool = spool
        self._poll_now = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether messages flow now."""
        return self._bus.state is State.CONNECTED

    def reconnected(self) -> None:
        """After a new connection: what was pushed meanwhile must be read anew."""
        self._poll_now.set()

    async def follow_desired(self, arrived: Callable[[bytes], None]) -> None:
        """Hand every desired document on: pushed, and read at the start and every 30 s."""

        async def pushed(message: Message) -> None:
            arrived(message.body)

        await self._bus.subscribe(subjects.desired(self._node), pushed)
        while True:
            self._poll_now.clear()
            try:
                last = await self._bus.last_value(
                    self._domain, subjects.DESIRED_STREAM, subjects.desired(self._node)
                )
            except HoldfastError:
                last = None  # not reached; the next round or a push brings it
            if last is not None:
                arrived(last)
            try:
                async with asyncio.timeout(DESIRED_POLL_S if last is not None else 1.0):
                    await self._poll_now.wait()
            except TimeoutError:
                continue

    async def report(self, report: Report) -> None:
        """Publish a report; while the link is down it is dropped, the next one says it all."""
        if self.connected:
            await self._bus.publish(subjects.heartbeat(self._node), encode(report))

    async def drain_spool(self) -> None:
        """Hand spooled events to the stream, oldest first, for ever."""
        while True:
            waiting = self.spool.oldest()
            if waiting is None or not self.connected:
                await asyncio.sleep(SPOOL_EVERY_S)
                continue
            name, event = waiting
            try:
                await self._bus.stream_publish(
                    subjects.event(self._node, event.kind), encode(event), message_id(event)
                )
            except HoldfastError:
                await asyncio.sleep(1.0)
                continue
            self.spool.remove(name)

    async def role_file(self, name: str) -> bytes | None:
        """Return a role file of the site's trust, None where there is none."""
        answer = await self._bus.request(
            subjects.tuf(self._node), encode(TrustQuery(name=name)), timeout_s=TRUST_ANSWER_S
        )
        return decode(answer.body, TrustAnswer).content

    def role_file_from_thread(self, loop: asyncio.AbstractEventLoop, name: str) -> bytes | None:
        """As :meth:`role_file`, for the synchronous verifier; raises ``Unreachable``."""
        future = asyncio.run_coroutine_threadsafe(self.role_file(name), loop)
        try:
            return future.result(TRUST_ANSWER_S + 1.0)
        except (HoldfastError, FutureTimeout, FutureCancelled) as error:
            future.cancel()
            raise Unreachable(f"{name} could not be asked for: {error}") from error
