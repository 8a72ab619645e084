"""What the gateway knows: the route table, its node's slots and the site's trust.

One owner: the shell hands in bytes and views, everybody else reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from holdfast_protocol.codec import decode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import GatewayState, LocalSlot, RouteTarget

from holdfast_agent.gateway.policy import PolicyInForce
from holdfast_agent.logic.gateway.decide import Trust
from holdfast_agent.logic.gateway.table import EMPTY, Table, adopt, local_slots
from holdfast_agent.logic.stamp import Stamp


class World:
    """Latest verified state; each of ``watchers`` is called after every change.

    ``look_again`` reads the trust anew, for whoever must know what stands this very moment.
    """

    def __init__(self, node: str, controller_key: bytes, trust: Trust) -> None:
        self.node = node
        self.table: Table = EMPTY
        self.slots: dict[str, LocalSlot] = {}
        self.trust: Trust = trust
        self.policy: PolicyInForce | None = None
        """Follows the trust; None where another policy was wired."""
        self.watchers: list[Callable[[], None]] = []
        self.look_again: Callable[[], Awaitable[None]] = _as_it_is
        self.floor: Stamp | None = None
        """The newest document followed before this start."""
        self.remember: Callable[[Stamp], None] = _forgotten
        self._controller_key = controller_key

    def take_state(self, data: bytes) -> HoldfastError | None:
        """Take the agent's state; returns why its document was not taken, if it was not.

        Slots are the agent's own word about this machine and always taken; a document only as
        :func:`table.adopt` allows. Raises ``BAD_REQUEST`` for what is no state.
        """
        state = decode(data, GatewayState)
        self.slots = local_slots(state.slots)
        refused: HoldfastError | None = None
        if state.document is not None:
            try:
                self._follow(state.document)
            except HoldfastError as error:
                refused = error
        self._changed()
        return refused

    def _follow(self, document: bytes) -> None:
        table = adopt(self.table, self.node, document, self._controller_key, self.floor)
        if table is not self.table and table.stamp is not None:
            # Kept before it is followed: a crash in between must not open the way back.
            self.remember(table.stamp)
        self.table = table

    def take_trust(self, trust: Trust) -> None:
        """Take a newer view of the site's trust."""
        self.trust = trust
        self._changed()

    def revoked(self) -> bool:
        """Tell whether officers took this node's certificate away; False while nothing is known."""
        return self.trust.usable and self.trust.node(self.node) is None

    def stopped(self, slot: LocalSlot) -> HoldfastError | None:
        """Return why officers stopped what runs on ``slot``; None while it may go on."""
        if not self.trust.usable:
            return None
        if self.trust.model_denied(slot.digest):
            return HoldfastError(Code.DENIED_MODEL, f"The model of {slot.alias} is denied.")
        if self.revoked():
            return HoldfastError(Code.NODE_DIED, f"{self.node} is revoked.")
        return None

    def local(self, target: RouteTarget, digest: str) -> LocalSlot | None:
        """Return this node's slot behind ``target`` if it accepts; None elsewhere or if not.

        It must run ``digest``, which is what was asked about: a route may call a model by another
        one's name.
        """
        slot = self.slots.get(target.slot)
        if target.node != self.node or slot is None or not slot.accept:
            return None
        return slot if (slot.zone, slot.digest) == (target.zone, digest) else None

    def _changed(self) -> None:
        for watcher in self.watchers:
            watcher()


async def _as_it_is() -> None:
    """Know nothing newer."""


def _forgotten(_stamp: Stamp) -> None:
    """Nobody keeps it."""
