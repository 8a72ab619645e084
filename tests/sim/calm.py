"""What must become true once the faults are over: every wish that fits is served, and no more.

Judged against the journal's own words and against what runs on the nodes, never against what the
controller believes.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_protocol.limits import DEVICE_RESERVE_BYTES

from tests.sim.ceremony import NODES
from tests.sim.models import BROKEN, MODELS
from tests.sim.node import Node
from tests.sim.site import Site


def missing(site: Site) -> str | None:
    """Return the first thing that is not as it must become, None when all is well."""
    site.witness.look()
    return next(_missing(site), None)


def _missing(site: Site) -> Iterator[str]:
    yield from _controller(site)
    yield from _trust(site)
    yield from _nodes(site)
    yield from _wishes(site)
    yield from _routes(site)
    yield from _apps(site)


def _controller(site: Site) -> Iterator[str]:
    if site.controller.core is None:
        yield "the controller does not run"
    if site.hub.events_waiting:
        yield f"{site.hub.events_waiting} events are not acknowledged"
    for node in site.nodes.values():
        if node.disk.spool and not node.gone:
            yield f"{len(node.disk.spool)} events lie in the spool of {node.name}"


def _trust(site: Site) -> Iterator[str]:
    witness = site.witness
    for petition in witness.petitions.values():
        if petition.state == "pending":
            yield f"{petition.made.id} is still pending"
    for digest in sorted(witness.approved):
        if digest not in witness.stored:
            yield f"the approved {witness.approved[digest]} is not in the store"


def _nodes(site: Site) -> Iterator[str]:
    core = site.controller.core
    for node in _there(site):
        desired = 0 if core is None else core.documents.generation(node.name)
        accepted = node.accepted
        if accepted is None or accepted.generation != desired:
            have = 0 if accepted is None else accepted.generation
            yield f"{node.name} has generation {have}, {desired} is desired"
            continue
        wanted = {placement.slot for placement in accepted.placements}
        for slot in sorted(node.engines.by_slot):
            if slot not in wanted:
                yield f"{slot} still runs on {node.name}"
        for digest in sorted(site.witness.denied):
            for slot in node.engines.running(digest):
                yield f"{slot} on {node.name} runs what is denied"


def _wishes(site: Site) -> Iterator[str]:
    for alias, wish in sorted(site.witness.wishes.items()):
        servable = MODELS[wish.digest].name != BROKEN and wish.digest not in site.witness.denied
        for zone in wish.zones if servable else ():
            yield from _wish(site, alias, zone, wish.replicas)


def _wish(site: Site, alias: str, zone: str, replicas: int) -> Iterator[str]:
    ready = len(_ready(site, alias, zone))
    if ready > replicas:
        yield f"{alias} has {ready} replicas in {zone}, {replicas} are wished"
    elif ready < replicas:
        fits = [node.name for node in _there(site) if _fits(site, node, alias, zone)]
        if fits or _placed(site, alias, zone) > ready:
            yield f"{alias} has {ready} of {replicas} in {zone}; {fits} have room"


def _fits(site: Site, node: Node, alias: str, zone: str) -> bool:
    """Tell whether another replica of ``alias`` finds room on the node."""
    wish = site.witness.wishes[alias]
    if NODES[node.name] != zone or node.name in site.witness.failed.get(alias, set()):
        return False
    accepted = node.accepted
    if accepted is None or any(placed.alias == alias for placed in accepted.placements):
        return False
    for uuid in node.engines.uuids:
        if uuid in node.engines.lost:
            continue
        claimed = sum(p.claim_bytes for p in accepted.placements if p.device == uuid)
        free = node.engines.total_bytes - DEVICE_RESERVE_BYTES - claimed
        if free >= wish.claim_bytes:
            return True
    return False


def _placed(site: Site, alias: str, zone: str) -> int:
    return sum(
        1
        for node in _there(site)
        if node.accepted is not None
        for placed in node.accepted.placements
        if (placed.alias, placed.zone) == (alias, zone) and placed.device not in node.engines.lost
    )


def _ready(site: Site, alias: str, zone: str) -> list[tuple[str, str]]:
    return [
        (node.name, slot)
        for node in _there(site)
        for slot, engine in sorted(node.engines.by_slot.items())
        if engine.ready and (engine.placement.alias, engine.placement.zone) == (alias, zone)
    ]


def _routes(site: Site) -> Iterator[str]:
    """The routes of every node name exactly the slots that answer."""
    answering = {
        (node.name, slot): engine.placement.alias
        for node in _there(site)
        for slot, engine in node.engines.by_slot.items()
        if engine.ready
    }
    for node in _there(site):
        routes = () if node.accepted is None else node.accepted.routes
        routed = {(to.node, to.slot): route.alias for route in routes for to in route.targets}
        if routed != answering:
            extra = sorted(set(routed) - set(answering))
            lacking = sorted(set(answering) - set(routed))
            yield f"routes on {node.name} have {extra} too much and {lacking} too little"


def _apps(site: Site) -> Iterator[str]:
    witness = site.witness
    for name in sorted(witness.granted):
        relay = site.relays[f"broker-{witness.apps[name].zone}"]
        claim = relay.claims.get(f"A-{name}")
        if name in witness.revoked:
            if claim is not None and claim.jwt != f"{name} revoked":
                yield f"the account of the revoked {name} still lets it in"
        elif claim is None or claim.jwt != f"{name} granted":
            yield f"the account of {name} is not at its broker"


def _there(site: Site) -> list[Node]:
    return [node for node in site.nodes.values() if not node.gone]
