"""A node: the agent's real core over a disk that survives it, and the engines that do not.

What runs is judged here, where it runs: an engine is started only for a model that officers
approved, in a zone of the node's certificate, with room on its device, once per slot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from holdfast_agent.logic import io
from holdfast_agent.logic.core import Core, Identity
from holdfast_agent.logic.ledger import claimed_bytes
from holdfast_controller.logic.io import ReportSeen
from holdfast_protocol.codec import decode
from holdfast_protocol.messages import Desired, GatewayState, NodeEvent, Placement
from holdfast_protocol.signed import SignedDocument

from tests.sim.ceremony import ceremony, certificate, public_bytes
from tests.sim.engines import Engines
from tests.sim.ground import BrokenError, Ground
from tests.sim.network import CONTROLLER, Hub
from tests.sim.trust_store import Refreshing, TrustStore
from tests.sim.variant import Variant
from tests.sim.witness import Witness

TICK_S = 0.75
POLL_S = 30.0
SEEN_DENIAL_S = 4.0


def payload_of(document: bytes) -> Desired:
    """Return what a signed desired document says."""
    return decode(decode(document, SignedDocument).payload, Desired)


@dataclass
class Disk:
    """What survives the agent."""

    trust: TrustStore
    desired: bytes | None = None
    accepted: set[str] = field(default_factory=set)
    spool: list[NodeEvent] = field(default_factory=list)


@dataclass
class Node:
    """One machine: its agent comes and goes."""

    ground: Ground
    hub: Hub
    witness: Witness
    name: str
    variant: Variant
    engines: Engines
    simulated_gpus: bool = False
    core: Core | None = None
    gateway: GatewayState | None = None
    emitted: list[NodeEvent] = field(default_factory=list)
    in_flight: dict[str, int] = field(default_factory=dict)
    gone: bool = False
    """Switched off for the rest of the history."""
    _life: int = 0
    _stamp: tuple[int, int] = (0, 0)
    _sending: bool = False
    _ticks: int = 0
    _polled_at_s: float = 0.0
    _denied_at_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.disk = Disk(trust=TrustStore(self.name))
        self.hub.followers[self.name] = self._pushed
        self.engines.tell = self.tell
        if self.simulated_gpus:
            self.engines.claimed = self._claimed

    @property
    def accepted(self) -> Desired | None:
        """The document in force, as the gateway was given it."""
        if self.gateway is None or self.gateway.document is None:
            return None
        return payload_of(self.gateway.document)

    def _claimed(self, uuid: str) -> int:
        return 0 if self.core is None else claimed_bytes(self.core.slots.values(), uuid)

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Start the agent with what the disk holds."""
        if self.core is not None or self.gone:
            return
        self._life += 1
        self._sending = False
        self.ground.note(f"{self.name} starts")
        identity = Identity(
            node=self.name,
            boot=f"boot-{self._life}",
            controller_key=public_bytes(ceremony().desired),
            engine="xllamacpp 1",
            isolation="none",
        )
        self.core = self.variant.agent(identity, set(self.disk.accepted))
        trust = self.disk.trust.offline(self.ground.now_s)
        self.tell(io.TrustRefreshed(view=self.variant.trust(trust)))
        if self.disk.desired is not None:
            self.tell(io.DesiredArrived(document=self.disk.desired))
        self._tick(self._life)
        self._poll()

    def kill(self) -> None:
        """End the agent and with it its engines."""
        if self.core is None:
            return
        self.ground.note(f"{self.name} dies")
        self.core = None
        self.gateway = None
        self._life += 1
        self._denied_at_s.clear()
        self.engines.all_die()
        self.ground.after(0.5 + self.ground.dice.random() * 8.0, self.start)

    def reconnected(self) -> None:
        """After a partition: what was pushed meanwhile is read anew."""
        self._poll()

    def tell(self, given: io.Input) -> None:
        """Let the core take ``given`` in, if the agent runs."""
        core, life = self.core, self._life
        if core is None:
            return
        for effect in core.step(self.ground.now_s, given):
            if life != self._life:
                return
            self._do(effect)

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Have ``act`` made in ``delay_s`` if the agent still lives then."""
        life = self._life
        self.ground.after(delay_s, lambda: act() if life == self._life else None)

    def _tick(self, life: int) -> None:
        if life != self._life or self.core is None:
            return
        self._ticks += 1
        if self._ticks % 2 == 0:
            self.tell(io.DevicesRead(devices=self.engines.devices()))
        else:
            self.tell(io.GatewaySeen(connected=True, in_flight=dict(self.in_flight)))
        self._drain()
        self._check_denied()
        if self.ground.now_s - self._polled_at_s >= POLL_S:
            self._poll()
        self._later(TICK_S, lambda: self._tick(life))

    def _poll(self) -> None:
        self._polled_at_s = self.ground.now_s
        life = self._life

        def found(document: bytes | None) -> None:
            if life == self._life and document is not None:
                self.tell(io.DesiredArrived(document=document))
            elif life == self._life:
                self._polled_at_s = self.ground.now_s - POLL_S + 2.0

        self.hub.read(self.name, found)

    def _pushed(self, document: bytes) -> None:
        self.tell(io.DesiredArrived(document=document))

    # ------------------------------------------------------------ effects

    def _do(self, effect: io.Effect) -> None:
        match effect:
            case io.StoreDesired():
                self._store(effect)
            case io.RefreshTrust():
                self._refresh()
            case io.Fetch():
                self._fetch(effect)
            case io.StartEngine():
                self._start_engine(effect)
            case io.StopEngine():
                self.engines.stop(effect)
            case io.PublishReport():
                given = ReportSeen(report=effect.report)
                net = self.hub.net
                net.carry(self.name, CONTROLLER, lambda: self.hub.tell_controller(given))
            case io.PublishGateway():
                self._published(effect.state)
            case io.RecordEvent():
                event = effect.event
                self.ground.note(f"{self.name} {event.kind} {event.subject} {event.code}")
                self.disk.spool.append(event)
                self.emitted.append(event)
            case io.RememberAccepted():
                self.disk.accepted = set(effect.digests)
            case _:
                assert_never(effect)

    def _store(self, effect: io.StoreDesired) -> None:
        ground = self.ground
        if ground.chance(ground.weather.crash):
            self.kill()
            return
        document = payload_of(effect.document)
        stamp = (document.epoch, document.generation)
        held = payload_of(self.disk.desired) if self.disk.desired is not None else None
        if held is not None and stamp < (held.epoch, held.generation):
            raise BrokenError("accepted documents never fall", f"{self.name} to {stamp}")
        self.ground.note(f"{self.name} stores {stamp}")
        self.disk.desired = effect.document
        if ground.chance(ground.weather.crash):
            self.kill()
            return
        self._later(0.005, lambda: self.tell(io.DesiredStored(digest=effect.digest)))

    def _published(self, state: GatewayState) -> None:
        self.gateway = state
        for slot in state.slots:
            if slot.accept and not self.engines.answers(slot.slot):
                raise BrokenError("what is offered answers", f"{slot.slot} on {self.name}")
        if state.document is None:
            return
        document = payload_of(state.document)
        stamp = (document.epoch, document.generation)
        held = payload_of(self.disk.desired) if self.disk.desired is not None else None
        if held is None or (held.epoch, held.generation) < stamp:
            raise BrokenError("a document is stored before it is followed", f"{self.name} {stamp}")
        if stamp < self._stamp:
            raise BrokenError("accepted documents never fall", f"{self.name} to {stamp}")
        self._stamp = stamp

    def _refresh(self) -> None:
        life = self._life

        def done(trust: io.TrustView) -> None:
            if life != self._life:
                return
            self.ground.note(f"{self.name} trust {trust.outcome} {trust.snapshot}")
            self._see_denials()
            self.tell(io.TrustRefreshed(view=self.variant.trust(trust)))

        Refreshing(self.ground, self.hub, self.disk.trust, done).start()

    def _fetch(self, effect: io.Fetch) -> None:
        slot, attempt = effect.placement.slot, effect.attempt

        def fetched() -> None:
            placement = effect.placement
            view = self.disk.trust.view(self.ground.now_s)
            known = view.approval(placement.model, placement.version)
            if known is None or known.digest != placement.manifest_digest:
                self._failed(slot, attempt, "NOT_APPROVED")
            elif self.ground.chance(self.ground.weather.failure):
                self._failed(slot, attempt, "BLOB_MISSING")
            else:
                self.tell(io.Fetched(slot=slot, attempt=attempt))

        progress = io.FetchProgressed(slot=slot, attempt=attempt, bytes_done=1, bytes_total=2)
        self._later(0.2, lambda: self.tell(progress))
        self._later(0.3 + self.ground.dice.random() * 2.0, fetched)

    def _failed(self, slot: str, attempt: int, code: str) -> None:
        self.tell(io.Failed(slot=slot, attempt=attempt, code=code, message="It did not work."))

    def _start_engine(self, effect: io.StartEngine) -> None:
        self._check_start(effect.placement)
        self.engines.start(effect)

    # ------------------------------------------------------------ spool

    def _drain(self) -> None:
        """Hand the oldest event to the stream; the next one follows its acknowledgement."""
        if self._sending or not self.disk.spool:
            return
        self._sending = True
        event = self.disk.spool[0]

        def stored() -> None:
            if self.disk.spool and self.disk.spool[0] == event:
                self.disk.spool.pop(0)
                self._sending = False
                self._drain()

        def late() -> None:
            self._sending = False

        self.hub.store_event(f"{event.node}-{event.boot}-{event.seq}", event, stored)
        self._later(1.0, late)

    # ------------------------------------------------------------ rules

    def _check_start(self, placement: Placement) -> None:
        self.witness.look()
        what = f"{placement.slot} on {self.name}"
        name = f"{placement.model}@{placement.version}"
        if self.witness.approved.get(placement.manifest_digest) != name:
            raise BrokenError("only approved models start", f"{what}: {name}")
        if placement.manifest_digest in self._denied_at_s:
            raise BrokenError("nothing denied starts", what)
        if placement.zone not in certificate(self.name).zones:
            raise BrokenError("replicas stay in their zones", f"{what} for {placement.zone}")
        self.engines.check_room(placement)

    def _see_denials(self) -> None:
        view = self.disk.trust.view(self.ground.now_s)
        for what in sorted(self.witness.denied):
            if what.startswith("sha256:") and view.denied(what):
                self._denied_at_s.setdefault(what, self.ground.now_s)

    def _check_denied(self) -> None:
        for digest, since_s in self._denied_at_s.items():
            running = self.engines.running(digest)
            if running and self.ground.now_s - since_s > SEEN_DENIAL_S:
                raise BrokenError("nothing denied keeps running", f"{running} on {self.name}")
