"""Who waits for which answer: one inbox for all requests of a connection, keyed by a last token."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast_protocol.bus.port import Message, NoRespondersError
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import REPLIES_WAITING

NO_RESPONDERS = "503"


class Waiting:
    """One request's answers, in order, at most ``REPLIES_WAITING`` unread."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._answers: asyncio.Queue[Message | HoldfastError] = asyncio.Queue(REPLIES_WAITING)
        self._failed: HoldfastError | None = None

    def put(self, answer: Message) -> None:
        """Take an answer; an unread flood ends the request instead of losing a part silently."""
        if self._answers.full():
            self.fail(HoldfastError(Code.BUSY, f"Answers of {self.subject} come too fast."))
        elif not answer.body and answer.status == NO_RESPONDERS:
            self.fail(NoRespondersError(self.subject))
        else:
            self._answers.put_nowait(answer)

    def fail(self, error: HoldfastError) -> None:
        """End the request; answers that arrived before are still read."""
        if self._failed is None:
            self._failed = error
            if not self._answers.full():
                self._answers.put_nowait(error)

    async def get(self) -> Message:
        """Return the next answer; raises what ended the request."""
        if self._failed is not None and self._answers.empty():
            raise self._failed
        answer = await self._answers.get()
        if isinstance(answer, HoldfastError):
            raise answer
        return answer


class Replies:
    """All that waits for answers on one inbox."""

    def __init__(self, inbox_prefix: str) -> None:
        self._prefix = f"{inbox_prefix}.{secrets.token_hex(8)}"
        self._count = 0
        self._waiting: dict[str, Waiting] = {}

    @property
    def subject(self) -> str:
        """What the bus listens to."""
        return f"{self._prefix}.*"

    def new_inbox(self) -> str:
        """Return a fresh inbox of the same identity, for a subscription of its own."""
        self._count += 1
        return f"{self._prefix}.own.{self._count:x}"

    @contextmanager
    def waiting(self, subject: str) -> Iterator[tuple[str, Waiting]]:
        """Yield an inbox for one request and its answers; forgotten at the end."""
        self._count += 1
        token = f"{self._count:x}"
        waiting = self._waiting[token] = Waiting(subject)
        try:
            yield f"{self._prefix}.{token}", waiting
        finally:
            del self._waiting[token]

    def deliver(self, message: Message) -> None:
        """Give an answer to whoever waits for it; late ones are dropped."""
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is not None:
            waiting.put(message)

    def refuse(self, subject: str) -> None:
        """End requests to a subject (in lower case) that the broker does not let us publish."""
        for waiting in self._waiting.values():
            if waiting.subject.lower() == subject:
                waiting.fail(
                    HoldfastError(
                        Code.NOT_PERMITTED, f"The broker does not permit {waiting.subject}."
                    )
                )

    def fail_all(self, error: HoldfastError) -> None:
        """End everything that waits: the connection its answers would come on is gone."""
        for waiting in self._waiting.values():
            waiting.fail(error)
