"""Cores broken on purpose, each in one way that a careless change could bring.

The product's files stay as they are: every variant overrides one step of a core. A simulation that
lets one of these pass judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from holdfast_agent.logic import io as agent_io
from holdfast_agent.logic.core import Core as AgentCore
from holdfast_agent.logic.core import Identity
from holdfast_agent.logic.slot import Slot
from holdfast_controller.logic import facts
from holdfast_controller.logic import io as controller_io
from holdfast_controller.logic.core import Core as ControllerCore
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.fold import fold
from holdfast_protocol.messages import Placement

from tests.sim.variant import Variant

# ---------------------------------------------------------------- controllers


class NeverWithdraws(ControllerCore):
    """Reconcile forgets to take away what nobody wishes any more."""

    def _decide(self, decision: list[AnyFact], now_s: float, by: str) -> bool:
        kept = [
            fact
            for fact in decision
            if not (isinstance(fact, facts.ReplicaWithdrawn) and fact.reason == "undeployed")
        ]
        return super()._decide(kept, now_s, by)


class NeverPlacesAgain(ControllerCore):
    """A lost replica is taken away and not replaced."""

    def _decide(self, decision: list[AnyFact], now_s: float, by: str) -> bool:
        kept = [
            fact
            for fact in decision
            if not (isinstance(fact, facts.ReplicaPlaced) and fact.generation > 1)
        ]
        return super()._decide(kept, now_s, by)


class AnswersFirst(ControllerCore):
    """The answer leaves before the journal has what it says."""

    def _settle(self, now_s: float) -> list[controller_io.AnyEffect]:
        effects = super()._settle(now_s)
        early, self._held = self._held, []
        return [*early, *effects]


class FoldsOnly(ControllerCore):
    """What nodes report is folded and never written down."""

    def _decide(self, decision: list[AnyFact], now_s: float, by: str) -> bool:
        reported = [fact for fact in decision if isinstance(fact, facts.SlotChanged)]
        changed = [fold(self.state, fact) for fact in reported]
        others: list[AnyFact] = [f for f in decision if f not in reported]
        return super()._decide(others, now_s, by) or any(changed)


class KeepsRoutes(ControllerCore):
    """A route loses no target: a slot that died stays in it."""

    def _decide(self, decision: list[AnyFact], now_s: float, by: str) -> bool:
        kept = [fact for fact in decision if not self._shortens(fact)]
        return super()._decide(kept, now_s, by)

    def _shortens(self, fact: AnyFact) -> bool:
        if not isinstance(fact, facts.RouteChanged) or fact.alias not in self.state.routes:
            return False
        return len(fact.targets) < len(self.state.routes[fact.alias].targets)


class OneOfficer(ControllerCore):
    """The first signature completes a request."""

    def _decide(self, decision: list[AnyFact], now_s: float, by: str) -> bool:
        more: list[AnyFact] = [
            facts.RequestCommitted(id=fact.id)
            for fact in decision
            if isinstance(fact, facts.RequestSigned) and len(decision) == 1
        ]
        return super()._decide([*decision, *more], now_s, by)


# ---------------------------------------------------------------- agents


class TakesOlder(AgentCore):
    """Any document of the right key is accepted, however old."""

    def _desired_arrived(self, now_s: float, document: bytes) -> list[agent_io.Effect]:
        kept, self._accepted, self._storing = self._accepted, None, None
        effects = super()._desired_arrived(now_s, document)
        self._accepted = kept
        return effects


class NeverStores(AgentCore):
    """A document is followed without being kept on disk."""

    def _desired_arrived(self, now_s: float, document: bytes) -> list[agent_io.Effect]:
        super()._desired_arrived(now_s, document)
        if self._storing is not None:
            self._accepted, self._storing = self._storing, None
        return []


class NoLedger(AgentCore):
    """The device's memory is not asked before a load."""

    def _load(self, now_s: float, slot: Slot) -> list[agent_io.Effect]:
        slot.state = "loading"
        return [agent_io.StartEngine(placement=slot.placement, attempt=slot.attempt)]


class KeepsDenied(AgentCore):
    """A denial stops new loads, but not what runs."""

    def _stop_denied(self, now_s: float, slot: Slot) -> list[agent_io.Effect]:
        return []


class NeverRetires(AgentCore):
    """What is no longer wanted runs on."""

    def _retire(self, now_s: float, slot: Slot) -> list[agent_io.Effect]:
        return []


class NeverRestarts(AgentCore):
    """An engine that died stays dead."""

    def _advance(self, now_s: float, slot: Slot) -> list[agent_io.Effect]:
        return [] if slot.state == "failed" else super()._advance(now_s, slot)


@dataclass(frozen=True)
class Credulous:
    """A view of the site's trust that allows everything."""

    view: agent_io.TrustView

    @property
    def outcome(self) -> str:
        """As the view."""
        return self.view.outcome

    @property
    def snapshot(self) -> int:
        """As the view."""
        return self.view.snapshot

    @property
    def jurisdiction(self) -> str:
        """As the view."""
        return self.view.jurisdiction

    @property
    def zones(self) -> tuple[str, ...]:
        """As the view."""
        return self.view.zones

    def refusal(self, placement: Placement, accepted: bool) -> tuple[str, str] | None:
        """Nothing is refused."""
        return None

    def denied(self, placement: Placement) -> bool:
        """What officers denied is still seen."""
        return self.view.denied(placement)


def _agent(kind: type[AgentCore]) -> Callable[[Identity, set[str]], AgentCore]:
    return lambda identity, accepted: kind(identity=identity, accepted_digests=accepted)


_CONTROLLERS: Final[tuple[type[ControllerCore], ...]] = (
    NeverWithdraws, NeverPlacesAgain, AnswersFirst, FoldsOnly, KeepsRoutes, OneOfficer,
)  # fmt: skip
_AGENTS: Final[tuple[type[AgentCore], ...]] = (
    TakesOlder, NeverStores, NoLedger, KeepsDenied, NeverRetires, NeverRestarts,
)  # fmt: skip
VARIANTS: Final[tuple[Variant, ...]] = (
    *(Variant(name=kind.__name__, controller=kind) for kind in _CONTROLLERS),
    *(Variant(name=kind.__name__, agent=_agent(kind)) for kind in _AGENTS),
    Variant(name="Credulous", trust=Credulous),
)
