"""The site as the journal tells it: dictionaries of frozen values, changed by ``fold`` alone.

Numbers that come once a second are not here but in :mod:`live`: time and load never enter the
state by themselves, only as facts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from holdfast_protocol.views import Duty

from holdfast_controller.logic import facts
from holdfast_controller.logic.codes import NodeCode


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What the ceremony said."""

    name: str
    zone: str
    zones: dict[str, str]
    people: dict[str, str]


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """The newest word of the online key."""

    snapshot: int
    timestamp: int
    at_ms: int


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node: what officers signed of it, what it said of itself last, and whether it is lost."""

    id: str
    certificate: facts.NodeCertified | None = None
    seen: facts.NodeSeen | None = None
    lost_at_ms: int | None = None
    duty: Duty = "in-service"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one boot's events: the highest number, and lower ones that are still to come.

    A stream delivers again what was not acknowledged, after what came later.
    """

    boot: str
    high: int = 0
    missing: tuple[int, ...] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request and the signatures it has, by key id."""

    made: facts.RequestMade
    signatures: dict[str, facts.RequestSigned] = {}
    state: str = "pending"
    reason: str | None = None


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """An import; ``state`` is ``running waiting paused failed``."""

    id: str
    path: str
    by: str
    state: str = "running"
    requests: tuple[str, ...] = ()
    code: str | None = None
    message: str | None = None
    file: str | None = None
    discarded: bool = False


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A verified model: in quarantine, allowed by officers, in the store."""

    facts: facts.ModelQuarantined
    allowed: bool = False
    stored: bool = False


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that was placed, and what its node said of it last."""

    placed: facts.ReplicaPlaced
    state: str = "planned"
    changed_ms: int = 0
    code: str | None = None
    message: str | None = None
    capacity: int = 0
    withdrawn: bool = False


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A wish, and the nodes where its model failed (each is tried once per wish)."""

    wish: facts.DeploymentWished
    failed_nodes: tuple[str, ...] = ()


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An application: asked for, granted by officers, minted, revoked.

    ``minted`` is the minter's newest word; after a revocation it has no user JWT.
    """

    asked: facts.AppAsked
    granted: bool = False
    revoked: bool = False
    minted: facts.AppMinted | None = None


@dataclass(slots=True)
class State:
    """The one owner is the core; everybody else reads."""

    site: Site | None = None
    starts: int = 0
    epoch: int = 0
    stamp: Stamp | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    """Role files by file name, verbatim."""
    versions: dict[str, int] = field(default_factory=dict)
    """The newest version of each officer-signed role."""
    policy: facts.PolicyAdopted | None = None
    """None is the product's own policy, serial 0."""
    vendors: dict[str, bytes] = field(default_factory=dict)
    denied: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    sources: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    """By node: what came of its last boots, the one heard last at the end."""
    requests: dict[str, Request] = field(default_factory=dict)
    imports: dict[str, Import] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    """By manifest digest."""
    allowed: dict[str, str] = field(default_factory=dict)
    """``vendor/model@version`` to the digest that officers approved."""
    deployments: dict[str, Deployment] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    """By alias, the highest generation ever placed; outlives the deployment."""
    replicas: dict[tuple[str, str], Replica] = field(default_factory=dict)
    """By (node, slot)."""
    routes: dict[str, facts.RouteChanged] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    confirmed: dict[str, facts.ClaimsConfirmed] = field(default_factory=dict)
    codes: dict[str, NodeCode] = field(default_factory=dict)
    """By nonce: one-time codes, and what came of those that were used."""

    def founded(self) -> Site:
        """Return the site; only asked once it was founded."""
        assert self.site is not None
        return self.site

    def open_request(self, role: str) -> Request | None:
        """Return the request that waits for ``role``, None if none does."""
        for request in self.requests.values():
            if request.state == "pending" and request.made.role == role:
                return request
        return None

    def model_named(self, name: str, version: str) -> Model | None:
        """Return the approved model of that name, or one in quarantine, or None."""
        digest = self.allowed.get(f"{name}@{version}")
        if digest is not None and digest in self.models:
            return self.models[digest]
        for model in self.models.values():
            if (model.facts.name, model.facts.version) == (name, version):
                return model
        return None

    def replicas_of(self, alias: str) -> list[Replica]:
        """Return the replicas of ``alias`` that are not withdrawn, by node and slot."""
        return [
            replica
            for _, replica in sorted(self.replicas.items(), key=_place)
            if replica.placed.alias == alias and not replica.withdrawn
        ]

    def replicas_on(self, node: str) -> list[Replica]:
        """Return every replica of ``node`` that may hold memory there, withdrawn ones too."""
        return [each for key, each in sorted(self.replicas.items(), key=_place) if key[0] == node]

    def replicas_by_node(self) -> dict[str, list[Replica]]:
        """Return what :meth:`replicas_on` says, for all nodes at once."""
        result: dict[str, list[Replica]] = {}
        for (node, _), replica in sorted(self.replicas.items(), key=_place):
            result.setdefault(node, []).append(replica)
        return result

    def replicas_by_alias(self) -> dict[str, list[Replica]]:
        """Return what :meth:`replicas_of` says, for all aliases at once."""
        result: dict[str, list[Replica]] = {}
        for _, replica in sorted(self.replicas.items(), key=_place):
            if not replica.withdrawn:
                result.setdefault(replica.placed.alias, []).append(replica)
        return result

    def is_denied(self, model: Model) -> bool:
        """Tell whether a denial hits the model: its manifest, a blob, or an ancestor."""
        return self.denial_of(model) is not None

    def denial_of(self, model: Model) -> str | None:
        """Return the reason of the denial that hits the model, None if none does."""
        known = (model.facts.digest, *model.facts.digests, *model.facts.parents)
        return next((self.denied[digest] for digest in known if digest in self.denied), None)

    def duty(self, node: str) -> Duty:
        """Return what operators let ``node`` do."""
        known = self.nodes.get(node)
        return "in-service" if known is None else known.duty


def _place(item: tuple[tuple[str, str], Replica]) -> tuple[str, str]:
    return item[0]
