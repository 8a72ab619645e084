"""The controller's core: one synchronous step from an input to the effects it calls for.

Every input is either taken in at once (reports: they are no decisions) or decided. A decision is
folded and written down in one act; what it answers or publishes is held back until the journal
has it. While an append is under way nothing is decided: inputs wait, and everything that waited
goes into the next commit. After each commit the whole state is reconciled.

The shell, the tests and the simulation run this same core; it has no clock, no I/O and no dice.
"""

from __future__ import annotations

from collections import deque
from typing import Final, assert_never

import msgspec
from holdfast_bundles.site.keys import SigningKey
from holdfast_policy.logic.verdict import CheckAnswer
from holdfast_protocol import codec, limits
from holdfast_protocol.api import error_answer
from holdfast_protocol.configs import Founding
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import Importing, ImportState
from holdfast_protocol.importer import Refused as ImporterRefused
from holdfast_protocol.messages import TrustAnswer
from holdfast_protocol.minting import MintAsked
from holdfast_protocol.views import EventView

from holdfast_controller.journal.port import Commit, Committed, Refused, Tail, Unknown
from holdfast_controller.logic import api, facts, io, minted, records, status, trust, words
from holdfast_controller.logic.calls import enrolment, policies
from holdfast_controller.logic.calls.ask import Ask
from holdfast_controller.logic.desired import Documents, Issuer
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.fold import fold
from holdfast_controller.logic.ledger import Ledger
from holdfast_controller.logic.live import Live
from holdfast_controller.logic.outbox import Outbox
from holdfast_controller.logic.reconcile import View, questions, reconcile
from holdfast_controller.logic.state import State

SELF: Final = "controller"
"""Who decides what nobody asked for."""

Waits = (
    io.ApiCalled | io.EventSeen | io.TrustAsked | io.EnrolAsked
    | io.ImporterAnswered | io.MinterAnswered | io.PolicyChecked
)  # fmt: skip


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What the core is given once: its version, its keys, and the ceremony's words."""

    version: str
    online_key: SigningKey
    issuer: Issuer
    founding: Founding | None
    """Read only while the journal is empty."""


class Core:
    """State of one controller: :meth:`replay` every commit, :meth:`begin`, then :meth:`step`."""

    def __init__(self, setup: Setup, tail: Tail) -> None:
        self._setup = setup
        self.state = State()
        self.live = Live()
        self.documents = Documents(issuer=setup.issuer)
        self._outbox = Outbox()
        self._ledger = Ledger(state=self.state, tail=tail)
        self._waiting: deque[Waits] = deque()
        self._held: list[io.AnyEffect] = []
        self._events: deque[EventView] = deque(maxlen=limits.CONTROLLER_EVENTS_KEPT)
        self._replayed = 0
        self._renewed = 0
        self._news = False
        self._settled_s = 0.0
        self._stopped = False

    @property
    def tail(self) -> Tail:
        """The journal's end as the core knows it."""
        return self._ledger.tail

    def replay(self, commit: Commit) -> None:
        """Fold a commit of the journal; raises ``JOURNAL_DAMAGED`` for what is not understood."""
        for record in commit.records:
            fold(self.state, records.decode(record.body).fact)
        self._remember(commit)
        self._replayed = commit.number

    def begin(self, now_s: float) -> list[io.AnyEffect]:
        """Return the first effects; the journal must have been replayed to its end.

        Raises ``CONFIG_INVALID`` where the journal is empty and there is no founding, and what
        verifying the founding's files raises.
        """
        assert self._replayed == self.tail.commit
        self.live.started_s = now_s
        if self.state.site is None:
            self._decide(self._founding(), now_s, SELF)
        started = facts.ControllerStarted(version=self._setup.version, at_ms=int(now_s * 1000))
        self._decide([started], now_s, SELF)
        return self._settle(now_s)

    def step(self, now_s: float, given: io.AnyInput) -> list[io.AnyEffect]:
        """Return what is to be done after ``given`` arrived at ``now_s`` (Unix seconds)."""
        if self._has_stopped():
            return []
        effects = self._take_in(now_s, given)
        if self._has_stopped() or self._ledger.flying is not None:
            return effects
        if self._due(now_s, given):
            return effects + self._settle(now_s)
        # What is overdue is asked and sent again at each tick, also where nothing is decided.
        return effects + (self._release(now_s) if isinstance(given, io.Ticked) else [])

    def _due(self, now_s: float, given: io.AnyInput) -> bool:
        """Tell whether to decide now, or at the next tick, which is never far.

        Reports come in swarms after a power cut; the whole state is looked at once for many.
        """
        since_s = abs(now_s - self._settled_s)
        match given:
            case io.ReportSeen() | io.RelayReportSeen():
                return self._news and since_s >= limits.RECONCILE_EVERY_S
            case io.Ticked():
                return self._news or since_s >= limits.RECONCILE_AT_LEAST_S
            case io.PublishDone():
                return False
            case _:
                return True

    def _has_stopped(self) -> bool:
        return self._stopped

    # ------------------------------------------------------------ taking in

    def _take_in(self, now_s: float, given: io.AnyInput) -> list[io.AnyEffect]:
        match given:
            case (
                io.ApiCalled()
                | io.EventSeen()
                | io.TrustAsked()
                | io.EnrolAsked()
                | io.ImporterAnswered()
                | io.MinterAnswered()
                | io.PolicyChecked()
            ):
                return self._wait(given)
            case io.ReportSeen():
                self._news |= self.live.hear(given.report, now_s)
            case io.RelayReportSeen():
                known = self.live.relays.get(given.report.broker)
                self._news |= known is None or known.accounts != given.report.accounts
                self.live.relays[given.report.broker] = given.report
            case io.AppendDone():
                return self._appended(given.outcome)
            case io.AppendRefused():
                return self._stop(given.code, given.message)
            case io.PublishDone():
                if given.result == "fenced":
                    return self._stop(
                        Code.JOURNAL_ROLLBACK,
                        f"{given.receiver} has a newer document than this journal made.",
                    )
                self._outbox.done(given, now_s)
            case io.BusReturned():
                self._outbox.forget()
            case io.Ticked():
                pass
            case _:
                assert_never(given)
        return []

    def _wait(self, given: Waits) -> list[io.AnyEffect]:
        if len(self._waiting) < limits.CONTROLLER_INPUTS:
            self._waiting.append(given)
            return []
        # Only a call has somebody who waits; everything else comes again by itself.
        called = given.called if isinstance(given, io.PolicyChecked) else given
        if isinstance(called, io.ApiCalled):
            busy = HoldfastError(Code.BUSY, "The controller has too many calls waiting.")
            return [_answer(called.call, error_answer(busy))]
        return []

    def _appended(self, outcome: Committed | Refused | Unknown) -> list[io.AnyEffect]:
        match outcome:
            case Committed():
                commit = self._ledger.landed(outcome.tail)
                self._remember(commit)
                return []
            case Refused():
                return self._stop(Code.STORE_FAILED, "Another controller wrote to the journal.")
            case Unknown():
                # Whether it stands is not known, so nothing may follow; the next start reads it.
                return self._stop(Code.STORE_FAILED, outcome.error)
            case _:
                assert_never(outcome)

    # ------------------------------------------------------------ deciding

    def _settle(self, now_s: float) -> list[io.AnyEffect]:
        """Decide everything that waits, reconcile, and write it down or publish what stands."""
        released: list[io.AnyEffect] = []
        self._news, self._settled_s = False, now_s
        if self._ledger.settled:
            released += self._release(now_s)
            while self._waiting:
                self._held += self._one(now_s, self._waiting.popleft())
            self._reconcile(now_s)
        commit = self._ledger.take_off()
        if commit is not None:
            return [*released, io.AppendRecords(expected=self.tail, commit=commit)]
        return [*released, *self._release(now_s)]

    def _release(self, now_s: float) -> list[io.AnyEffect]:
        """Return what waited for the journal, and publish: state and journal are one now."""
        held, self._held = self._held, []
        if self.state.starts == 0 or self.tail.commit == 0:
            return held
        if self._renewed < self.tail.commit:
            self.documents.renew(self.state, self.tail.commit, now_s)
            self._renewed = self.tail.commit
        publish = self._outbox.due(self.documents, self.live, now_s)
        return [*held, *publish, *self._ask(now_s)]

    def _ask(self, now_s: float) -> list[io.AnyEffect]:
        effects: list[io.AnyEffect] = []
        for each in questions(self._view(now_s)):
            self.live.ask(each.key, now_s, each.deadline_s)
            if isinstance(each.request, MintAsked):
                effects.append(io.AskMinter(key=each.key, request=each.request))
            else:
                effects.append(io.AskImporter(key=each.key, request=each.request))
        return effects

    def _one(self, now_s: float, given: Waits) -> list[io.AnyEffect]:
        match given:
            case io.ApiCalled():
                return [self._call(now_s, given)]
            case io.PolicyChecked():
                return [self._call(now_s, given.called, given.seen)]
            case io.TrustAsked():
                content = trust.served(self.state, given.name)
                return [_answer(given.call, TrustAnswer(content=content))]
            case io.EnrolAsked():
                return [_answer(given.call, self._enrol(now_s, given))]
            case io.EventSeen():
                return self._event(now_s, given)
            case io.ImporterAnswered():
                self._importer(now_s, given)
            case io.MinterAnswered():
                self._minter(now_s, given)
            case _:
                assert_never(given)
        return []

    def _call(
        self, now_s: float, called: io.ApiCalled, seen: CheckAnswer | None = None
    ) -> io.AnyEffect:
        try:
            ask = Ask(
                who=called.who,
                role=api.permitted(self.state, called),
                view=self._view(now_s),
                online_key=self._setup.online_key,
            )
            seat = status.Seat(controller=SELF, tail=self.tail)
            desk = api.Desk(seat=seat, events=self._events, seen=seen)
            if called.resource == "policy" and seen is None:
                return io.CheckPolicy(called=called, request=policies.look(ask, called))
            outcome = api.decide(ask, called, desk)
            self._decide(list(outcome.facts), now_s, called.who)
            return _answer(called.call, outcome.answer())
        except HoldfastError as error:
            return _answer(called.call, error_answer(error))

    def _enrol(self, now_s: float, asked: io.EnrolAsked) -> msgspec.Struct:
        try:
            outcome = enrolment.enrol(self._view(now_s), asked.nonce, asked.body)
            self._decide(list(outcome.facts), now_s, f"code-{asked.nonce}")
            return outcome.answer()
        except HoldfastError as error:
            return error_answer(error)

    def _event(self, now_s: float, given: io.EventSeen) -> list[io.AnyEffect]:
        event = given.event
        recorded = facts.EventRecorded(
            node=event.node,
            boot=event.boot,
            number=event.seq,
            kind=event.kind,
            about=event.subject[: limits.TOKEN_LENGTH],
            code=event.code,
            message=event.message[:300],
            at_ms=int(event.at * 1000),
        )
        if event.node in self.state.nodes:
            self._decide([recorded], now_s, event.node)
        return [io.AckEvent(delivery=given.delivery)]

    def _importer(self, now_s: float, given: io.ImporterAnswered) -> None:
        kind, _, about = given.key.partition(":")
        reply = given.reply
        if isinstance(reply, Importing):
            self.live.progress[reply.import_id] = reply
            if kind == "import" and reply.state is ImportState.PAUSED:
                self.live.put_off(given.key, now_s)
            else:
                self.live.answered(given.key)
        elif isinstance(reply, ImporterRefused) and kind == "import":
            self._import_refused(now_s, about, reply)
        else:
            self.live.put_off(given.key, now_s)
        gone = isinstance(reply, Importing) or (
            isinstance(reply, ImporterRefused) and reply.error.code == Code.NOT_FOUND
        )
        if kind == "discard" and gone:
            self.live.progress.pop(about, None)
            self._decide([facts.ModelDiscarded(import_id=about)], now_s, SELF)

    def _import_refused(self, now_s: float, import_id: str, refused: ImporterRefused) -> None:
        if self.live.progress.pop(import_id, None) is not None:
            # It forgot an import that was under way: the next question starts it again.
            self.live.put_off(f"import:{import_id}", now_s)
            return
        fault = refused.error
        failed = facts.ImportFailed(
            id=import_id, code=fault.code, message=fault.message, file=fault.file
        )
        self.live.answered(f"import:{import_id}")
        self._decide([failed], now_s, SELF)

    def _minter(self, now_s: float, given: io.MinterAnswered) -> None:
        fact = minted.fact_of(given.reply)
        if fact is None:
            self.live.put_off(given.key, now_s)
            return
        self.live.answered(given.key)
        self._decide([fact], now_s, SELF)

    def _reconcile(self, now_s: float) -> None:
        if self._stamp_due(now_s):
            stamp = trust.stamped(self.state, self._setup.online_key, now_s)
            self._decide([stamp], now_s, SELF)
        for _ in range(limits.RECONCILE_PASSES):
            decisions = reconcile(self._view(now_s), limits.RECONCILE_BUDGET)
            changed = [self._decide(each, now_s, SELF) for each in decisions]
            if not any(changed):
                return

    def _stamp_due(self, now_s: float) -> bool:
        stamp = self.state.stamp
        # A clock that went back would sign "as of now" for a time that has passed: see status.
        return stamp is None or now_s * 1000 - stamp.at_ms >= limits.STAMP_EVERY_S * 1000

    def _founding(self) -> list[AnyFact]:
        founding = self._setup.founding
        if founding is None:
            raise HoldfastError(
                Code.CONFIG_INVALID, "The journal is empty and the ceremony's file is missing."
            )
        founded = facts.SiteFounded(
            site=founding.site,
            zone=founding.zone,
            zones=founding.zones,
            people={person.who: person.role for person in founding.people},
        )
        epoch = facts.LeaderTaken(epoch=1, reason="founding")
        return [founded, epoch, *trust.founding(founding.site, founding.files)]

    def _decide(self, decision: list[AnyFact], now_s: float, by: str) -> bool:
        return self._ledger.decide(decision, at_ms=int(now_s * 1000), by=by)

    def _view(self, now_s: float) -> View:
        return View(state=self.state, live=self.live, documents=self.documents, now_s=now_s)

    def _remember(self, commit: Commit) -> None:
        for number, record in enumerate(commit.records):
            # While a long journal is replayed, only what will be kept is put into words.
            if commit.first_seq + number <= self.tail.seq - limits.CONTROLLER_EVENTS_KEPT:
                continue
            self._events.append(words.event(commit.first_seq + number, record.body))

    def _stop(self, code: Code, message: str) -> list[io.AnyEffect]:
        """Nothing leaves any more, not even what was held: it rests on what may not stand."""
        self._stopped = True
        self._held.clear()
        self._waiting.clear()
        return [io.Stop(code=code, message=message)]


def _answer(call: int, value: msgspec.Struct) -> io.AnswerCall:
    return io.AnswerCall(call=call, body=codec.encode(value))
