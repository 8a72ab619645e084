"""The agent's core: one synchronous step from an input to the effects it calls for.

Every input is folded into the state, then the whole state is reconciled: level-triggered, so a
lost, doubled or late input changes nothing that the next one would not repair. A desired document
is stored before it is acted upon. No clock, no I/O: the shell and the simulation run the same
core.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import REPORT_EVERY_S
from holdfast_protocol.messages import (
    Desired,
    Device,
    GatewayState,
    NodeEvent,
    Placement,
    Report,
)

from holdfast_agent.logic import io, report
from holdfast_agent.logic.ledger import drift, loading
from holdfast_agent.logic.slot import BUSY, MESSAGE_LENGTH, STOP_GRACE_S, Slot
from holdfast_agent.logic.stamp import Stamp, judge, read

TRUST_EVERY_S = 60.0
TRUST_AGAIN_S = 3.0
"""While the last refresh did not end fresh: the controller may just have been away."""


@dataclass(frozen=True)
class Identity:
    """Who this node is; where it stands comes from its site certificate, never from here."""

    node: str
    boot: str
    controller_key: bytes
    engine: str
    isolation: str


@dataclass
class _Accepted:
    """The desired document in force and the bytes it came in."""

    stamp: Stamp
    document: bytes
    desired: Desired


@dataclass
class Core:
    """State of one agent; ``step`` is the only way in."""

    identity: Identity
    accepted_digests: set[str] = field(default_factory=set)
    slots: dict[str, Slot] = field(default_factory=dict)
    _accepted: _Accepted | None = None
    _storing: _Accepted | None = None
    _trust: io.TrustView | None = None
    _refreshing: bool = False
    _refreshed_at_s: float = float("-inf")
    _asked_for: int = 0
    """The newest announced snapshot that a refresh was begun for."""
    _devices: dict[str, Device] = field(default_factory=dict)
    _host: io.HostRead | None = None
    _gateway: io.GatewaySeen = io.NO_GATEWAY
    _seq: int = 0
    _event_seq: int = 0
    _reported_at_s: float = float("-inf")
    _published: GatewayState | None = None

    def step(self, now_s: float, given: io.Input) -> list[io.Effect]:
        """Return what is to be done after ``given`` arrived at ``now_s`` (Unix seconds)."""
        effects = self._fold(now_s, given)
        effects += self._reconcile(now_s)
        state = self._gateway_state()
        if state != self._published:
            self._published = state
            effects.append(io.PublishGateway(state=state))
        due = now_s - self._reported_at_s >= REPORT_EVERY_S or now_s < self._reported_at_s
        # A report is absolute: one without devices would say that they are all gone.
        if due and self._devices:
            self._reported_at_s = now_s
            effects.append(io.PublishReport(report=self._report(now_s)))
        return effects

    # ------------------------------------------------------------ fold

    def _fold(self, now_s: float, given: io.Input) -> list[io.Effect]:
        match given:
            case io.DesiredArrived():
                return self._desired_arrived(now_s, given.document)
            case io.DesiredStored():
                if self._storing is not None and self._storing.stamp.digest == given.digest:
                    self._accepted, self._storing = self._storing, None
            case io.DesiredNotStored():
                self._storing = None
            case io.TrustRefreshed():
                self._refreshing = False
                self._refreshed_at_s = now_s
                if self._trust is None or given.view.snapshot > self._trust.snapshot:
                    self._retry_now(now_s)
                self._trust = given.view
            case io.DevicesRead():
                self._devices = {device.uuid: device for device in given.devices}
            case io.HostRead():
                self._host = given
            case io.GatewaySeen():
                return self._gateway_seen(now_s, given)
            case io.Ticked():
                pass
            case (
                io.Fetched()
                | io.FetchProgressed()
                | io.EngineProbing()
                | io.EngineReady()
                | io.Failed()
                | io.EngineStopped()
            ):
                return self._slot_answered(now_s, given)
            case _:
                assert_never(given)
        return []

    def _gateway_seen(self, now_s: float, given: io.GatewaySeen) -> list[io.Effect]:
        before, self._gateway = self._gateway.policy_refused, given
        for slot in self.slots.values():
            slot.in_flight = given.in_flight.get(slot.placement.slot, 0)
        why = given.policy_refused
        if why in ("", before):
            return []
        return [self._event(now_s, "policy-refused", "policy", "POLICY_INVALID", why)]

    def _desired_arrived(self, now_s: float, document: bytes) -> list[io.Effect]:
        try:
            desired, digest = read(document, self.identity.controller_key)
        except HoldfastError as error:
            return [self._event(now_s, "desired-refused", "desired", error.code, error.message)]
        newest = self._storing or self._accepted
        match judge(self.identity.node, desired, digest, newest.stamp if newest else None):
            case "accept":
                stamp = Stamp(desired.epoch, desired.generation, digest)
                self._storing = _Accepted(stamp, document, desired)
                return [io.StoreDesired(document=document, digest=digest)]
            case "conflict":
                message = "Two desired documents carry the same stamp with different content."
                return [self._event(now_s, "desired-conflict", "desired", None, message)]
            case "foreign":
                message = "A desired document for another node arrived."
                return [self._event(now_s, "desired-foreign", "desired", None, message)]
            case "same" | "older":
                return []

    def _slot_answered(
        self,
        now_s: float,
        given: io.Fetched
        | io.FetchProgressed
        | io.EngineProbing
        | io.EngineReady
        | io.Failed
        | io.EngineStopped,
    ) -> list[io.Effect]:
        slot = self.slots.get(given.slot)
        if slot is None or slot.attempt != given.attempt:
            return []  # of an attempt that was abandoned
        match given:
            case io.Fetched():
                slot.fetched = True
                slot.bytes_done = slot.bytes_total
            case io.FetchProgressed():
                slot.bytes_done, slot.bytes_total = given.bytes_done, given.bytes_total
            case io.EngineProbing():
                if slot.state == "loading":
                    slot.state = "probing"
            case io.EngineReady():
                # While it loaded, a denial or a new document may have had it stopped.
                if slot.state in ("loading", "probing"):
                    return self._became_ready(now_s, slot, given)
            case io.Failed():
                return self._slot_failed(now_s, slot, given)
            case io.EngineStopped():
                slot.stopping = False
                slot.socket = None
                if slot.state == "draining":
                    slot.state = "stopped"
        return []

    def _became_ready(self, now_s: float, slot: Slot, given: io.EngineReady) -> list[io.Effect]:
        slot.serve(given.socket, given.memory_bytes, given.load_seconds)
        digest = slot.placement.manifest_digest
        effects: list[io.Effect] = [
            self._event(now_s, "slot-ready", slot.placement.slot, None, digest)
        ]
        if digest not in self.accepted_digests:
            self.accepted_digests.add(digest)
            effects.append(io.RememberAccepted(digests=tuple(sorted(self.accepted_digests))))
        return effects

    def _slot_failed(self, now_s: float, slot: Slot, given: io.Failed) -> list[io.Effect]:
        was_ready = slot.state in ("ready", "draining")
        if slot.state == "draining":
            slot.state, slot.socket = "stopped", None
            return []
        slot.fail(now_s, given.code, given.message)
        if was_ready:
            slot.restarts += 1
            slot.retry_at_s = now_s if slot.failures == 1 else slot.retry_at_s
        kind = "engine-died" if was_ready else "slot-failed"
        return [self._event(now_s, kind, slot.placement.slot, given.code, given.message)]

    def _retry_now(self, now_s: float) -> None:
        """News may lift what refused a slot: an approval, a lifted denial."""
        for slot in self.slots.values():
            slot.retry_at_s = min(slot.retry_at_s, now_s)

    # ------------------------------------------------------------ reconcile

    def _reconcile(self, now_s: float) -> list[io.Effect]:
        effects: list[io.Effect] = []
        if self._trust_is_due(now_s):
            self._refreshing, self._asked_for = True, self._mark()
            effects.append(io.RefreshTrust())
        wanted = self._wanted()
        for name, placement in sorted(wanted.items()):
            if name not in self.slots:
                self.slots[name] = Slot(placement=placement)
        for name in sorted(self.slots):
            slot = self.slots[name]
            if name in wanted and slot.takes(wanted[name]):
                effects += self._advance(now_s, slot)
            else:
                effects += self._retire(now_s, slot)
                if name in wanted and slot.state == "stopped" and not slot.stopping:
                    # Attempts count on: a late answer to the old replica is not one to the new.
                    self.slots[name] = Slot(placement=wanted[name], attempt=slot.attempt)
        self.slots = {
            name: slot
            for name, slot in self.slots.items()
            if name in wanted or slot.state != "stopped"
        }
        return effects

    def _wanted(self) -> dict[str, Placement]:
        if self._accepted is None:
            return {}
        return {placement.slot: placement for placement in self._accepted.desired.placements}

    def _trust_is_due(self, now_s: float) -> bool:
        if self._refreshing:
            return False
        fresh = self._trust is not None and self._trust.outcome == "fresh"
        every_s = TRUST_EVERY_S if fresh else TRUST_AGAIN_S
        if self._trust is None or now_s - self._refreshed_at_s >= every_s:
            return True
        # A denial must not wait because something else was announced just before it.
        news = self._mark() > self._asked_for or now_s - self._refreshed_at_s >= 1.0
        return self._mark() > self._trust.snapshot and news

    def _mark(self) -> int:
        return self._accepted.desired.trust.snapshot if self._accepted else 0

    def _advance(self, now_s: float, slot: Slot) -> list[io.Effect]:
        """Take a wanted slot one step on."""
        if self._trust is None:
            return []
        if self._trust.denied(slot.placement):
            return self._stop_denied(now_s, slot)
        match slot.state:
            case "planned":
                return self._admit(now_s, slot)
            case "failed" | "stopped":
                if now_s >= slot.retry_at_s and not slot.stopping:
                    slot.state = "planned"
                    return self._admit(now_s, slot)
            case "fetching":
                if slot.fetched:
                    return self._load(now_s, slot)
            case "draining":
                pass  # wanted again while it drains: it finishes, then starts anew
            case "loading" | "probing" | "ready":
                pass
            case _:
                assert_never(slot.state)
        return []

    def _admit(self, now_s: float, slot: Slot) -> list[io.Effect]:
        """Approval, denial and trust are checked on the node, before a byte is fetched."""
        if self._trust is None or self._refreshing:
            return []
        if self._mark() > self._trust.snapshot and self._trust.outcome == "fresh":
            return []  # a newer trust was announced; wait for it
        known = slot.placement.manifest_digest in self.accepted_digests
        refusal = self._trust.refusal(slot.placement, known)
        if refusal is not None:
            return self._refuse(now_s, slot, *refusal)
        slot.attempt += 1
        slot.state = "fetching"
        slot.fetched = False
        return [io.Fetch(placement=slot.placement, attempt=slot.attempt)]

    def _load(self, now_s: float, slot: Slot) -> list[io.Effect]:
        if loading(self.slots.values(), slot.placement.device):
            return []
        reason = drift(slot, self.slots, self._devices)
        if reason is not None:
            return self._refuse(now_s, slot, "VRAM_DRIFT", reason)
        slot.state = "loading"
        return [io.StartEngine(placement=slot.placement, attempt=slot.attempt)]

    def _refuse(self, now_s: float, slot: Slot, code: str, message: str) -> list[io.Effect]:
        told = slot.code == code
        slot.fail(now_s, code, message)
        if told:
            return []  # said once; the report repeats it every second
        return [self._event(now_s, "slot-refused", slot.placement.slot, code, message)]

    def _stop_denied(self, now_s: float, slot: Slot) -> list[io.Effect]:
        message = "An officer denied this model or revoked this node."
        if slot.state == "failed" and slot.code == "DENIED_MODEL":
            return []
        running = slot.state in BUSY or slot.state in ("ready", "draining")
        slot.fail(now_s, "DENIED_MODEL", message)
        effects: list[io.Effect] = [
            self._event(now_s, "slot-denied", slot.placement.slot, "DENIED_MODEL", message)
        ]
        if running:
            slot.stopping = True
            effects.append(
                io.StopEngine(slot=slot.placement.slot, attempt=slot.attempt, grace_s=0.0)
            )
        return effects

    def _retire(self, now_s: float, slot: Slot) -> list[io.Effect]:
        """Take an unwanted slot out of service: requests in flight first, unless it is denied."""
        if slot.stopping:
            return []
        if slot.state in ("planned", "failed", "stopped"):
            slot.state = "stopped"
            return []
        denied = self._trust is not None and self._trust.denied(slot.placement)
        if slot.state == "ready" and not denied:
            slot.drain(now_s)
            return []
        if slot.state == "draining" and not denied and not slot.drained(now_s):
            return []
        slot.state, slot.stopping = "draining", True
        grace_s = 0.0 if denied else STOP_GRACE_S
        return [io.StopEngine(slot=slot.placement.slot, attempt=slot.attempt, grace_s=grace_s)]

    # ------------------------------------------------------------ what others see

    def _gateway_state(self) -> GatewayState:
        local = (slot.local() for _, slot in sorted(self.slots.items()))
        return GatewayState(
            document=self._accepted.document if self._accepted else None,
            slots=tuple(slot for slot in local if slot is not None),
        )

    def _report(self, now_s: float) -> Report:
        self._seq += 1
        return report.build(
            report.Standing(
                node=self.identity.node,
                boot=self.identity.boot,
                seq=self._seq,
                now_s=now_s,
                engine=self.identity.engine,
                isolation=self.identity.isolation,
                stamp=self._accepted.stamp if self._accepted else Stamp(0, 0, ""),
                trust=self._trust,
                host=self._host,
                gateway=self._gateway,
            ),
            self._devices.values(),
            self.slots.values(),
        )

    def _event(
        self, now_s: float, kind: str, subject: str, code: str | None, message: str
    ) -> io.RecordEvent:
        self._event_seq += 1
        return io.RecordEvent(
            event=NodeEvent(
                node=self.identity.node,
                boot=self.identity.boot,
                seq=self._event_seq,
                at=now_s,
                kind=kind,
                subject=subject,
                code=code,
                message=message[:MESSAGE_LENGTH],
            )
        )
