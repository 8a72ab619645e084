"""Which requests this gateway runs or ran: a forwarded one may arrive twice and runs once.

A request is known by (application, id). The same id with the same reply subject is the same
request sent again; with another one it is the application using an id twice.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, NamedTuple

from holdfast_protocol.limits import SEEN_REQUESTS

Verdict = Literal["new", "again", "taken"]
State = Literal["running", "done", "unknown"]


class RequestKey(NamedTuple):
    app: str
    request: str


class Seen:
    """Bounded memory of requests; running ones are never forgotten."""

    def __init__(self, most: int = SEEN_REQUESTS) -> None:
        self._most = most
        self._running: dict[RequestKey, str] = {}
        self._done: OrderedDict[RequestKey, str] = OrderedDict()

    def judge(self, key: RequestKey, reply: str) -> Verdict:
        """Return what a request under ``key`` that is answered to ``reply`` is."""
        running = self._running.get(key)
        if running is not None:
            return "again" if running == reply else "taken"
        return "again" if self._done.get(key) == reply else "new"

    def begin(self, key: RequestKey, reply: str) -> None:
        """Remember that the request runs; call :meth:`judge` first."""
        self._done.pop(key, None)
        self._running[key] = reply

    def end(self, key: RequestKey) -> None:
        """Remember that the request was answered, whichever way."""
        reply = self._running.pop(key, None)
        if reply is None:
            return
        self._done[key] = reply
        while len(self._done) > self._most:
            self._done.popitem(last=False)

    def state(self, key: RequestKey) -> State:
        """Return what became of a request."""
        if key in self._running:
            return "running"
        return "done" if key in self._done else "unknown"
