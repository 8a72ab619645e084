"""The one place that changes the state: a fact folded in, and whether it changed anything.

``fold`` returns False for a fact that is old or doubled; such a fact is not journalled. It never
judges whether a fact should have happened: that was decided before it was written.
"""

from __future__ import annotations

from typing import Final, TypeVar, assert_never

from holdfast_protocol.views import Duty
from msgspec.structs import replace

from holdfast_controller.logic import facts
from holdfast_controller.logic.codes import fold_enrolment
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.facts.enrolment import EnrolmentFact
from holdfast_controller.logic.state import (
    App,
    Deployment,
    Import,
    Model,
    Node,
    Replica,
    Request,
    Site,
    Source,
    Stamp,
    State,
)

FOLD_VERSION: Final = 1
BOOTS_REMEMBERED: Final = 8
EVENTS_MISSING: Final = 256
STAMPS_KEPT: Final = 3

K = TypeVar("K")
V = TypeVar("V")

SiteFact = (
    facts.SiteFounded
    | facts.ControllerStarted
    | facts.LeaderTaken
    | facts.RoleFileAccepted
    | facts.TrustStamped
    | facts.NodeCertified
    | facts.VendorTrusted
    | facts.PolicyAdopted
    | facts.Denied
    | facts.DenialLifted
)
RequestFact = (
    facts.RequestMade
    | facts.RequestSigned
    | facts.RequestCommitted
    | facts.RequestRejected
    | facts.RequestExpired
)
ModelFact = (
    facts.ImportStarted
    | facts.ImportPaused
    | facts.ImportFailed
    | facts.ModelQuarantined
    | facts.ImportWaiting
    | facts.ModelAllowed
    | facts.ModelCommitted
    | facts.ModelDiscarded
)
NodeFact = (
    facts.NodeSeen
    | facts.NodeLost
    | facts.NodeReturned
    | facts.NodeCordoned
    | facts.NodeUncordoned
    | facts.EventRecorded
)
AppFact = facts.AppAsked | facts.AppGranted | facts.AppMinted | facts.ClaimsConfirmed


def fold(state: State, fact: AnyFact) -> bool:
    """Fold ``fact`` into ``state``; return whether it changed anything."""
    if isinstance(fact, SiteFact):
        return _site(state, fact)
    if isinstance(fact, RequestFact):
        return _request(state, fact)
    if isinstance(fact, ModelFact):
        return _model(state, fact)
    if isinstance(fact, NodeFact):
        return _node(state, fact)
    if isinstance(fact, AppFact):
        return _app(state, fact)
    if isinstance(fact, EnrolmentFact):
        return fold_enrolment(state.codes, fact)
    return _serving(state, fact)


def _site(state: State, fact: SiteFact) -> bool:
    match fact:
        case facts.SiteFounded():
            site = Site(name=fact.site, zone=fact.zone, zones=fact.zones, people=fact.people)
            return _site_is(state, site)
        case facts.ControllerStarted():
            state.starts += 1
            return True
        case facts.LeaderTaken():
            return _epoch_is(state, fact.epoch)
        case facts.RoleFileAccepted():
            return _role_file(state, fact)
        case facts.TrustStamped():
            return _stamp(state, fact)
        case facts.NodeCertified():
            node = state.nodes.get(fact.node, Node(id=fact.node))
            return _put(state.nodes, fact.node, replace(node, certificate=fact))
        case facts.VendorTrusted():
            return _put(state.vendors, fact.vendor, fact.root)
        case facts.PolicyAdopted():
            changed = state.policy != fact
            state.policy = fact
            return changed
        case facts.Denied() | facts.DenialLifted():
            return _denied(state, fact)
        case _:
            assert_never(fact)


def _denied(state: State, fact: facts.Denied | facts.DenialLifted) -> bool:
    denied = isinstance(fact, facts.Denied)
    if isinstance(fact, facts.Denied):
        changed = _put(state.denied, fact.what, fact.reason)
    else:
        changed = state.denied.pop(fact.what, None) is not None
    kind, _, name = fact.what.partition(":")
    app = state.apps.get(name) if kind == "app" else None
    if app is not None:
        changed |= _put(state.apps, name, replace(app, revoked=denied))
    return changed


def _role_file(state: State, fact: facts.RoleFileAccepted) -> bool:
    if fact.version <= state.versions.get(fact.role, 0):
        return False
    old = state.versions.get(fact.role)
    # Roots stay for ever, since a node climbs from its pinned one; of all others the newest is
    # what the snapshot names.
    if old is not None and fact.role != "root":
        state.files.pop(f"{old}.{fact.role}.json", None)
    state.versions[fact.role] = fact.version
    state.files[f"{fact.version}.{fact.role}.json"] = fact.content
    return True


def _stamp(state: State, fact: facts.TrustStamped) -> bool:
    if state.stamp is not None and fact.timestamp <= state.stamp.timestamp:
        return False
    state.files.update(fact.files)
    # A node that read the timestamp before may still ask for the snapshot it named.
    state.files.pop(f"{fact.snapshot - STAMPS_KEPT}.snapshot.json", None)
    state.stamp = Stamp(snapshot=fact.snapshot, timestamp=fact.timestamp, at_ms=fact.at_ms)
    return True


def _request(state: State, fact: RequestFact) -> bool:
    if isinstance(fact, facts.RequestMade):
        return _new(state.requests, fact.id, Request(made=fact))
    request = state.requests.get(fact.id)
    if request is None or request.state != "pending":
        return False
    match fact:
        case facts.RequestSigned():
            if fact.keyid in request.signatures:
                return False
            signed = replace(request, signatures={**request.signatures, fact.keyid: fact})
            return _put(state.requests, fact.id, signed)
        case facts.RequestCommitted():
            return _put(state.requests, fact.id, replace(request, state="committed"))
        case facts.RequestRejected():
            rejected = replace(request, state="rejected", reason=fact.reason)
            return _put(state.requests, fact.id, rejected)
        case facts.RequestExpired():
            return _put(state.requests, fact.id, replace(request, state="expired"))
        case _:
            assert_never(fact)


def _model(state: State, fact: ModelFact) -> bool:
    match fact:
        case facts.ModelQuarantined():
            # Officers may have approved these bytes before they came, or came again.
            allowed = state.allowed.get(f"{fact.name}@{fact.version}") == fact.digest
            return _new(state.models, fact.digest, Model(facts=fact, allowed=allowed))
        case facts.ModelAllowed():
            changed = _put(state.allowed, f"{fact.name}@{fact.version}", fact.digest)
            model = state.models.get(fact.digest)
            if model is not None:
                changed |= _put(state.models, fact.digest, replace(model, allowed=True))
            return changed
        case facts.ModelCommitted():
            model = state.models.get(fact.digest)
            return model is not None and _put(
                state.models, fact.digest, replace(model, stored=True)
            )
        case facts.ModelDiscarded():
            return _discarded(state, fact)
        case _:
            return _import(state, fact)


def _discarded(state: State, fact: facts.ModelDiscarded) -> bool:
    known = state.imports.get(fact.import_id)
    if known is None or known.discarded:
        return False
    state.imports[fact.import_id] = replace(known, discarded=True)
    gone = [
        digest
        for digest, model in state.models.items()
        if model.facts.import_id == fact.import_id and not model.allowed
    ]
    for digest in gone:
        del state.models[digest]
    return True


def _import(
    state: State,
    fact: facts.ImportStarted | facts.ImportPaused | facts.ImportFailed | facts.ImportWaiting,
) -> bool:
    known = state.imports.get(fact.id)
    match fact:
        case facts.ImportStarted():
            return _put(state.imports, fact.id, Import(id=fact.id, path=fact.path, by=fact.by))
        case facts.ImportWaiting():
            if known is None:
                return False
            waiting = replace(known, state="waiting", requests=fact.requests)
            return _put(state.imports, fact.id, waiting)
        case facts.ImportPaused() | facts.ImportFailed():
            if known is None:
                return False
            stopped = replace(
                known,
                state="paused" if isinstance(fact, facts.ImportPaused) else "failed",
                code=fact.code,
                message=fact.message,
                file=fact.file,
            )
            return _put(state.imports, fact.id, stopped)
        case _:
            assert_never(fact)


def _node(state: State, fact: NodeFact) -> bool:
    if isinstance(fact, facts.EventRecorded):
        return _event(state, fact)
    node = state.nodes.get(fact.node, Node(id=fact.node))
    match fact:
        case facts.NodeSeen():
            return _put(state.nodes, fact.node, replace(node, seen=fact))
        case facts.NodeLost():
            lost = node.lost_at_ms is None
            return lost and _put(state.nodes, fact.node, replace(node, lost_at_ms=fact.at_ms))
        case facts.NodeReturned():
            return _put(state.nodes, fact.node, replace(node, lost_at_ms=None))
        case facts.NodeCordoned():
            duty: Duty = "draining" if fact.drain else "cordoned"
            return _put(state.nodes, fact.node, replace(node, duty=duty))
        case facts.NodeUncordoned():
            return _put(state.nodes, fact.node, replace(node, duty="in-service"))
        case _:
            assert_never(fact)


def _event(state: State, fact: facts.EventRecorded) -> bool:
    sources = state.sources.get(fact.node, ())
    known = next((each for each in sources if each.boot == fact.boot), Source(boot=fact.boot))
    if fact.number > known.high:
        gap = range(max(known.high + 1, fact.number - EVENTS_MISSING), fact.number)
        missing = (*known.missing, *gap)[-EVENTS_MISSING:]
        heard = replace(known, high=fact.number, missing=missing)
    elif fact.number in known.missing:
        left = tuple(each for each in known.missing if each != fact.number)
        heard = replace(known, missing=left)
    else:
        return False
    others = tuple(each for each in sources if each.boot != fact.boot)
    state.sources[fact.node] = (*others, heard)[-BOOTS_REMEMBERED:]
    return True


def _app(state: State, fact: AppFact) -> bool:
    if isinstance(fact, facts.AppAsked):
        known = state.apps.get(fact.name)
        revoked = f"app:{fact.name}" in state.denied
        same = known is not None and known.asked == fact
        return not same and _put(state.apps, fact.name, App(asked=fact, revoked=revoked))
    if isinstance(fact, facts.ClaimsConfirmed):
        return _put(state.confirmed, fact.broker, fact)
    app = state.apps.get(fact.name)
    if app is None:
        return False
    match fact:
        case facts.AppGranted():
            return _put(state.apps, fact.name, replace(app, granted=True))
        case facts.AppMinted():
            return _put(state.apps, fact.name, replace(app, minted=fact))
        case _:
            assert_never(fact)


def _serving(
    state: State,
    fact: facts.DeploymentWished
    | facts.DeploymentWithdrawn
    | facts.ReplicaPlaced
    | facts.ReplicaWithdrawn
    | facts.ReplicaGone
    | facts.SlotChanged
    | facts.RouteChanged,
) -> bool:
    match fact:
        case facts.DeploymentWished():
            known = state.deployments.get(fact.alias)
            same = known is not None and known.wish == fact
            return not same and _put(state.deployments, fact.alias, Deployment(wish=fact))
        case facts.DeploymentWithdrawn():
            return state.deployments.pop(fact.alias, None) is not None
        case facts.ReplicaPlaced():
            if fact.generation <= state.generations.get(fact.alias, 0):
                return False
            state.generations[fact.alias] = fact.generation
            return _new(state.replicas, (fact.node, fact.slot), Replica(placed=fact))
        case facts.ReplicaWithdrawn():
            return _withdrawn(state, fact)
        case facts.ReplicaGone():
            return state.replicas.pop((fact.node, fact.slot), None) is not None
        case facts.SlotChanged():
            return _slot(state, fact)
        case facts.RouteChanged():
            known_route = state.routes.get(fact.alias)
            newer = known_route is None or fact.epoch > known_route.epoch
            return newer and _put(state.routes, fact.alias, fact)
        case _:
            assert_never(fact)


def _withdrawn(state: State, fact: facts.ReplicaWithdrawn) -> bool:
    replica = state.replicas.get((fact.node, fact.slot))
    if replica is None or replica.withdrawn:
        return False
    state.replicas[fact.node, fact.slot] = replace(replica, withdrawn=True)
    deployment = state.deployments.get(fact.alias)
    if fact.reason == "failed" and deployment is not None:
        failed = (*deployment.failed_nodes, fact.node)
        state.deployments[fact.alias] = replace(deployment, failed_nodes=failed)
    return True


def _slot(state: State, fact: facts.SlotChanged) -> bool:
    replica = state.replicas.get((fact.node, fact.slot))
    if replica is None:
        return False
    changed = replace(
        replica,
        state=fact.state,
        changed_ms=fact.at_ms,
        code=fact.code,
        message=fact.message,
        capacity=fact.capacity,
    )
    return _put(state.replicas, (fact.node, fact.slot), changed)


def _put(table: dict[K, V], key: K, value: V) -> bool:
    if key in table and table[key] == value:
        return False
    table[key] = value
    return True


def _new(table: dict[K, V], key: K, value: V) -> bool:
    return key not in table and _put(table, key, value)


def _site_is(state: State, site: Site) -> bool:
    if state.site is not None:
        return False
    state.site = site
    return True


def _epoch_is(state: State, epoch: int) -> bool:
    if epoch <= state.epoch:
        return False
    state.epoch = epoch
    return True
