"""The built-in policy: each rule alone denies, by its name."""

from __future__ import annotations

import msgspec
import pytest
from holdfast_policy.logic.default import DefaultPolicy
from holdfast_policy.logic.labels import Classification, ceiling
from holdfast_policy.logic.registry import of_zones
from holdfast_policy.port import AppFacts, ModelFacts, NodeFacts, Question

REGISTRY = of_zones({"de": "DE", "fr": "FR"})
POLICY = DefaultPolicy(REGISTRY)
APP = AppFacts(app="triage", zone="de", aliases=frozenset({"chat"}))
NODE = NodeFacts(node="de-1", jurisdiction="DE", zones=frozenset({"de"}), not_after_s=100)
GOOD = Question(
    act="infer",
    app=APP,
    alias="chat",
    label=ceiling(REGISTRY, ["BLOC-EU"], 0, []),
    node=NODE,
    model=ModelFacts(digest="sha256:00"),
    now_s=50.0,
)


def test_the_good_question_is_allowed() -> None:
    decision = POLICY.decide(GOOD)
    assert decision.allowed
    assert decision.rules == ("default-allow",)


SECRET = ceiling(REGISTRY, ["DE"], "nato:2", [])


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"alias": "other"}, ("alias-granted",)),
        ({"app": msgspec.structs.replace(APP, denied=True)}, ("not-denied",)),
        ({"node": msgspec.structs.replace(NODE, denied=True)}, ("not-denied",)),
        ({"model": ModelFacts(digest="sha256:00", denied=True)}, ("not-denied",)),
        ({"label": ceiling(REGISTRY, [], 0, [])}, ("residency",)),
        ({"label": ceiling(REGISTRY, ["FR"], 0, [])}, ("residency",)),
        ({"node": msgspec.structs.replace(NODE, zones=frozenset({"fr"}))}, ("home-zone",)),
        (
            {"node": msgspec.structs.replace(NODE, jurisdiction="FR")},
            ("zone-jurisdiction",),
        ),
        (
            {"node": msgspec.structs.replace(NODE, jurisdiction="XX")},
            ("residency", "zone-jurisdiction"),
        ),
        ({"label": SECRET}, ("classification",)),
        ({"act": "place", "now_s": 100.0}, ("certificate-valid",)),
        ({"act": "grant", "now_s": 101.0}, ("certificate-valid",)),
    ],
)
def test_each_rule_denies_by_name(change: dict[str, object], rules: tuple[str, ...]) -> None:
    decision = POLICY.decide(msgspec.structs.replace(GOOD, **change))
    assert not decision.allowed
    assert decision.rules == rules


def test_an_ended_certificate_does_not_stop_what_runs() -> None:
    assert POLICY.decide(msgspec.structs.replace(GOOD, now_s=10_000.0)).allowed


@pytest.mark.parametrize(
    ("clearances", "allowed"),
    [
        ((), False),
        ((Classification(level=9),), False),
        ((Classification(scheme="nato", level=1), Classification(scheme="own", level=2)), False),
        ((Classification(level=1), Classification(scheme="nato", level=2)), True),
    ],
)
def test_clearance_is_compared_within_one_scheme(
    clearances: tuple[Classification, ...], allowed: bool
) -> None:
    node = msgspec.structs.replace(NODE, clearances=clearances)
    question = msgspec.structs.replace(GOOD, label=SECRET, node=node)
    assert POLICY.decide(question).allowed is allowed
