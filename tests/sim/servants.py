"""The controller's helpers: an importer and a minter that answer late and may die, and relays.

What they wrote down survives their death, what they were doing does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from holdfast_bundles.site import app_target, bin_of, deny_target
from holdfast_controller.logic import io
from holdfast_controller.relay.desired import Stored, newer, verified
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.importer import (
    Discard,
    ImporterReply,
    ImporterRequest,
    ImportFault,
    Importing,
    ImportState,
    ImportStatus,
    Promote,
    ReadDocument,
    Refused,
    StartImport,
)
from holdfast_protocol.messages import AccountClaim, RelayReport
from holdfast_protocol.minting import (
    MintAnswer,
    MintApplication,
    MintAsked,
    MintedApplication,
    MintRefused,
)

from tests.sim.ceremony import ceremony, public_bytes
from tests.sim.ground import Ground
from tests.sim.models import STICKS, VENDOR_ROOT, Weights, imported
from tests.sim.network import CONTROLLER, Hub

STAGES = (ImportState.VERIFYING, ImportState.COPYING, ImportState.CHECKING, ImportState.QUARANTINED)


@dataclass
class Importer:
    """Keeps quarantine and store on disk; forgets imports under way when it dies."""

    ground: Ground
    stored: dict[str, Weights] = field(default_factory=dict)
    _quarantine: dict[str, tuple[str, tuple[Weights, ...]]] = field(default_factory=dict)
    _running: dict[str, int] = field(default_factory=dict)
    _life: int = 0

    def ask(self, question: io.AskImporter, tell: Callable[[io.AnyInput], None]) -> None:
        """Answer in a while; with nothing when death comes first."""
        life = self._life

        def answer() -> None:
            alive = life == self._life
            reply = self._reply(question.request) if alive else None
            self.ground.note(f"importer {question.key} {_word(reply)}")
            tell(io.ImporterAnswered(key=question.key, reply=reply))

        self.ground.after(0.05 + self.ground.dice.random() * 0.6, answer)

    def die(self) -> None:
        """Forget what was under way."""
        self.ground.note("importer dies")
        self._life += 1
        self._running.clear()

    def _reply(self, request: ImporterRequest) -> ImporterReply:
        match request:
            case StartImport():
                return self._start(request)
            case ImportStatus():
                return self._status(request.import_id)
            case Promote():
                return self._promote(request)
            case Discard():
                self._quarantine.pop(request.import_id, None)
                self._running.pop(request.import_id, None)
                return Importing(import_id=request.import_id, state=ImportState.FAILED)
            case ReadDocument():
                return _refused("NOT_FOUND", "There is no such blob.")
            case _:
                assert_never(request)

    def _start(self, request: StartImport) -> ImporterReply:
        if request.path not in STICKS:
            return _refused("BUNDLE_MISSING", f"There is no stick at {request.path}.")
        if request.import_id not in self._quarantine:
            trusted = {name for name, root in request.vendor_roots.items() if root == VENDOR_ROOT}
            models = STICKS[request.path]
            known = tuple(one for one in models if one.name.partition("/")[0] in trusted)
            self._quarantine[request.import_id] = (request.path, known)
        self._running.setdefault(request.import_id, 0)
        return self._status(request.import_id)

    def _status(self, import_id: str) -> ImporterReply:
        if import_id not in self._running:
            return _refused("NOT_FOUND", f"There is no import {import_id} under way.")
        stage = self._running[import_id]
        self._running[import_id] = min(stage + 1, len(STAGES) - 1)
        return self._importing(import_id, STAGES[stage])

    def _promote(self, request: Promote) -> ImporterReply:
        _, models = self._quarantine.get(request.import_id, ("", ()))
        for one in models:
            if request.manifest_digest in ("", one.digest):
                self.stored[one.digest] = one
        if request.manifest_digest not in self.stored:
            return _refused("NOT_FOUND", "That model is not in quarantine.")
        return self._importing(request.import_id, ImportState.QUARANTINED)

    def _importing(self, import_id: str, state: ImportState) -> Importing:
        done = state is ImportState.QUARANTINED
        _, models = self._quarantine.get(import_id, ("", ()))
        return Importing(
            import_id=import_id,
            state=state,
            models=[imported(one, one.digest in self.stored) for one in models] if done else [],
        )


def _refused(code: str, message: str) -> Refused:
    return Refused(error=ImportFault(code=code, message=message))


def _word(reply: ImporterReply | None) -> str:
    if isinstance(reply, Importing):
        return reply.state.value
    return type(reply).__name__


@dataclass
class Minter:
    """Signs accounts of applications whose record lies in the files it is shown."""

    ground: Ground
    _life: int = 0

    def ask(self, question: io.AskMinter, tell: Callable[[io.AnyInput], None]) -> None:
        """Answer in a while; with nothing when death comes first."""
        life = self._life

        def answer() -> None:
            reply = self._mint(question.request) if life == self._life else None
            self.ground.note(f"minter {question.key} {type(reply).__name__}")
            tell(io.MinterAnswered(key=question.key, reply=reply))

        self.ground.after(0.05 + self.ground.dice.random(), answer)

    def die(self) -> None:
        """Forget what was under way."""
        self._life += 1

    def _mint(self, request: MintAsked) -> MintAnswer:
        assert isinstance(request, MintApplication), "nobody enrols in this world"
        roles = {name.split(".")[-2] for name in request.files}
        target = app_target(request.app)
        if not roles & {bin_of("ap", target), bin_of("ok", target)}:
            return MintRefused(code="NOT_APPROVED", message="There is no signed record.")
        revoked = bin_of("no", deny_target(f"app:{request.app}")) in roles
        return MintedApplication(
            app=request.app,
            account=f"A-{request.app}",
            account_jwt=f"{request.app} {'revoked' if revoked else 'granted'}",
            user_jwt=None if revoked else f"{request.app} user",
            certificate=None,
            ca=b"ca",
        )


@dataclass
class Relay:
    """A broker's claims relay: follows its document, never an older one; its broker may forget."""

    ground: Ground
    hub: Hub
    name: str
    claims: dict[str, AccountClaim] = field(default_factory=dict)
    _stored: Stored | None = None
    _life: int = 0
    _seq: int = 0

    def start(self) -> None:
        """Follow and report, for ever."""
        self.hub.followers[self.name] = self._arrived
        self._poll()
        self._report()

    def die(self) -> None:
        """Begin anew with what was stored; the broker keeps what was pushed."""
        self.ground.note(f"{self.name} dies")
        self._life += 1
        self._seq = 0

    def _poll(self) -> None:
        self.hub.read(self.name, lambda found: None if found is None else self._arrived(found))
        self.ground.after(15.0, self._poll)

    def _arrived(self, document: bytes) -> None:
        claims, digest = verified(document, public_bytes(ceremony().desired), self.name)
        try:
            if not newer(claims, digest, self._stored):
                return
        except HoldfastError:
            return  # an older document was delivered late
        self._stored = Stored(
            epoch=claims.epoch, generation=claims.generation, digest=digest, document=document
        )
        self.claims = {one.account: one for one in claims.accounts}

    def _report(self) -> None:
        self._seq += 1
        report = RelayReport(
            broker=self.name,
            boot=f"boot-{self._life}",
            seq=self._seq,
            sent=self.ground.now_s,
            epoch=0 if self._stored is None else self._stored.epoch,
            generation=0 if self._stored is None else self._stored.generation,
            accounts=tuple(sorted(self.claims)),
        )
        given = io.RelayReportSeen(report=report)
        self.hub.net.carry(self.name, CONTROLLER, lambda: self.hub.tell_controller(given))
        self.ground.after(2.0, self._report)
