"""The bus between the programs: it loses, repeats, delays and reorders whatever it carries.

The hub keeps what the real broker's stores keep: the last value for each receiver and the events
that nobody has acknowledged; both may be wiped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from holdfast_controller.logic import io
from holdfast_protocol.messages import NodeEvent

from tests.sim.ground import Ground

ACK_WAIT_S: Final = 5.0
PUBLISH_WAIT_S: Final = 4.0
CONTROLLER: Final = "controller"
HUB: Final = "hub"

Deliver = Callable[[], None]
Result = Literal["sent", "failed", "fenced"]


@dataclass
class Network:
    """Carries messages between named parties; a party that is cut off hears and says nothing."""

    ground: Ground
    cut: set[str] = field(default_factory=set)

    def carry(self, source: str, target: str, deliver: Deliver) -> None:
        """Deliver now and then: never, once, or twice, sooner or later."""
        ground, weather = self.ground, self.ground.weather
        if source in self.cut or target in self.cut or ground.chance(weather.loss):
            return
        self._fly(target, deliver)
        if ground.chance(weather.repeat):
            self._fly(target, deliver)

    def _fly(self, target: str, deliver: Deliver) -> None:
        delay_s = 0.001 + self.ground.dice.random() * self.ground.weather.delay_s
        if self.ground.chance(self.ground.weather.loss):
            delay_s *= 20.0

        def arrive() -> None:
            if target not in self.cut:
                deliver()

        self.ground.after(delay_s, arrive)


@dataclass
class Hub:
    """The broker: last values, a stream of events, requests and their answers."""

    ground: Ground
    net: Network
    values: dict[str, io.PublishDocument] = field(default_factory=dict)
    followers: dict[str, Callable[[bytes], None]] = field(default_factory=dict)
    tell_controller: Callable[[io.AnyInput], None] = lambda _: None
    _events: dict[str, NodeEvent] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _deliveries: dict[int, str] = field(default_factory=dict)
    _answers: dict[int, tuple[str, Callable[[bytes], None]]] = field(default_factory=dict)
    _count: int = 0

    # ------------------------------------------------------------ documents

    def publish(self, document: io.PublishDocument, tell: Callable[[io.AnyInput], None]) -> None:
        """Store a document as its receiver's last value, push it, and answer who published."""
        settled: list[bool] = []

        def store() -> None:
            result = self._store(document)
            self.net.carry(HUB, CONTROLLER, lambda: done(result))

        def done(result: Result) -> None:
            if settled:
                return
            settled.append(True)
            tell(
                io.PublishDone(
                    receiver=document.receiver,
                    epoch=document.epoch,
                    generation=document.generation,
                    result=result,
                )
            )

        self.net.carry(CONTROLLER, HUB, store)
        self.ground.after(PUBLISH_WAIT_S, lambda: done("failed"))

    def _store(self, document: io.PublishDocument) -> Result:
        """The broker refuses what is not the next one: a late document never covers a newer."""
        name, stamp = document.receiver, (document.epoch, document.generation)
        known = self.values.get(name)
        if known is not None and known.body != document.body:
            have = (known.epoch, known.generation)
            if have >= stamp:
                self.ground.note(f"document {name} {stamp} fenced by {have}")
                return "fenced"
        if known is None or known.body != document.body:
            self.ground.note(f"document {name} {stamp}")
            self.values[name] = document
        self.push(name, document.body)
        return "sent"

    def push(self, receiver: str, body: bytes) -> None:
        """Carry a document to whoever follows as ``receiver``."""
        follower = self.followers.get(receiver)
        if follower is not None:
            self.net.carry(HUB, receiver, lambda: follower(body))

    def read(self, receiver: str, found: Callable[[bytes | None], None]) -> None:
        """Answer ``receiver`` with its last value, if messages come through."""

        def look() -> None:
            value = self.values.get(receiver)
            body = None if value is None else value.body
            self.net.carry(HUB, receiver, lambda: found(body))

        self.net.carry(receiver, HUB, look)

    def wipe(self) -> None:
        """Lose every last value, as a broker does whose store was thrown away."""
        self.ground.note("hub wiped")
        self.values.clear()

    # ------------------------------------------------------------ events

    def store_event(self, name: str, event: NodeEvent, stored: Deliver) -> None:
        """Take an event of a spool into the stream, once per id, and acknowledge it."""

        def take() -> None:
            if name not in self._seen:
                self._seen.add(name)
                self._events[name] = event
                self._deliver(name)
            self.net.carry(HUB, event.node, stored)

        self.net.carry(event.node, HUB, take)

    def acknowledge(self, delivery: int) -> None:
        """Forget an event that the controller has."""
        name = self._deliveries.get(delivery)
        if name is not None:
            self.net.carry(CONTROLLER, HUB, lambda: self._forget(name))

    @property
    def events_waiting(self) -> int:
        """How many events the controller has not acknowledged."""
        return len(self._events)

    def _forget(self, name: str) -> None:
        self._events.pop(name, None)

    def _deliver(self, name: str) -> None:
        event = self._events.get(name)
        if event is None:
            return
        self._count += 1
        number = self._count
        self._deliveries[number] = name
        given = io.EventSeen(delivery=number, event=event)
        self.net.carry(HUB, CONTROLLER, lambda: self.tell_controller(given))
        self.ground.after(ACK_WAIT_S, lambda: self._deliver(name))

    # ------------------------------------------------------------ requests

    def ask(
        self, source: str, make: Callable[[int], io.AnyInput], answered: Callable[[bytes], None]
    ) -> None:
        """Ask the controller; ``answered`` may be called never, once or more often."""

        def arrive() -> None:
            self._count += 1
            self._answers[self._count] = (source, answered)
            self.tell_controller(make(self._count))

        self.net.carry(source, CONTROLLER, arrive)

    def answer(self, call: int, body: bytes) -> None:
        """Carry the controller's answer to whoever asked."""
        source, answered = self._answers.pop(call)
        self.net.carry(CONTROLLER, source, lambda: answered(body))
