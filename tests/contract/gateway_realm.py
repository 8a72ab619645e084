"""Gateways as the programs they are: processes, a real broker, officers' real trust, real keys.

What an agent would do is done here: the trust folder is refreshed from the site's repository, the
state file and the feed carry a desired document that the controller's key signed. Engines speak
HTTP behind unix sockets. Applications are plain users of their own accounts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from holdfast_agent.adapters.gateway_feed import GatewayFeed
from holdfast_bundles.site import AppRecord, SiteCertificate, propose_app, propose_node
from holdfast_protocol import signed
from holdfast_protocol.bus.nats_bus import NatsBus, connect
from holdfast_protocol.codec import encode
from holdfast_protocol.configs import GatewayConfig
from holdfast_protocol.identity import permissions
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

from tests.contract.realm import Broker, Realm
from tests.contract.realm import running as running_brokers
from tests.unit.bundles import site_world

ZONES = {"de": "DE", "fr": "FR"}
DIGEST = "sha256:" + "0" * 64
SCRIPT = Path(sys.executable).with_name("holdfast-gateway")
OPERATIONS: dict[str, tuple[Operation, ...]] = {
    "chat": ("chat", "complete"),
    "vectors": ("embed",),
    "paris": ("chat",),
}
READY_S = 20.0


class GatewayProcess:
    """One node: its gateway's process, the agent's side of it, and a socket for its engine."""

    def __init__(self, site: GatewayRealm, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self.folder = site.folder / name
        self.folder.mkdir()
        self.engine = self.folder / "s"
        self.private = X25519PrivateKey.generate()
        self.process: asyncio.subprocess.Process | None = None
        self.feed = GatewayFeed(self.folder / "agent.sock")
        self._site = site

    def slots(self) -> tuple[LocalSlot, ...]:
        return tuple(
            LocalSlot(
                slot=f"{alias}-{self.name}",
                alias=alias,
                digest=DIGEST,
                generation=1,
                zone="de",
                socket=str(self.engine),
                operations=operations,
                capacity=self.capacity,
                accept=True,
            )
            for alias, operations in OPERATIONS.items()
            if alias != "paris"
        )

    async def publish(self, document: bytes) -> None:
        """Tell the gateway its state, by the feed and by the file."""
        state = encode(GatewayState(document=document, slots=self.slots()))
        (self.folder / "gateway.json").write_bytes(state)
        await self.feed.publish(GatewayState(document=document, slots=self.slots()))

    async def start(self) -> None:
        """Run the program and wait until it says that it serves."""
        with (self.folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                str(SCRIPT), "--config", str(self.folder / "gateway.config"),
                stdout=asyncio.subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(READY_S):
            while f"The gateway of {self.name} serves" not in self.log():
                assert self.process.returncode is None, self.log()
                await asyncio.sleep(0.02)

    async def stop(self) -> int:
        """End it as a supervisor does; returns its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(20):
            return await self.process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def configure(self, credentials: Path) -> None:
        key = self.folder / "x25519.key"
        key.touch(0o600)
        key.write_text(self.private.private_bytes_raw().hex())
        (self.folder / "root.json").write_bytes(self._site.world.pinned)
        config = GatewayConfig(
            site=self._site.world.name,
            node=self.name,
            credentials=str(credentials),
            root=str(self.folder / "root.json"),
            controller_key=self._site.controller.public_key().public_bytes_raw().hex(),
            trust=str(self.folder / "trust"),
            state_file=str(self.folder / "gateway.json"),
            agent_socket=str(self.folder / "agent.sock"),
            x25519_key=str(key),
            zones=ZONES,
            segment=str(self.folder / "segment"),
        )
        (self.folder / "gateway.config").write_bytes(encode(config))

    def refresh(self) -> None:
        """Bring the node's trust up to date, as its agent would."""
        trust = self._site.world.trust(self.folder / "trust")
        outcome = trust.refresh(self._site.world.fetch, time.time())
        assert outcome.outcome.name == "FRESH", outcome


class GatewayRealm:
    """A site of zone de with an application ``triage``, and ``nosy`` which is granted nothing."""

    def __init__(self, folder: Path, names: tuple[str, ...], capacity: int) -> None:
        self.folder = folder
        self.world = site_world.new_site("north")
        self.controller = Ed25519PrivateKey.generate()
        (folder / "realm").mkdir()
        self.realm = Realm(folder / "realm", apps=[("triage", "de"), ("nosy", "de")])
        self.broker: Broker = self.realm.broker("broker-de", zone="de")
        self.nodes = {name: GatewayProcess(self, name, capacity) for name in names}
        self.generation = 0
        self.snapshot = 0

    def certify(self) -> None:
        """Let the officers sign certificates and records, and every node learn them."""
        for node in self.nodes.values():
            self.world.commit(propose_node(self.world.at(), self._certificate(node)), 0, 1)
        for app, aliases in (("triage", ("chat", "vectors", "paris", "soon")), ("nosy", ())):
            record = AppRecord(
                app=app,
                zone="de",
                residency=("DE",),
                classification=0,
                purposes=(),
                aliases=aliases,
                user_public="U" + "C" * 55,
                serial=1,
            )
            self.world.commit(propose_app(self.world.at(), record, ZONES), 0)
        self.publish()

    def stamp(self) -> None:
        """Stamp the repository anew; the next document names its snapshot."""
        self.world.publish(time.time())
        self.snapshot = self.world.last.snapshot_version

    def publish(self) -> None:
        """Stamp the repository anew and let every node refresh."""
        self.stamp()
        for node in self.nodes.values():
            node.refresh()

    async def start(self, programs: tuple[str, ...]) -> None:
        """Give every node its identity and state, and run the programs of some."""
        for node in self.nodes.values():
            peers = [peer for peer in self.nodes if peer != node.name]
            rights = permissions.gateway(node.name, ["de"], peers)
            node.configure(
                self.realm.identity(self.realm.inference, node.name, rights, self.broker)
            )
            await node.feed.start()
        await self.push()
        async with asyncio.TaskGroup() as group:
            for name in programs:
                group.create_task(self.nodes[name].start())

    async def stop(self) -> None:
        """End every program and feed."""
        for node in self.nodes.values():
            if node.process is not None and node.process.returncode is None:
                node.process.kill()
                await node.process.wait()
            node.feed.close()

    async def push(self, *targets: str) -> None:
        """Give every gateway a new document; ``targets`` (default all) may answer."""
        self.generation += 1
        serving = [self.nodes[name] for name in targets] or list(self.nodes.values())
        for node in self.nodes.values():
            await node.publish(self._document(node.name, serving))

    def _document(self, name: str, serving: list[GatewayProcess]) -> bytes:
        routes = []
        for alias, operations in OPERATIONS.items():
            zone = "fr" if alias == "paris" else "de"
            replicas = tuple(
                RouteTarget(node=n.name, zone=zone, slot=f"{alias}-{n.name}", capacity=n.capacity)
                for n in serving
            )
            routes.append(
                Route(
                    alias=alias,
                    epoch=self.generation,
                    digest=DIGEST,
                    operations=operations,
                    targets=replicas,
                )
            )
        desired = Desired(
            node=name,
            epoch=1,
            generation=self.generation,
            issued=time.time(),
            placements=(),
            routes=tuple(routes),
            grants=(Grant(app="triage", zone="de", aliases=("chat", "vectors", "paris", "soon")),),
            policy_serial=0,
            trust=TrustMark(snapshot=self.snapshot, timestamp=1),
        )
        return encode(signed.sign(encode(desired), self.controller, signed.DESIRED_CONTEXT))

    def _certificate(self, node: GatewayProcess) -> SiteCertificate:
        return SiteCertificate(
            node=node.name,
            jurisdiction="DE",
            zones=("de",),
            nats_public="U" + "A" * 55,
            gateway_nats_public="U" + "B" * 55,
            x25519_public=node.private.public_key().public_bytes_raw().hex(),
            tls_spki_sha256="cd" * 32,
            limits={},
            not_after_s=int(time.time()) + 86_400,
        )

    async def application(self, name: str) -> NatsBus:
        """A connected user of an application's account."""
        return await connect(self.realm.application(name, self.broker), name=name)


@contextlib.asynccontextmanager
async def running(
    *names: str, capacity: int = 2, programs: tuple[str, ...] | None = None
) -> AsyncIterator[GatewayRealm]:
    """Run broker and gateways (only those in ``programs``, where given).

    Engines are the caller's, at each node's ``engine`` path.
    """
    folder = Path(tempfile.mkdtemp(prefix="hf-gw-"))  # short: sockets lie below it
    try:
        realm = GatewayRealm(folder, names, capacity)
        realm.certify()
        async with running_brokers(realm.broker):
            try:
                await realm.start(names if programs is None else programs)
                yield realm
            finally:
                await realm.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def chat(text: str = "hello") -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
