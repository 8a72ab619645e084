"""Which cores a history runs: the product's own, or ones that a test broke on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from holdfast_agent.logic.core import Core as AgentCore
from holdfast_agent.logic.core import Identity
from holdfast_agent.logic.io import TrustView
from holdfast_controller.journal.port import Tail
from holdfast_controller.logic.core import Core as ControllerCore
from holdfast_controller.logic.core import Setup


def _agent(identity: Identity, accepted: set[str]) -> AgentCore:
    return AgentCore(identity=identity, accepted_digests=accepted)


def _same(view: TrustView) -> TrustView:
    return view


@dataclass(frozen=True)
class Variant:
    """How cores are made, and how an agent sees the site's trust."""

    name: str = "product"
    controller: Callable[[Setup, Tail], ControllerCore] = ControllerCore
    agent: Callable[[Identity, set[str]], AgentCore] = _agent
    trust: Callable[[TrustView], TrustView] = _same
