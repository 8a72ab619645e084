"""What each receiver shall be, derived from the state: documents for nodes, claims for brokers.

``desired`` is pure: the same state gives the same document. :class:`Documents` gives a document
its stamp: the generation is the number of the commit that last changed it, found by comparing
digests, so nothing has to be remembered. After a start every document counts as changed by the
commit of that start, which is above any number published before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_protocol import codec
from holdfast_protocol.configs import BrokerEntry
from holdfast_protocol.messages import (
    AccountClaim,
    Desired,
    DesiredClaims,
    EngineSettings,
    Grant,
    Operation,
    Placement,
    Route,
    RouteTarget,
    TrustMark,
)
from holdfast_protocol.signed import DESIRED_CONTEXT, TICKET_CONTEXT, FetchTicket, sign

from holdfast_controller.logic import facts
from holdfast_controller.logic.state import Replica, State

DAY_S: Final = 24 * 3600
TICKETS_KEPT: Final = 100_000
POLICY_SERIAL: Final = 0
"""The built-in policy; no officer has brought another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What documents need beside the state: the pinned key and where blobs are served."""

    key: Ed25519PrivateKey
    blobs_urls: tuple[str, ...]
    brokers: tuple[BrokerEntry, ...]
    tickets: dict[bytes, bytes] = field(default_factory=dict)
    """Signed tickets by what they say: documents are made after each commit, tickets once a day."""

    def ticket(self, ticket: FetchTicket) -> bytes:
        """Return ``ticket`` signed; the same one gives the same bytes."""
        payload = codec.encode(ticket)
        if payload not in self.tickets:
            if len(self.tickets) >= TICKETS_KEPT:
                self.tickets.clear()
            signed = sign(payload, self.key, TICKET_CONTEXT)
            self.tickets[payload] = codec.encode(signed)
        return self.tickets[payload]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A stamped, signed document for one receiver; ``digest`` is of the unstamped content."""

    receiver: str
    epoch: int
    generation: int
    digest: bytes
    body: bytes
    slots: frozenset[str]
    """Of its placements; of a broker's document, none."""


@dataclass(slots=True)
class Documents:
    """The newest document of every receiver."""

    issuer: Issuer
    current: dict[str, Document] = field(default_factory=dict)

    def renew(self, state: State, commit: int, now_s: float) -> None:
        """Stamp with ``commit`` every document whose content is no longer the one in force."""
        for receiver, content in sorted(self._contents(state).items()):
            digest = hashlib.sha256(codec.encode(content)).digest()
            known = self.current.get(receiver)
            if known is None or (known.digest, known.epoch) != (digest, state.epoch):
                stamp = (state.epoch, commit)
                body = self._signed(content, stamp, now_s)
                self.current[receiver] = Document(
                    receiver=receiver,
                    epoch=stamp[0],
                    generation=stamp[1],
                    digest=digest,
                    body=body,
                    slots=_slots(content),
                )

    def generation(self, receiver: str) -> int:
        """Return the generation of the receiver's document, 0 if it has none."""
        known = self.current.get(receiver)
        return 0 if known is None else known.generation

    def _contents(self, state: State) -> Mapping[str, Desired | DesiredClaims]:
        contents: dict[str, Desired | DesiredClaims] = {}
        by_node = state.replicas_by_node()
        for node in state.nodes.values():
            if node.certificate is not None:
                contents[node.id] = desired(state, node.id, self.issuer, by_node.get(node.id, []))
        for broker in self.issuer.brokers:
            contents[broker.name] = claims(state, broker)
        return contents

    def _signed(
        self, content: Desired | DesiredClaims, stamp: tuple[int, int], now_s: float
    ) -> bytes:
        epoch, generation = stamp
        full = msgspec.structs.replace(content, epoch=epoch, generation=generation)
        if isinstance(full, Desired):
            full = msgspec.structs.replace(full, issued=now_s)
        return codec.encode(sign(codec.encode(full), self.issuer.key, DESIRED_CONTEXT))


def desired(
    state: State, node: str, issuer: Issuer, replicas: Sequence[Replica] | None = None
) -> Desired:
    """Return what ``node`` shall be, without a stamp (epoch, generation and date are 0)."""
    certificate = state.nodes[node].certificate
    zones = () if certificate is None else certificate.zones
    denied = f"node:{node}" in state.denied
    placed = state.replicas_on(node) if replicas is None else replicas
    here = [] if denied else [each for each in placed if not each.withdrawn]
    stamp = state.stamp
    return Desired(
        node=node,
        epoch=0,
        generation=0,
        issued=0.0,
        placements=tuple(
            placement for each in here if (placement := _placement(state, each, issuer)) is not None
        ),
        routes=tuple(_route(route) for _, route in sorted(state.routes.items())),
        grants=tuple(_grants(state, zones)),
        policy_serial=POLICY_SERIAL,
        trust=TrustMark(
            snapshot=0 if stamp is None else stamp.snapshot,
            timestamp=0 if stamp is None else stamp.timestamp,
        ),
    )


def claims(state: State, broker: BrokerEntry) -> DesiredClaims:
    """Return the accounts that ``broker`` shall know, without a stamp."""
    return DesiredClaims(
        broker=broker.name,
        epoch=0,
        generation=0,
        accounts=tuple(
            AccountClaim(app=name, account=app.minted.account, jwt=app.minted.account_jwt)
            for name, app in sorted(state.apps.items())
            if app.minted is not None and app.asked.zone == broker.zone
        ),
    )


def ticket_not_after_s(state: State) -> int:
    """Return until when tickets hold: one to two days after the last stamp.

    Whole days, so that documents change once a day for it, and on a commit: the stamp's.
    """
    at_s = 0 if state.stamp is None else state.stamp.at_ms // 1000
    return (at_s // DAY_S + 2) * DAY_S


def _placement(state: State, replica: Replica, issuer: Issuer) -> Placement | None:
    placed = replica.placed
    deployment = state.deployments.get(placed.alias)
    model = state.models.get(placed.digest)
    if deployment is None or model is None or deployment.wish.digest != placed.digest:
        return None
    wish = deployment.wish
    ticket = FetchTicket(
        node=placed.node,
        manifest_digest=placed.digest,
        digests=sorted({placed.digest, *model.facts.digests}),
        not_after=ticket_not_after_s(state),
    )
    return Placement(
        slot=placed.slot,
        alias=placed.alias,
        model=model.facts.name,
        version=model.facts.version,
        manifest_digest=placed.digest,
        device=placed.device,
        generation=placed.generation,
        zone=placed.zone,
        operations=operations(wish.operations),
        settings=EngineSettings(
            engine=wish.engine,
            context_length=wish.context_length,
            parallel=wish.parallel,
            threads=wish.threads,
        ),
        claim_bytes=placed.claim_bytes,
        blobs_urls=issuer.blobs_urls,
        ticket=issuer.ticket(ticket),
    )


def operations(names: tuple[str, ...]) -> tuple[Operation, ...]:
    """Return the operations of ``names`` that this version knows."""
    known = [name for name in names if name in ("chat", "complete", "embed")]
    return tuple(cast("list[Operation]", known))


def _route(route: facts.RouteChanged) -> Route:
    return Route(
        alias=route.alias,
        epoch=route.epoch,
        digest=route.digest,
        operations=operations(route.operations),
        targets=tuple(
            RouteTarget(node=to.node, zone=to.zone, slot=to.slot, capacity=to.capacity)
            for to in route.targets
        ),
    )


def _slots(content: Desired | DesiredClaims) -> frozenset[str]:
    if isinstance(content, DesiredClaims):
        return frozenset()
    return frozenset(placement.slot for placement in content.placements)


def _grants(state: State, zones: tuple[str, ...]) -> list[Grant]:
    return [
        Grant(app=name, zone=app.asked.zone, aliases=app.asked.aliases)
        for name, app in sorted(state.apps.items())
        if app.granted and not app.revoked and app.asked.zone in zones
    ]
