"""What each receiver shall be, derived from the state: documents for nodes, claims for brokers.

``desired`` is pure: the same state gives the same document. :class:`Documents` gives a document
its stamp: the generation is the number of the commit that last changed it, found by comparing
contents, so nothing has to be remembered. After a start every document counts as changed by the
commit of that start, which is above any number published before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from holdfast_controller.logic.state import Node, Replica, State

DAY_S: Final = 24 * 3600
TICKETS_KEPT: Final = 100_000


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
    """A stamped, signed document for one receiver, and its content without the stamp."""

    receiver: str
    epoch: int
    generation: int
    content: Desired | DesiredClaims
    body: bytes

    def holds(self, slot: str) -> bool:
        """Tell whether ``slot`` is among its placements."""
        content = self.content
        return isinstance(content, Desired) and any(
            placement.slot == slot for placement in content.placements
        )


@dataclass(slots=True)
class Documents:
    """The newest document of every receiver."""

    issuer: Issuer
    current: dict[str, Document] = field(default_factory=dict)

    def renew(self, state: State, commit: int, now_s: float) -> None:
        """Stamp with ``commit`` every document whose content is no longer the one in force."""
        for receiver, content in self._contents(state):
            known = self.current.get(receiver)
            if known is None or known.epoch != state.epoch or known.content != content:
                self.current[receiver] = Document(
                    receiver=receiver,
                    epoch=state.epoch,
                    generation=commit,
                    content=content,
                    body=self._signed(content, (state.epoch, commit), now_s),
                )

    def generation(self, receiver: str) -> int:
        """Return the generation of the receiver's document, 0 if it has none."""
        known = self.current.get(receiver)
        return 0 if known is None else known.generation

    def _contents(self, state: State) -> Iterator[tuple[str, Desired | DesiredClaims]]:
        common = common_parts(state)
        by_node = state.replicas_by_node()
        for node_id, node in sorted(state.nodes.items()):
            if node.certificate is not None:
                replicas = by_node.get(node_id, [])
                yield node_id, _desired(state, node, (self.issuer, common), replicas)
        for broker in self.issuer.brokers:
            yield broker.name, claims(state, broker)

    def _signed(
        self, content: Desired | DesiredClaims, stamp: tuple[int, int], now_s: float
    ) -> bytes:
        epoch, generation = stamp
        full = msgspec.structs.replace(content, epoch=epoch, generation=generation)
        if isinstance(full, Desired):
            full = msgspec.structs.replace(full, issued=now_s)
        return codec.encode(sign(codec.encode(full), self.issuer.key, DESIRED_CONTEXT))


class CommonParts(msgspec.Struct, frozen=True, kw_only=True):
    """What every node's document carries alike; made once for all of them."""

    routes: tuple[Route, ...]
    grants: dict[str, tuple[Grant, ...]]
    """By zone."""
    trust: TrustMark


def common_parts(state: State) -> CommonParts:
    """Return the parts of the documents that do not depend on the node."""
    stamp = state.stamp
    grants: dict[str, tuple[Grant, ...]] = {}
    for name, app in sorted(state.apps.items()):
        if app.granted and not app.revoked:
            grant = Grant(app=name, zone=app.asked.zone, aliases=app.asked.aliases)
            grants[grant.zone] = (*grants.get(grant.zone, ()), grant)
    return CommonParts(
        routes=tuple(_route(route) for _, route in sorted(state.routes.items())),
        grants=grants,
        trust=TrustMark(
            snapshot=0 if stamp is None else stamp.snapshot,
            timestamp=0 if stamp is None else stamp.timestamp,
        ),
    )


def desired(state: State, node: str, issuer: Issuer) -> Desired:
    """Return what ``node`` shall be, without a stamp (epoch, generation and date are 0)."""
    parts = (issuer, common_parts(state))
    return _desired(state, state.nodes[node], parts, state.replicas_on(node))


def _desired(
    state: State, node: Node, parts: tuple[Issuer, CommonParts], replicas: Sequence[Replica]
) -> Desired:
    issuer, common = parts
    denied = f"node:{node.id}" in state.denied
    # A revoked node still hears of the trust that revokes it, and of nothing else.
    zones = () if node.certificate is None or denied else node.certificate.zones
    here = [] if denied else [each for each in replicas if not each.withdrawn]
    placements = [_placement(state, each, issuer) for each in here]
    return Desired(
        node=node.id,
        epoch=0,
        generation=0,
        issued=0.0,
        placements=tuple(each for each in placements if each is not None),
        routes=() if denied else common.routes,
        grants=tuple(
            sorted(
                (grant for zone in zones for grant in common.grants.get(zone, ())),
                key=lambda grant: grant.app,
            )
        ),
        policy_serial=0 if state.policy is None else state.policy.serial,
        trust=common.trust,
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
