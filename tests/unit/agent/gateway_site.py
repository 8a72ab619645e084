"""A small site of gateways on one in-memory bus, with engines that speak the real HTTP API.

Only the world around the gateways is made here: officers' documents as plain facts, desired
documents with a real signature, engines behind unix sockets whose answers the tests control.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from holdfast_agent.engines.local import infer
from holdfast_agent.gateway.alarm import PolicyAlarm
from holdfast_agent.gateway.policy import PolicyInForce
from holdfast_agent.gateway.service import Service
from holdfast_agent.gateway.world import World
from holdfast_agent.logic.gateway.decide import Judge, RecordFacts
from holdfast_policy.logic.registry import of_zones
from holdfast_policy.port import AppFacts, NodeFacts
from holdfast_policy.tickets import PairKeys
from holdfast_protocol import signed
from holdfast_protocol.bus.memory import MemoryBroker, MemoryBus
from holdfast_protocol.bus.port import Message
from holdfast_protocol.codec import encode
from holdfast_protocol.messages import (
    Desired,
    GatewayState,
    Grant,
    LocalSlot,
    Operation,
    Route,
    RouteTarget,
    TrustMark,
)

from tests.unit.agent.gateway_engine import Engine

ZONES = {"de": "DE", "fr": "FR"}
DIGEST = "sha256:" + "0" * 64
OPERATIONS: tuple[Operation, ...] = ("chat", "complete")


def record(app: str, zone: str, *aliases: str, classification: int = 0) -> RecordFacts:
    return RecordFacts(
        app=AppFacts(app=app, zone=zone, aliases=frozenset(aliases)),
        residency=(ZONES[zone],),
        classification=classification,
        purposes=("care",),
    )


class PlainTrust:
    """A view of the trust as facts that a test writes."""

    usable = True

    def __init__(self) -> None:
        self.records: dict[str, RecordFacts] = {}
        self.nodes: dict[str, NodeFacts] = {}
        self.denied: set[str] = set()
        self.keys: dict[str, bytes] = {}

    def record(self, app: str) -> RecordFacts | None:
        return self.records.get(app)

    def node(self, node: str) -> NodeFacts | None:
        return self.nodes.get(node)

    def model_denied(self, digest: str) -> bool:
        return digest in self.denied

    def exchange_key(self, node: str) -> bytes | None:
        return self.keys.get(node)


class Node:
    """One gateway with one slot."""

    def __init__(self, site: Site, name: str, engine: Engine, capacity: int) -> None:
        self.name = name
        self.engine = engine
        self.slot = LocalSlot(
            slot=f"chat-{name}",
            alias="chat",
            digest=DIGEST,
            generation=1,
            zone="de",
            socket=str(engine.path),
            operations=OPERATIONS,
            capacity=capacity,
            accept=True,
        )
        self.trust = PlainTrust()
        self.private = X25519PrivateKey.generate()
        self.bus = MemoryBus(site.broker, name)
        public = site.controller.public_key().public_bytes_raw()
        self.world = World(name, public, self.trust)
        self.alarm = PolicyAlarm()
        registry = of_zones(ZONES)
        keys = (PairKeys("north", name, self.private), self.trust.exchange_key)
        self.policy = PolicyInForce(registry, self.alarm)
        judge = Judge(self.policy, registry)
        self.service = Service(self.bus, self.world, judge, infer, keys)
        # In memory no account boundary renames the callers' inboxes.
        self.service.executing.answer_prefix = "_INBOX."

    def accept(self, yes: bool, document: bytes | None = None) -> None:
        slot = msgspec.structs.replace(self.slot, accept=yes)
        state = GatewayState(document=document, slots=(slot,))
        assert self.world.take_state(encode(state)) is None


class Site:
    """Gateways ``de-1``, ``de-2`` … of zone de, and an application ``triage``."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(random.Random(7))
        self.controller = Ed25519PrivateKey.generate()
        self.nodes: dict[str, Node] = {}
        self.generation = 0
        self.grants: tuple[Grant, ...] = (Grant(app="triage", zone="de", aliases=("chat",)),)
        self.app = MemoryBus(self.broker, "triage")

    def targets(self) -> tuple[RouteTarget, ...]:
        return tuple(
            RouteTarget(node=n.name, zone="de", slot=n.slot.slot, capacity=n.slot.capacity)
            for n in self.nodes.values()
        )

    def document(self, node: str, targets: tuple[RouteTarget, ...]) -> bytes:
        route = Route(
            alias="chat",
            epoch=self.generation,
            digest=DIGEST,
            operations=OPERATIONS,
            targets=targets,
        )
        desired = Desired(
            node=node,
            epoch=1,
            generation=self.generation,
            issued=0.0,
            placements=(),
            routes=(route,),
            grants=self.grants,
            policy_serial=0,
            trust=TrustMark(snapshot=1, timestamp=1),
        )
        return encode(signed.sign(encode(desired), self.controller, signed.DESIRED_CONTEXT))

    def push(
        self, *names: str, targets: tuple[RouteTarget, ...] | None = None, accept: bool = True
    ) -> None:
        """Give the named nodes (default all) a new desired document."""
        self.generation += 1
        for node in [self.nodes[name] for name in names] or list(self.nodes.values()):
            chosen = self.targets() if targets is None else targets
            node.accept(accept, self.document(node.name, chosen))

    def certify(self) -> None:
        """Let every node know every certificate and record."""
        for node in self.nodes.values():
            for other in self.nodes.values():
                node.trust.nodes[other.name] = NodeFacts(
                    node=other.name,
                    jurisdiction="DE",
                    zones=frozenset({"de"}),
                    not_after_s=int(time.time()) + 3600,
                )
                public = other.private.public_key().public_bytes_raw()
                node.trust.keys[other.name] = public
            node.trust.records["triage"] = record("triage", "de", "chat", "other")

    async def ask(
        self,
        headers: dict[str, str] | None = None,
        body: object = None,
        subject: str = "infer.v1.de.triage.chat.chat",
    ) -> Message:
        return await self.app.request(subject, payload(body), headers, 10.0)

    async def stream(self, headers: dict[str, str] | None = None) -> list[Message]:
        """All messages of a streamed answer, the last one included."""
        wanted = {"Hf-Accept": "stream", **(headers or {})}
        answers = self.app.request_many("infer.v1.de.triage.chat.chat", payload(None), wanted, 15.0)
        got: list[Message] = []
        async with contextlib.aclosing(answers):
            async for message in answers:
                got.append(message)
                if "Hf-Status" in message.headers:
                    break
        return got


def payload(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    prompt = {"messages": [{"role": "user", "content": "hello"}]}
    return json.dumps(prompt if body is None else body).encode()


def error_of(message: Message) -> str:
    """The code of an error answer, having seen that it is well formed."""
    status = message.headers["Hf-Status"]
    assert message.headers["Nats-Service-Error-Code"] == status
    assert message.headers["Nats-Service-Error"]
    error = json.loads(message.body)["error"]
    assert set(error) >= {"code", "message", "next"}
    assert error["code"] == message.headers["Hf-Code"]
    return str(error["code"])


async def until(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Return once ``condition`` holds."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - watches the world from outside
            await asyncio.sleep(0.005)


def text_of(message: Message) -> str:
    """What the engine said in a final answer."""
    return str(json.loads(message.body)["choices"][0]["message"]["content"])


@contextlib.asynccontextmanager
async def running(
    folder: Path, *names: str, capacity: int = 2, entry: tuple[str, ...] | None = None
) -> AsyncIterator[Site]:
    """A running site; only the gateways in ``entry`` (default all) take applications' requests."""
    site = Site()
    servers = []
    for name in names:
        (folder / name).mkdir()
        engine = Engine(folder / name / "s", name)
        servers.append(await asyncio.start_unix_server(engine.converse, str(engine.path)))
        site.nodes[name] = Node(site, name, engine, capacity)
    site.certify()
    site.push()
    workers = []
    for node in site.nodes.values():
        await node.service.open(["de"])
        if entry is not None and node.name not in entry:
            await node.service.leave_entry()
        workers.append(asyncio.create_task(node.service.work()))
    try:
        yield site
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        for node in site.nodes.values():
            await node.bus.close()
        await site.app.close()
        for server in servers:
            server.close()
