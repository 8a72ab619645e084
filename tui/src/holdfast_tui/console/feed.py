"""Keeps what is known of the site up to date: one whole look a second, over one connection.

The screens never see the bus: this task writes what it heard into one place, and no more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from holdfast_protocol.api import Nothing, RequestsAnswer
from holdfast_protocol.bus.port import Core
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.views import (
    DeploymentsAnswer,
    EventsAnswer,
    EventsQuery,
    GpusAnswer,
    ModelsAnswer,
    NodesAnswer,
    StatusAnswer,
)

from holdfast_tui.client import Client
from holdfast_tui.invocation import CONNECT_S, Invocation
from holdfast_tui.logic.console.known import Known, Picture, failed, heard

LOOK_EVERY_S: Final = 1.0
LOOK_ANSWER_S: Final = 3.0
EVENTS_AT_FIRST: Final = 500


class Feed:
    """Runs :meth:`run`; ``known`` is what it has heard so far."""

    def __init__(self, one: Invocation, clock: Callable[[], float] = time.monotonic) -> None:
        self.known = Known()
        self._one = one
        self._clock = clock

    async def run(self) -> None:
        """Look for ever; a site that is away is waited for and said to be away."""
        while True:
            try:
                bus = await self._connect()
                try:
                    await self._look_on(bus)
                finally:
                    await bus.close()
            except HoldfastError as error:
                self.known = failed(self.known, error)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _connect(self) -> Core:
        folder = self._one.site.identity(self._one.person)
        return await self._one.connect(folder, f"console {self._one.person}", CONNECT_S)

    async def _look_on(self, bus: Core) -> None:
        """Look on one connection for as long as it lasts; the bus reconnects by itself."""
        client = Client(bus, self._one.site.identity(self._one.person).name)
        while True:
            try:
                picture = await look(client, self.known)
                self.known = heard(self.known, picture, self._clock())
            except HoldfastError as error:
                self.known = failed(self.known, error)
            await asyncio.sleep(LOOK_EVERY_S)


async def look(client: Client, known: Known) -> Picture:
    """Return one whole look at the site; its events are those after the last one known."""
    events = () if known.picture is None else known.picture.events
    query = EventsQuery(after=events[-1].seq if events else None, limit=EVENTS_AT_FIRST)
    wait_s = LOOK_ANSWER_S
    status = await client.call("site.status", Nothing(), StatusAnswer, answer_s=wait_s)
    nodes = await client.call("nodes.list", Nothing(), NodesAnswer, answer_s=wait_s)
    gpus = await client.call("gpus.list", Nothing(), GpusAnswer, answer_s=wait_s)
    models = await client.call("models.list", Nothing(), ModelsAnswer, answer_s=wait_s)
    alias = await client.call("deployments.list", Nothing(), DeploymentsAnswer, answer_s=wait_s)
    requests = await client.call("requests.list", Nothing(), RequestsAnswer, answer_s=wait_s)
    later = await client.call("events.list", query, EventsAnswer, answer_s=wait_s)
    return Picture(
        status=status,
        nodes=nodes.nodes,
        gpus=gpus.gpus,
        models=models.models,
        deployments=alias.deployments,
        requests=requests.requests,
        events=later.events,
    )
