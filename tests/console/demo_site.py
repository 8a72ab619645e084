"""A small site that answers the controller's API on a bus in memory, with the real structs.

What it knows is plain state that a test changes; requests carry real payloads, signed for real.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from holdfast_bundles.site import (
    AppRecord,
    Ed25519Key,
    generate_key,
    names,
    propose_app,
    propose_deny,
    propose_vendor,
    propose_withdraw,
)
from holdfast_bundles.site.model import Proposal, RequestSignature
from holdfast_bundles.site.request import check_signature
from holdfast_protocol import api, codec, subjects
from holdfast_protocol.bus.memory import MemoryBroker, MemoryBus
from holdfast_protocol.bus.port import Core, Message
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.views import (
    DeploymentsAnswer,
    DeploymentView,
    EventsAnswer,
    EventsQuery,
    EventView,
    GpusAnswer,
    GpuView,
    ModelsAnswer,
    ModelView,
    NodesAnswer,
    NodeView,
    StatusAnswer,
)

from tests.unit.bundles.site_world import ZONES, Person, Site

GIB: Final = 1024**3
AT: Final = 1_795_000_000.0
DIGEST: Final = "sha256:" + "ab" * 32


def node(name: str, **changes: object) -> NodeView:
    """A healthy node; ``changes`` say what is not."""
    view = NodeView(
        id=name,
        jurisdiction=name[:2].upper(),
        zones=(name[:2],),
        state="ok",
        age_s=0.4,
        generation=7,
        desired_generation=7,
        trust="fresh",
        snapshot=12,
        gateway="ok",
        engine="xllamacpp",
        isolation="bubblewrap",
        slots_ready=1,
        slots_total=1,
        host_memory_total_bytes=64 * GIB,
        host_memory_used_bytes=12 * GIB,
    )
    return msgspec.structs.replace(view, **changes)


def gpu(uuid: str, where: str, **changes: object) -> GpuView:
    """A healthy GPU."""
    view = GpuView(
        uuid=uuid,
        node=where,
        name="Simulated 24 GiB",
        memory_total_bytes=24 * GIB,
        memory_used_bytes=6 * GIB,
        claimed_bytes=8 * GIB,
        utilization_percent=40,
        temperature_c=61,
        power_mw=210_000,
        state="ok",
        simulated=True,
        age_s=0.4,
    )
    return msgspec.structs.replace(view, **changes)


class DemoSite:
    """State, and the answers made from it."""

    def __init__(self) -> None:
        self.world = Site([Person(f"officer-{n}") for n in (1, 2, 3)], generate_key())
        self.nodes: list[NodeView] = []
        self.gpus: list[GpuView] = []
        self.models: list[ModelView] = []
        self.deployments: list[DeploymentView] = []
        self.events: list[EventView] = []
        self.requests: dict[str, api.RequestView] = {}
        self.apps: dict[str, api.CreateApp] = {}
        self.imports: list[api.ImportView] = []
        self.credentials: Callable[[str], api.AppCredentials] | None = None
        self.findings: tuple[str, ...] = ()
        self.asked: list[tuple[str, str]] = []
        self.reachable = True
        self.silent = False
        self._proposals: dict[str, Proposal] = {}
        self._signatures: dict[str, list[RequestSignature]] = {}

    async def connect(self, folder: Path, name: str, timeout_s: float) -> Core:
        """Return a bus as whoever ``folder`` is for, with this site listening on it."""
        if not self.reachable:
            raise HoldfastError(Code.BROKER_DOWN, "The broker is not connected.")
        broker = MemoryBroker(random.Random(1))
        mine = MemoryBus(broker, "controller")

        async def answer(message: Message) -> None:
            body = self._answer(message)
            if body is not None:
                await mine.publish(message.reply, body)

        await mine.subscribe(subjects.ALL_API, answer)
        return MemoryBus(broker, folder.name)

    def key(self, person: str) -> Ed25519Key:
        """Return an officer's daily key."""
        return next(p.daily for p in self.world.people if p.name == person)

    def event(self, kind: str, subject: str, text: str) -> None:
        """Add a record."""
        seq = len(self.events) + 1
        self.events.append(
            EventView(seq=seq, at=AT + seq, kind=kind, subject=subject, text=text, leaf="00" * 32)
        )

    def propose_vendor(self, name: str, root: bytes) -> str:
        """Open a request to trust a vendor."""
        return self._open("vendor", propose_vendor(self.world.at(), name, root), f"Trust {name}.")

    def status(self) -> StatusAnswer:
        """The site in one look, counted from the lists."""
        return StatusAnswer(
            site="alpha",
            controller="ok",
            zone="de",
            epoch=1,
            commit=42,
            records=max(1, len(self.events)),
            root="5f" * 32,
            nodes_ok=sum(n.state == "ok" for n in self.nodes),
            nodes_total=len(self.nodes),
            gpus_ok=sum(g.state == "ok" for g in self.gpus),
            gpus_total=len(self.gpus),
            deployments_ready=sum(d.state == "ready" for d in self.deployments),
            deployments_total=len(self.deployments),
            requests_pending=sum(r.state == "pending" for r in self.requests.values()),
            models_approved=sum(m.state == "approved" for m in self.models),
            snapshot=12,
            findings=self.findings,
        )

    # ------------------------------------------------------------ the API

    def _answer(self, message: Message) -> bytes | None:
        asked = subjects.parse_api(message.subject)
        name = f"{asked.resource}.{asked.verb}"
        self.asked.append((asked.who, name))
        if self.silent:
            return None
        try:
            call = api.CALLS[name]
            if asked.who.split("-")[0] not in call.roles:
                raise HoldfastError(Code.NOT_PERMITTED, f"{asked.who} may not {name}.")
            return codec.encode(self._decide(name, asked.who, message.body))
        except HoldfastError as error:
            return codec.encode(api.error_answer(error))

    def _decide(self, name: str, who: str, body: bytes) -> msgspec.Struct:
        listing = self._list(name)
        if listing is not None:
            return listing
        match name:
            case "events.list":
                return self._events(codec.decode(body, EventsQuery))
            case "requests.show":
                return self._detail(codec.decode(body, api.RequestQuery).id)
            case "requests.sign":
                return self._sign(codec.decode(body, api.SignRequest))
            case "requests.reject":
                return self._reject(codec.decode(body, api.RejectRequest))
            case "vendors.trust":
                trust = codec.decode(body, api.TrustVendor)
                return self._made(self.propose_vendor(trust.vendor, trust.root))
            case "apps.create":
                return self._create(codec.decode(body, api.CreateApp))
            case "apps.claim":
                return self._claim(codec.decode(body, api.AppQuery).name)
            case _:
                return self._deeds(name, body)

    def _deeds(self, name: str, body: bytes) -> msgspec.Struct:
        match name:
            case "imports.start" | "imports.show":
                return self.imports.pop(0) if len(self.imports) > 1 else self.imports[0]
            case "deployments.deploy":
                return self._explain(codec.decode(body, api.DeployCall).alias)
            case "deployments.explain":
                return self._explain(codec.decode(body, api.AliasCall).alias)
            case "deployments.undeploy":
                alias = codec.decode(body, api.AliasCall).alias
                self.deployments = [d for d in self.deployments if d.alias != alias]
                return DeploymentsAnswer(deployments=tuple(self.deployments))
            case _:
                return self._brakes(name, body)

    def _brakes(self, name: str, body: bytes) -> msgspec.Struct:
        match name:
            case "models.revoke":
                model = codec.decode(body, api.RevokeModel)
                denial = propose_deny(self.world.at(), model.digest, model.reason)
                return self._made(self._open("deny", denial, f"Deny {model.digest}."))
            case "models.lift":
                target = names.deny_target(codec.decode(body, api.LiftModel).digest)
                lifted = propose_withdraw(self.world.at(), "no", target)
                return self._made(self._open("lift", lifted, f"Lift {target}."))
            case "nodes.revoke":
                revoked = codec.decode(body, api.RevokeNode)
                denial = propose_deny(self.world.at(), f"node:{revoked.node}", revoked.reason)
                return self._made(self._open("deny", denial, f"Revoke {revoked.node}."))
            case "nodes.cordon" | "nodes.uncordon" | "nodes.drain":
                named = codec.decode(body, api.NodeCall).node
                duty = {"cordon": "cordoned", "drain": "draining"}.get(name[6:], "in-service")
                self.nodes = [
                    msgspec.structs.replace(one, duty=duty, reason=f"It is {duty}.")
                    if one.id == named
                    else one
                    for one in self.nodes
                ]
                return NodesAnswer(nodes=tuple(self.nodes))
            case _:
                raise HoldfastError(Code.NOT_FOUND, f"There is no call {name}.")

    def _list(self, name: str) -> msgspec.Struct | None:
        match name:
            case "site.status":
                return self.status()
            case "nodes.list":
                return NodesAnswer(nodes=tuple(self.nodes))
            case "gpus.list":
                return GpusAnswer(gpus=tuple(self.gpus))
            case "models.list":
                return ModelsAnswer(models=tuple(self.models))
            case "deployments.list":
                return DeploymentsAnswer(deployments=tuple(self.deployments))
            case "requests.list":
                return api.RequestsAnswer(requests=tuple(self.requests.values()))
            case "apps.list":
                return api.AppsAnswer(apps=tuple(self._app(a) for a in self.apps.values()))
            case _:
                return None

    def _events(self, query: EventsQuery) -> EventsAnswer:
        if query.after is None:
            return EventsAnswer(events=tuple(self.events[-query.limit :]))
        later = [e for e in self.events if e.seq > query.after]
        return EventsAnswer(events=tuple(later[: query.limit]))

    def _open(self, kind: api.RequestKind, proposal: Proposal, summary: str) -> str:
        number = f"r-{len(self.requests) + 1}"
        self._proposals[number] = proposal
        self._signatures[number] = []
        self.requests[number] = api.RequestView(
            id=number,
            kind=kind,
            state="pending",
            approvals=0,
            needed=proposal.threshold,
            subject=proposal.target,
            summary=summary,
            role=proposal.role,
            version=proposal.version,
            sha256=proposal.sha256,
            signed_by=(),
            created_by="operator-1",
            created=AT,
            expires=AT + 14 * 86_400,
        )
        return number

    def _made(self, number: str) -> api.RequestMade:
        view = self.requests[number]
        return api.RequestMade(request=number, needed=view.needed, summary=view.summary)

    def _detail(self, number: str) -> api.RequestDetail:
        if number not in self.requests:
            raise HoldfastError(Code.NOT_FOUND, f"There is no request {number}.")
        payload = self._proposals[number].payload
        return api.RequestDetail(request=self.requests[number], payload=payload)

    def _sign(self, call: api.SignRequest) -> api.RequestDetail:
        proposal, have = self._proposals[call.id], self._signatures[call.id]
        offered = RequestSignature(keyid=call.keyid, sha256=call.sha256, signature=call.signature)
        have.append(check_signature(self.world.frame, proposal, offered, have))
        view = self.requests[call.id]
        self.requests[call.id] = msgspec.structs.replace(
            view,
            approvals=len(have),
            signed_by=tuple(self.world.frame.person(one.keyid) for one in have),
            state="committed" if len(have) >= view.needed else "pending",
        )
        return self._detail(call.id)

    def _reject(self, call: api.RejectRequest) -> api.RequestDetail:
        self.requests[call.id] = msgspec.structs.replace(
            self._detail(call.id).request, state="rejected", reason=call.reason
        )
        return self._detail(call.id)

    def _create(self, call: api.CreateApp) -> api.RequestMade:
        if call.name in self.apps:
            if self.apps[call.name] != call or self._granted(call.name):
                raise HoldfastError(Code.ALREADY_EXISTS, f"There is a {call.name} already.")
            return self._made(self._request_of(call.name))
        record = AppRecord(
            app=call.name,
            zone=call.zone,
            residency=call.residency or (ZONES[call.zone],),
            classification=0,
            purposes=call.purposes,
            aliases=call.aliases,
            user_public=call.user_public,
            serial=1,
        )
        self.apps[call.name] = call
        proposal = propose_app(self.world.at(), record, ZONES)
        return self._made(self._open("app", proposal, f"Grant {call.name}."))

    def _claim(self, name: str) -> api.AppCredentials:
        if name not in self.apps:
            raise HoldfastError(Code.NOT_FOUND, f"There is no application {name}.")
        if not self._granted(name):
            return api.AppCredentials(name=name, state="pending")
        assert self.credentials is not None
        return self.credentials(name)

    def _granted(self, name: str) -> bool:
        return self.requests[self._request_of(name)].state == "committed"

    def _request_of(self, name: str) -> str:
        summary = f"Grant {name}."
        return next(n for n, view in self.requests.items() if view.summary == summary)

    def _app(self, call: api.CreateApp) -> api.AppView:
        return api.AppView(
            name=call.name,
            zone=call.zone,
            aliases=call.aliases,
            residency=call.residency,
            classification=call.classification,
            purposes=call.purposes,
            state="ready" if self._granted(call.name) else "pending",
        )

    def _explain(self, alias: str) -> api.ExplainAnswer:
        return api.ExplainAnswer(
            alias=alias,
            model="acme/tiny",
            version="1.0",
            placements=(
                api.PlacementView(node="de-1", device="gpu-0", zone="de", claim_bytes=GIB),
            ),
            rejections=(
                api.Rejection(
                    node="fr-1",
                    constraint="residency",
                    sentence="fr-1 is in FR; the model may be in DE.",
                ),
            ),
            sentence="1 of 1 replicas of acme/tiny@1.0 fit.",
        )
