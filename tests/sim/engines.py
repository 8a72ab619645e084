"""The engines and devices of one node: processes that load, answer, die, and hold memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast_agent.logic import io
from holdfast_protocol.limits import GIB
from holdfast_protocol.messages import Device, Placement

from tests.sim.ground import BrokenError, Ground
from tests.sim.models import BROKEN


@dataclass
class Engine:
    """One process; it holds its memory until it is gone."""

    placement: Placement
    attempt: int
    memory_bytes: int
    ready: bool = False
    stopping: bool = False


@dataclass
class Engines:
    """Every engine process of a node, and the devices under them."""

    ground: Ground
    node: str
    gpus: int
    memory_gib: int
    lost: set[str] = field(default_factory=set)
    foreign_bytes: dict[str, int] = field(default_factory=dict)
    """By device, what others than engines hold."""
    tell: Callable[[io.Input], None] = lambda _: None
    claimed: Callable[[str], int] | None = None
    """Of simulated GPUs: what the agent's ledger says, since there is no driver to ask."""
    by_slot: dict[str, Engine] = field(default_factory=dict)
    _read_bytes: dict[str, int] = field(default_factory=dict)
    _unheard: set[str] = field(default_factory=set)
    """Slots that answered until their end, of which the agent has not heard yet."""
    _said_s: float = 0.0
    _life: int = 0

    @property
    def uuids(self) -> tuple[str, ...]:
        """The GPUs of this node."""
        return tuple(f"GPU-{self.node}-{number}" for number in range(self.gpus))

    @property
    def total_bytes(self) -> int:
        """The memory of each GPU."""
        return self.memory_gib * GIB

    def devices(self) -> tuple[Device, ...]:
        """Return what the driver says now."""
        self._read_bytes = {uuid: self._used_bytes(uuid) for uuid in self.uuids}
        return tuple(
            Device(
                uuid=uuid,
                kind="gpu",
                name="GPU",
                memory_total_bytes=self.total_bytes,
                memory_used_bytes=self._read_bytes[uuid],
                health="lost" if uuid in self.lost else "ok",
            )
            for uuid in self.uuids
        )

    def free_bytes(self, uuid: str) -> int:
        """Return what neither engines nor others hold of a device, claims counted whole."""
        return self.total_bytes - self._claimed_bytes(uuid) - self.foreign_bytes.get(uuid, 0)

    def running(self, digest: str) -> list[str]:
        """Return the slots whose process runs the model."""
        return sorted(
            slot
            for slot, engine in self.by_slot.items()
            if engine.placement.manifest_digest == digest
        )

    def answers(self, slot: str) -> bool:
        """Tell whether the slot answers, as far as the agent can know."""
        return slot in self.ready_slots() or slot in self._unheard

    def ready_slots(self) -> list[str]:
        """Return the slots that answer."""
        return sorted(slot for slot, engine in self.by_slot.items() if engine.ready)

    def check_room(self, placement: Placement) -> None:
        """Raise where a start would overbook the device or run a slot twice."""
        uuid, slot = placement.device, placement.slot
        if slot in self.by_slot:
            raise BrokenError("one engine a slot", f"{slot} on {self.node}")
        if uuid not in self.uuids:
            raise BrokenError("engines start on devices that exist", f"{slot} on {uuid}")
        used = max(self._claimed_bytes(uuid), self._read_bytes.get(uuid, 0))
        if used + placement.claim_bytes > self.total_bytes:
            raise BrokenError(
                "no device is overbooked",
                f"{slot} on {uuid}: {used // GIB} of {self.memory_gib} GiB are used, "
                f"{placement.claim_bytes // GIB} more",
            )

    # ------------------------------------------------------------ life

    def start(self, order: io.StartEngine) -> None:
        """Begin to load; it becomes ready or fails."""
        ground, slot = self.ground, order.placement.slot
        share = 0.8 + 0.2 * ground.dice.random()
        engine = Engine(order.placement, order.attempt, int(order.placement.claim_bytes * share))
        self.by_slot[slot] = engine
        ground.note(f"{self.node} engine {slot} loads")
        load_s = 0.5 + ground.dice.random() * 3.0
        fails = order.placement.model == BROKEN or ground.chance(ground.weather.failure)

        def probing() -> None:
            if self._lives(engine):
                self._say(io.EngineProbing(slot=slot, attempt=order.attempt))

        def loaded() -> None:
            if not self._lives(engine):
                return
            if fails or order.placement.device in self.lost:
                self._end(engine, "PROBE_FAILED")
                return
            engine.ready = True
            ground.note(f"{self.node} engine {slot} ready")
            ready = io.EngineReady(
                slot=slot,
                attempt=order.attempt,
                socket=f"/run/{slot}",
                memory_bytes=engine.memory_bytes,
                load_seconds=load_s,
            )
            self._say(ready)

        self._later(load_s * 0.7, probing)
        self._later(load_s, loaded)

    def stop(self, order: io.StopEngine) -> None:
        """End the slot's process, whatever it was doing, and say so."""
        engine = self.by_slot.get(order.slot)
        if engine is not None:
            engine.ready, engine.stopping = False, True

        def gone() -> None:
            if engine is not None and self.by_slot.get(order.slot) is engine:
                del self.by_slot[order.slot]
            self._say(io.EngineStopped(slot=order.slot, attempt=order.attempt))

        self._later(0.05 + self.ground.dice.random() * 1.5, gone)

    def fail_one(self) -> None:
        """Let one engine die by itself."""
        if self.by_slot:
            slot = self.ground.dice.choice(sorted(self.by_slot))
            self._end(self.by_slot[slot], "ENGINE_FAILED")

    def lose(self, uuid: str) -> None:
        """Take a device away, and with it what runs there."""
        self.ground.note(f"{self.node} loses {uuid}")
        self.lost.add(uuid)
        for engine in list(self.by_slot.values()):
            if engine.placement.device == uuid:
                self._end(engine, "ENGINE_FAILED")

    def all_die(self) -> None:
        """End with the agent: nobody is told."""
        self._life += 1
        self._unheard.clear()
        self.by_slot.clear()

    def _end(self, engine: Engine, code: str) -> None:
        slot = engine.placement.slot
        if not self._lives(engine):
            return
        self.ground.note(f"{self.node} engine {slot} ends: {code}")
        if engine.ready:
            self._unheard.add(slot)
        del self.by_slot[slot]
        failed = io.Failed(slot=slot, attempt=engine.attempt, code=code, message="It ended.")
        self._say(failed)
        self._later(self._said_s - self.ground.now_s, lambda: self._unheard.discard(slot))

    def _lives(self, engine: Engine) -> bool:
        return self.by_slot.get(engine.placement.slot) is engine and not engine.stopping

    def _say(self, given: io.Input) -> None:
        """Put ``given`` into the agent's queue: in order, behind whatever waits there."""
        ground = self.ground
        self._said_s = max(self._said_s, ground.now_s + ground.dice.random() ** 3 * 0.3)
        self._later(self._said_s - ground.now_s, lambda: self.tell(given))

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Have ``act`` made in ``delay_s`` unless the agent, and with it this host, died."""
        life = self._life
        self.ground.after(delay_s, lambda: act() if life == self._life else None)

    def _claimed_bytes(self, uuid: str) -> int:
        return sum(
            one.placement.claim_bytes
            for one in self.by_slot.values()
            if one.placement.device == uuid
        )

    def _used_bytes(self, uuid: str) -> int:
        if self.claimed is not None:
            return self.claimed(uuid)
        ours = sum(
            one.memory_bytes for one in self.by_slot.values() if one.placement.device == uuid
        )
        return ours + self.foreign_bytes.get(uuid, 0)
