"""A small world with a question that is good in every respect, and what one fact each spoils."""

from __future__ import annotations

from typing import Final

import msgspec
from holdfast_policy.base import base_policy, base_text
from holdfast_policy.cedar.engine import Engine
from holdfast_policy.combined import CombinedPolicy
from holdfast_policy.logic.labels import Classification, ceiling
from holdfast_policy.logic.policy_text import PolicyText
from holdfast_policy.logic.registry import Registry, of_zones
from holdfast_policy.port import AppFacts, Decision, ModelFacts, NodeFacts, Question

REGISTRY: Final = of_zones({"de": "DE", "fr": "FR"})
APP: Final = AppFacts(app="triage", zone="de", aliases=frozenset({"chat"}))
NODE: Final = NodeFacts(node="de-1", jurisdiction="DE", zones=frozenset({"de"}), not_after_s=100)
MODEL: Final = ModelFacts(digest="sha256:" + "0" * 64)
GOOD: Final = Question(
    act="infer",
    app=APP,
    alias="chat",
    label=ceiling(REGISTRY, ["BLOC-EU"], 0, []),
    node=NODE,
    model=MODEL,
    now_s=50.0,
)
SECRET: Final = ceiling(REGISTRY, ["DE"], "nato:2", [])

changed = msgspec.structs.replace

SPOILED: Final[dict[str, Question]] = {
    "residency": changed(GOOD, label=ceiling(REGISTRY, ["FR"], 0, [])),
    "home-zone": changed(GOOD, node=changed(NODE, zones=frozenset({"fr"}))),
    "zone-jurisdiction": changed(GOOD, node=changed(NODE, jurisdiction="FR")),
    "alias-granted": changed(GOOD, alias="other"),
    "classification": changed(GOOD, label=SECRET),
    "app-denied": changed(GOOD, app=changed(APP, denied=True)),
    "node-denied": changed(GOOD, node=changed(NODE, denied=True)),
    "model-denied": changed(GOOD, model=changed(MODEL, denied=True)),
    "certificate-valid": changed(GOOD, act="place", now_s=100.0),
}
"""By rule, a question that this rule alone denies."""


class Alarms:
    """Keeps what a policy raised."""

    def __init__(self) -> None:
        self.raised: list[tuple[Question, Decision]] = []

    def __call__(self, question: Question, decision: Decision) -> None:
        self.raised.append((question, decision))


def quiet(registry: Registry) -> CombinedPolicy:
    """Return the product's policy; an alarm fails the test."""

    def alarm(question: Question, decision: Decision) -> None:
        raise AssertionError(decision)

    return base_policy(registry, alarm)


def engine_of(policies: str, registry: Registry = REGISTRY) -> Engine:
    """Return an engine of other policies over the base schema."""
    return Engine(PolicyText(schema=base_text().schema, policies=policies), registry)


def cleared(*clearances: Classification) -> Question:
    """Return a secret question to a node with these clearances."""
    return changed(GOOD, label=SECRET, node=changed(NODE, clearances=clearances))
