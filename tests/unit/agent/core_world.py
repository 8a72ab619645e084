"""What stands around an agent's core in tests: a controller's key, a trust, devices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_agent.logic import io
from holdfast_agent.logic.core import Core, Identity
from holdfast_protocol.codec import encode
from holdfast_protocol.limits import GIB
from holdfast_protocol.messages import (
    Desired,
    Device,
    EngineSettings,
    LocalSlot,
    Placement,
    TrustMark,
)
from holdfast_protocol.signed import DESIRED_CONTEXT, sign

NODE = "de-1"
GPU = "GPU-1"
E = TypeVar("E", bound=io.Effect)


@dataclass
class Trust:
    """A view of the site's trust as a test says it is; implements ``io.TrustView``."""

    outcome: str = "fresh"
    snapshot: int = 1
    jurisdiction: str = "DE"
    zones: tuple[str, ...] = ("de",)
    approved: set[str] = field(default_factory=set)
    denials: set[str] = field(default_factory=set)

    def refusal(self, placement: Placement, accepted: bool) -> tuple[str, str] | None:
        if placement.manifest_digest in self.denials:
            return ("DENIED_MODEL", "It is denied.")
        if placement.manifest_digest in self.approved:
            return None
        return ("NOT_APPROVED", "It is not approved.")

    def denied(self, placement: Placement) -> bool:
        return placement.manifest_digest in self.denials


def digest(model: str) -> str:
    return f"sha256:{model.encode().hex():0<64}"


def placement(alias: str = "chat", claim_gib: int = 4, generation: int = 1) -> Placement:
    return Placement(
        slot=f"{alias}-{generation}",
        alias=alias,
        model=f"acme/{alias}",
        version="1",
        manifest_digest=digest(alias),
        device=GPU,
        generation=generation,
        zone="de",
        operations=("chat",),
        settings=EngineSettings(),
        claim_bytes=claim_gib * GIB,
        blobs_urls=(),
        ticket=b"",
    )


class Agent:
    """A core with its clock, its controller's key and everything it asked to be done."""

    def __init__(self, trust: Trust | None = None, accepted: set[str] | None = None) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.trust = trust or Trust(approved={digest("chat"), digest("code")})
        self.now_s = 1_800_000_000.0
        self.done: list[io.Effect] = []
        self.core = Core(
            identity=Identity(
                node=NODE,
                boot="b1",
                controller_key=self.key.public_key().public_bytes_raw(),
                engine="xllamacpp 1",
                isolation="none",
            ),
            accepted_digests=accepted or set(),
        )
        self.see_devices()
        self.tell(io.TrustRefreshed(view=self.trust))

    def tell(self, given: io.Input, after_s: float = 0.0) -> list[io.Effect]:
        self.now_s += after_s
        effects = self.core.step(self.now_s, given)
        self.done += effects
        return effects

    def tick(self, after_s: float) -> list[io.Effect]:
        return self.tell(io.Ticked(), after_s)

    def see_devices(self, used_gib: int = 0, total_gib: int = 24) -> list[io.Effect]:
        device = Device(
            uuid=GPU,
            kind="gpu",
            name="GPU",
            memory_total_bytes=total_gib * GIB,
            memory_used_bytes=used_gib * GIB,
        )
        return self.tell(io.DevicesRead(devices=(device,)))

    def document(
        self,
        generation: int,
        *placements: Placement,
        epoch: int = 1,
        node: str = NODE,
        snapshot: int = 1,
    ) -> bytes:
        desired = Desired(
            node=node,
            epoch=epoch,
            generation=generation,
            issued=self.now_s,
            placements=placements,
            routes=(),
            grants=(),
            policy_serial=0,
            trust=TrustMark(snapshot=snapshot, timestamp=1),
        )
        return encode(sign(encode(desired), self.key, DESIRED_CONTEXT))

    def desire(self, generation: int, *placements: Placement) -> list[io.Effect]:
        """Let a document arrive and be stored; return what both steps asked for."""
        arrived = self.tell(io.DesiredArrived(document=self.document(generation, *placements)))
        stored = [effect for effect in arrived if isinstance(effect, io.StoreDesired)]
        for effect in stored:
            arrived = arrived + self.tell(io.DesiredStored(digest=effect.digest))
        return arrived

    def serve(self, alias: str, generation: int = 1) -> None:
        """Bring a slot that was admitted to ready."""
        slot = f"{alias}-{generation}"
        attempt = self.core.slots[slot].attempt
        self.tell(io.Fetched(slot=slot, attempt=attempt))
        self.tell(self.ready(slot))

    def ready(self, slot: str) -> io.EngineReady:
        return io.EngineReady(
            slot=slot,
            attempt=self.core.slots[slot].attempt,
            socket=f"/run/{slot}",
            memory_bytes=3 * GIB,
            load_seconds=1.0,
        )

    def failed(self, slot: str, code: str = "ENGINE_FAILED") -> io.Failed:
        attempt = self.core.slots[slot].attempt
        return io.Failed(slot=slot, attempt=attempt, code=code, message="It ended.")

    def asked(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.done if isinstance(effect, kind)]

    def offered(self) -> dict[str, LocalSlot]:
        """What the gateway was told last that it may use."""
        states = self.asked(io.PublishGateway)
        return {slot.slot: slot for slot in states[-1].state.slots} if states else {}
