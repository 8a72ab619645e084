"""A controller's core with its world around it, in memory: journal, importer, minter, officers.

The world executes effects at once and in order; a test says when things happen. Keys are made at
run time. Nothing here decides for the core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from holdfast_bundles.site import sign_payload
from holdfast_controller.journal.memory import MemoryJournal
from holdfast_controller.logic import io
from holdfast_controller.logic.core import Core, Setup
from holdfast_controller.logic.desired import Issuer
from holdfast_policy.checking import check
from holdfast_protocol import api, codec
from holdfast_protocol.limits import GIB, MIB
from holdfast_protocol.messages import Desired, Device, RelayReport, Report, SlotReport
from holdfast_protocol.signed import DESIRED_CONTEXT, SignedDocument, open_signed

from tests.unit.controller.controller_fakes import (
    NODES,
    START,
    FakeImporter,
    brokers,
    keys,
    signed_by_minter,
)
from tests.vendor_roots import vendor_root


class World:
    """One controller; ``effects`` are carried out until nothing is left to do."""

    def __init__(self, journal: MemoryJournal | None = None, now_s: float = START) -> None:
        self.journal = journal or MemoryJournal()
        self.importer = FakeImporter()
        self.now_s = now_s
        self.answers: dict[int, bytes] = {}
        self.published: dict[str, tuple[int, int, bytes]] = {}
        self.acked: list[int] = []
        self.stopped: io.Stop | None = None
        self.bus = True
        self.minter = True
        self.seq = 0
        self.slots: dict[str, list[SlotReport]] = {}
        self.silent: set[str] = set()
        self.health: dict[str, str] = {}
        self.core = self._start()

    def _start(self) -> Core:
        made = keys()
        setup = Setup(
            version="1",
            online_key=made.online,
            issuer=Issuer(key=made.desired, blobs_urls=("https://b",), brokers=brokers()),
            founding=made.founding if self.journal.tail.commit == 0 else None,
        )
        core = Core(setup, self.journal.tail)
        for commit in self.journal.read_now(0, 1_000_000):
            core.replay(commit)
        self.core = core
        self._do(core.begin(self.now_s))
        return core

    def restart(self) -> None:
        """The process dies and starts again from the journal alone."""
        self.stopped = None
        self._start()

    def step(self, given: io.AnyInput) -> None:
        self._do(self.core.step(self.now_s, given))

    def _do(self, effects: list[io.AnyEffect]) -> None:
        waiting = list(effects)
        while waiting:
            given = self._carry_out(waiting.pop(0))
            if given is not None:
                waiting += self.core.step(self.now_s, given)

    def _carry_out(self, effect: io.AnyEffect) -> io.AnyInput | None:
        match effect:
            case io.AppendRecords():
                outcome = self.journal.append_now(effect.expected, effect.commit)
                return io.AppendDone(outcome=outcome)
            case io.AnswerCall():
                assert effect.call not in self.answers, "a call is answered once"
                self.answers[effect.call] = effect.body
            case io.PublishDocument():
                return self._publish(effect)
            case io.AskImporter():
                return io.ImporterAnswered(
                    key=effect.key, reply=self.importer.answer(effect.request)
                )
            case io.AskMinter():
                denied = self.core.state.denied
                reply = signed_by_minter(effect.request, denied) if self.minter else None
                return io.MinterAnswered(key=effect.key, reply=reply)
            case io.CheckPolicy():
                return io.PolicyChecked(called=effect.called, seen=check(effect.request))
            case io.AckEvent():
                self.acked.append(effect.delivery)
            case io.Stop():
                self.stopped = effect
        return None

    def _publish(self, effect: io.PublishDocument) -> io.AnyInput:
        if self.bus:
            before = self.published.get(effect.receiver, (0, 0, b""))
            assert (effect.epoch, effect.generation) >= before[:2], "a stamp never falls"
            self.published[effect.receiver] = (effect.epoch, effect.generation, effect.body)
        return io.PublishDone(
            receiver=effect.receiver,
            epoch=effect.epoch,
            generation=effect.generation,
            result="sent" if self.bus else "failed",
        )

    # ------------------------------------------------------------ people

    def raw(self, who: str, call: str, body: bytes = b"") -> bytes:
        resource, _, verb = call.partition(".")
        number = len(self.answers) + 1
        self.step(io.ApiCalled(call=number, who=who, resource=resource, verb=verb, body=body))
        return self.answers[number]

    def call(self, who: str, call: str, body: msgspec.Struct | None = None) -> Any:
        answer = self.raw(who, call, b"" if body is None else codec.encode(body))
        if answer.startswith(b'{"error":{"code"'):
            return codec.decode(answer, api.ErrorAnswer).error
        return codec.decode(answer, api.CALLS[call].answer)

    def approve(self, request: str, *who: int) -> Any:
        """Let officers (counted from 1) sign; return the last answer."""
        answer = None
        for one in who:
            detail = self.call("officer-1", "requests.show", api.RequestQuery(id=request))
            signature = sign_payload(detail.payload, keys().daily[one - 1])
            answer = self.call(
                f"officer-{one}",
                "requests.sign",
                api.SignRequest(
                    id=request,
                    sha256=signature.sha256,
                    keyid=signature.keyid,
                    signature=signature.signature,
                ),
            )
        return answer

    # ------------------------------------------------------------ nodes

    def desired(self, node: str) -> Desired:
        """Return the document that ``node`` was sent last, its signature verified."""
        body = self.published[node][2]
        public = keys().desired.public_key().public_bytes_raw()
        payload = open_signed(codec.decode(body, SignedDocument), public, DESIRED_CONTEXT)
        return codec.decode(payload, Desired)

    def pass_time(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass: nodes that are not silent obey their documents and report."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + step_s)
            for node in sorted(set(NODES) - self.silent):
                self.report(node)
            self.step(io.Ticked())

    def report(self, node: str, change: Callable[[Report], Report] | None = None) -> None:
        """Send the report of a node that has everything ready that it was told."""
        self.seq += 1
        document = self.desired(node)
        slots = self.slots.get(node)
        if slots is None:
            slots = [ready(placement.slot, document) for placement in document.placements]
        jurisdiction, zone = NODES[node]
        report = Report(
            node=node,
            boot="b1",
            seq=self.seq,
            sent=self.now_s,
            epoch=document.epoch,
            generation=document.generation,
            jurisdiction=jurisdiction,
            zones=(zone,),
            devices=self._devices(node),
            slots=tuple(slots),
            trust="FRESH",
            snapshot=document.trust.snapshot,
            isolation="none",
            engine="xllamacpp",
            gateway="ok",
            spool=0,
        )
        self.step(io.ReportSeen(report=report if change is None else change(report)))

    def _devices(self, node: str) -> tuple[Device, ...]:
        health: Any = self.health.get(node, "ok")
        gpu = Device(
            uuid=f"GPU-{node}",
            kind="gpu",
            name="sim",
            memory_total_bytes=24 * GIB,
            health=health,
            simulated=True,
        )
        cpu = Device(uuid=f"CPU-{node}", kind="cpu", name="cpu", memory_total_bytes=64 * GIB)
        return (cpu,) if node == "de-2" else (gpu, cpu)

    def relay(self, zone: str, *accounts: str) -> None:
        self.seq += 1
        self.step(
            io.RelayReportSeen(
                report=RelayReport(
                    broker=f"broker-{zone}",
                    boot="b1",
                    seq=self.seq,
                    sent=self.now_s,
                    epoch=1,
                    generation=1,
                    accounts=accounts,
                )
            )
        )
        self.step(io.Ticked())

    # ------------------------------------------------------------ shortcuts

    def with_model(self) -> World:
        """Trust the vendor, import, approve: the model is in the store."""
        self.pass_time(1)
        trusted = self.call(
            "officer-1", "vendors.trust", api.TrustVendor(vendor="acme", root=vendor_root())
        )
        self.approve(trusted.request, 1, 2)
        started = self.call("operator-1", "imports.start", api.StartImportCall(path="/stick"))
        self.pass_time(2, 0.25)
        view = self.call("operator-1", "imports.show", api.ImportQuery(id=started.id))
        for request in view.requests:
            self.approve(request, 1, 2)
        self.pass_time(1)
        return self

    def with_deployment(self, **more: Any) -> World:
        self.with_model()
        self.call(
            "operator-1",
            "deployments.deploy",
            api.DeployCall(model="acme/llm@1.0", alias="chat", **more),
        )
        self.pass_time(2)
        return self


def ready(slot: str, document: Desired) -> SlotReport:
    placement = next(each for each in document.placements if each.slot == slot)
    return SlotReport(
        slot=slot,
        alias=placement.alias,
        manifest_digest=placement.manifest_digest,
        generation=placement.generation,
        device=placement.device,
        state="ready",
        capacity=4,
        memory_bytes=9 * GIB + 5 * MIB,
    )
