"""A hub with applications and connections that end with it, for the tests of borders and claims."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from holdfast_protocol.bus.nats_bus import NatsBus, connect
from holdfast_protocol.bus.port import Message, StreamSpec
from holdfast_protocol.identity import permissions
from holdfast_protocol.identity.permissions import Permissions

from tests.contract.realm import Account, Broker, Realm, running

APPS = [("triage", "de"), ("ledger", "de"), ("radio", "fr")]
ANYTHING = Permissions(publish=(">",), subscribe=(">",))
DESIRED = StreamSpec(name="DES", subjects=("hf.v1.des.*",), size_bytes_max=1 << 20, last_value=True)


class Ear:
    """Remembers what a bus hears."""

    def __init__(self, bus: NatsBus, answer: bytes | None = None) -> None:
        self.heard: list[Message] = []
        self._bus = bus
        self._answer = answer

    async def __call__(self, message: Message) -> None:
        self.heard.append(message)
        if self._answer is not None and message.reply:
            await self._bus.publish(message.reply, self._answer)


class Site:
    """A hub in DE, and connections that end with it."""

    def __init__(self, realm: Realm, hub: Broker, stack: contextlib.AsyncExitStack) -> None:
        self.realm = realm
        self.hub = hub
        self._stack = stack

    async def bus(
        self, account: Account, who: str, rights: Permissions, broker: Broker | None = None
    ) -> NatsBus:
        folder = self.realm.identity(account, who, rights, broker or self.hub)
        return await self._stack.enter_async_context(await connect(folder, name=who))

    async def app(self, name: str, broker: Broker | None = None) -> NatsBus:
        rights = permissions.application(name)
        return await self.bus(self.realm.apps[name], name, rights, broker)

    async def gateway(
        self, node: str = "de-1", zone: str = "de", broker: Broker | None = None
    ) -> NatsBus:
        rights = permissions.gateway(node, [zone], ["de-2"])
        return await self.bus(self.realm.inference, node, rights, broker)


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Site]:
    """A running hub of DE."""
    realm = Realm(folder, APPS)
    hub = realm.broker("broker-de", zone="de")
    async with running(hub), contextlib.AsyncExitStack() as stack:
        yield Site(realm, hub, stack)
