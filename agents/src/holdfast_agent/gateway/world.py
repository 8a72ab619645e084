"""What the gateway knows: the route table, its node's slots and the site's trust.

One owner: the shell hands in bytes and views, everybody else reads.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast_protocol.codec import decode
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.messages import GatewayState, LocalSlot, RouteTarget

from holdfast_agent.logic.gateway.decide import Trust
from holdfast_agent.logic.gateway.table import EMPTY, Table, adopt, local_slots


class World:
    """Latest verified state; ``on_change`` is called after every change."""

    def __init__(self, node: str, controller_key: bytes, trust: Trust) -> None:
        self.node = node
        self.table: Table = EMPTY
        self.slots: dict[str, LocalSlot] = {}
        self.trust: Trust = trust
        self.on_change: Callable[[], None] = lambda: None
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
                self.table = adopt(self.table, self.node, state.document, self._controller_key)
            except HoldfastError as error:
                refused = error
        self.on_change()
        return refused

    def take_trust(self, trust: Trust) -> None:
        """Take a newer view of the site's trust."""
        self.trust = trust
        self.on_change()

    def local(self, target: RouteTarget) -> LocalSlot | None:
        """Return this node's slot behind ``target`` if it accepts; None elsewhere or if not."""
        slot = self.slots.get(target.slot)
        if target.node != self.node or slot is None or not slot.accept:
            return None
        return slot if slot.zone == target.zone else None
