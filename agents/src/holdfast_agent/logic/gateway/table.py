"""The route table: what the newest desired document says of routes and grants.

Documents come from an agent, but only the controller's signature and a rising stamp count; the
signature is checked by whoever has the bytes.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from holdfast_protocol.codec import decode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import Desired, LocalSlot, Route
from holdfast_protocol.signed import DESIRED_CONTEXT, SignedDocument, open_signed

from holdfast_agent.logic.stamp import Stamp, judge


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Routes by alias, granted aliases by (application, zone), and the stamp they came with."""

    stamp: Stamp | None
    routes: dict[str, Route]
    grants: dict[tuple[str, str], frozenset[str]]
    snapshot: int = 0

    def granted(self, app: str, zone: str, alias: str) -> bool:
        """Tell whether the controller granted ``alias`` to ``app`` in ``zone``."""
        return alias in self.grants.get((app, zone), frozenset())


EMPTY: Final = Table(stamp=None, routes={}, grants={})


def adopt(
    current: Table, node: str, document: bytes, controller_key: bytes, floor: Stamp | None = None
) -> Table:
    """Return the table of ``document``, or ``current`` where it is the same document.

    ``floor`` is the stamp of what was followed before the start: the same again is taken.

    Raises ``BAD_SIGNATURE``, ``BAD_REQUEST``, and ``METADATA_ROLLBACK`` for an older document,
    one for another node, or another one of the same stamp.
    """
    payload = open_signed(decode(document, SignedDocument), controller_key, DESIRED_CONTEXT)
    desired = decode(payload, Desired)
    digest = "sha256:" + hashlib.sha256(payload).hexdigest()
    judgement = judge(node, desired, digest, current.stamp or floor)
    if judgement == "same" and current.stamp is not None:
        return current
    if judgement not in ("accept", "same"):
        raise HoldfastError(
            Code.METADATA_ROLLBACK,
            f"Desired document {desired.epoch}/{desired.generation} is refused: {judgement}.",
        )
    return table_of(desired, Stamp(desired.epoch, desired.generation, digest))


def table_of(desired: Desired, stamp: Stamp) -> Table:
    """Return the table of a document; of two routes of one alias the higher epoch counts."""
    routes: dict[str, Route] = {}
    for route in desired.routes:
        have = routes.get(route.alias)
        if have is None or route.epoch > have.epoch:
            routes[route.alias] = route
    grants: dict[tuple[str, str], frozenset[str]] = {}
    for grant in desired.grants:
        key = (grant.app, grant.zone)
        grants[key] = grants.get(key, frozenset()) | set(grant.aliases)
    return Table(stamp=stamp, routes=routes, grants=grants, snapshot=desired.trust.snapshot)


def local_slots(slots: tuple[LocalSlot, ...]) -> dict[str, LocalSlot]:
    """Return the node's own slots by name."""
    return {slot.slot: slot for slot in slots}
