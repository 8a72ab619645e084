"""The controller's process: the real core over a journal in memory, killed at its crash points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast_controller.journal.memory import MemoryJournal
from holdfast_controller.journal.port import Commit, Outcome, Unknown
from holdfast_controller.logic import io, records
from holdfast_controller.logic.core import Core, Setup
from holdfast_controller.logic.desired import Issuer
from holdfast_controller.logic.fold import fold
from holdfast_controller.logic.state import State
from holdfast_policy.checking import check
from holdfast_protocol.configs import Founding
from holdfast_protocol.errors import Code

from tests.sim.answers import check_answer
from tests.sim.ceremony import BROKERS, ceremony
from tests.sim.ground import BrokenError, Ground
from tests.sim.network import CONTROLLER, Hub
from tests.sim.servants import Importer, Minter
from tests.sim.variant import Variant
from tests.sim.witness import Witness

TICK_S = 0.75
APPEND_S = 0.01


def folded(commits: list[Commit]) -> State:
    """Return the state that the journal alone tells."""
    state = State()
    for commit in commits:
        for record in commit.records:
            fold(state, records.decode(record.body).fact)
    return state


@dataclass
class Controller:
    """Runs, dies, and takes up the journal again."""

    ground: Ground
    hub: Hub
    witness: Witness
    founding: Founding
    variant: Variant
    importer: Importer
    minter: Minter
    core: Core | None = None
    kept_down: bool = False
    _life: int = 0
    _appending: bool = False
    _calls: dict[int, io.ApiCalled] = field(default_factory=dict)

    @property
    def journal(self) -> MemoryJournal:
        """The one journal."""
        return self.witness.journal

    def start(self) -> None:
        """Replay the journal and go on."""
        if self.core is not None or self.kept_down:
            return
        self._life += 1
        self._appending = False
        issuer = Issuer(key=ceremony().desired, blobs_urls=("https://blobs",), brokers=BROKERS)
        setup = Setup(
            version="1", online_key=ceremony().online, issuer=issuer, founding=self.founding
        )
        core = self.variant.controller(setup, self.journal.tail)
        for commit in self.journal.read_now(0, 1_000_000):
            core.replay(commit)
        self.ground.note(f"controller starts at commit {self.journal.tail.commit}")
        self.core = core
        self._do(core.begin(self.ground.now_s))
        self._tick(self._life)

    def kill(self) -> None:
        """Die now; everything but the journal is lost."""
        if self.core is None:
            return
        self.check_fold()
        self.ground.note("controller dies")
        self.core = None
        self._life += 1
        self._calls.clear()
        self.ground.after(0.5 + self.ground.dice.random() * 6.0, self.start)

    def tell(self, given: io.AnyInput) -> None:
        """Let the core take ``given`` in, if there is one."""
        if self.core is None:
            return
        if isinstance(given, io.ApiCalled):
            self._calls[given.call] = given
        self._do(self.core.step(self.ground.now_s, given))

    def check_fold(self) -> None:
        """The journal alone must tell the state; only what is under way may be missing."""
        core = self.core
        if core is None or self._appending:
            return
        if core.state != folded(self.journal.read_now(0, 1_000_000)):
            raise BrokenError("the journal tells the state", "fold(records) is another state")

    # ------------------------------------------------------------ effects

    def _tick(self, life: int) -> None:
        if life == self._life and self.core is not None:
            self.tell(io.Ticked())
            self.ground.after(TICK_S, lambda: self._tick(life))

    def _do(self, effects: list[io.AnyEffect]) -> None:
        life = self._life
        for effect in effects:
            if life != self._life:
                return  # it died while doing the one before
            self._one(effect)

    def _one(self, effect: io.AnyEffect) -> None:
        match effect:
            case io.AppendRecords():
                self._append(effect)
            case io.AnswerCall():
                self._answer(effect)
            case io.PublishDocument():
                self.hub.publish(effect, self._for_life())
            case io.AskImporter():
                self.importer.ask(effect, self._for_life())
            case io.AskMinter():
                self.minter.ask(effect, self._for_life())
            case io.CheckPolicy():
                self.tell(io.PolicyChecked(called=effect.called, seen=check(effect.request)))
            case io.AckEvent():
                self.hub.acknowledge(effect.delivery)
            case io.Stop():
                self._stopped(effect)

    def _for_life(self) -> Callable[[io.AnyInput], None]:
        """Answers to its own questions die with the one who asked."""
        life = self._life

        def tell(given: io.AnyInput) -> None:
            if life == self._life:
                self.tell(given)

        return tell

    def _append(self, effect: io.AppendRecords) -> None:
        ground, life = self.ground, self._life
        self._appending = True
        if ground.chance(ground.weather.crash):
            self.kill()
            return

        def land() -> None:
            if life != self._life:
                return
            ground.note(f"append {effect.commit.number} of {len(effect.commit.records)}")
            outcome = self._write(effect)
            self.witness.look()
            if ground.chance(ground.weather.crash):
                self.kill()
                return
            self._appending = False
            self.tell(io.AppendDone(outcome=outcome))

        ground.after(APPEND_S, land)

    def _write(self, effect: io.AppendRecords) -> Outcome:
        if self.ground.chance(self.ground.weather.doubt):
            self.journal.doubt_next(lands=self.ground.chance(0.5))
        outcome = self.journal.append_now(effect.expected, effect.commit)
        if isinstance(outcome, Unknown) and self.ground.chance(0.5):
            outcome = self.journal.resolve_now(effect.expected, effect.commit)
        return outcome

    def _answer(self, effect: io.AnswerCall) -> None:
        called = self._calls.pop(effect.call, None)
        if called is not None:
            self.witness.look()
            check_answer(self.witness, called, effect.body)
        self.hub.answer(effect.call, effect.body)

    def _stopped(self, effect: io.Stop) -> None:
        self.ground.note(f"controller stops: {effect.code}")
        if effect.code is Code.JOURNAL_ROLLBACK and CONTROLLER not in self.hub.net.cut:
            self.ground.note(effect.message)
        self._appending = True  # what is not known to stand may be in the state
        self.kill()
