"""Whatever goes wrong in or around Cedar is a denial: each trap that was measured, once."""

from __future__ import annotations

import math

import pytest
from holdfast_policy.base import base_policy, base_text
from holdfast_policy.cedar.shell import CedarPolicy
from holdfast_policy.logic.labels import ceiling
from holdfast_policy.logic.registry import of_zones
from holdfast_policy.port import ENGINE_ERROR, Decision, Question
from holdfast_protocol.limits import DECISIONS_KEPT

from tests.unit.policy.policy_worlds import (
    APP,
    GOOD,
    MODEL,
    NODE,
    REGISTRY,
    SPOILED,
    Alarms,
    changed,
    engine_of,
)

BASE = base_text().policies
OVERLAY = '@id("more") @reason("More.") forbid (principal, action, resource) '
TRIPS = {
    "overflow": "when { context.label.classification.level + 9223372036854775807 + 1 < 0 };",
    "dangling entity": 'unless { Holdfast::Node::"ghost".denied == false };',
}


@pytest.mark.parametrize("trap", sorted(TRIPS))
def test_a_forbid_that_fails_denies(trap: str) -> None:
    # Cedar itself skips it and allows.
    decision = CedarPolicy(engine_of(BASE + OVERLAY + TRIPS[trap])).decide(GOOD)
    assert (decision.allowed, decision.rules) == (False, (ENGINE_ERROR,))


WRONG: list[dict[str, object]] = [
    {"alias": 5},
    {"alias": None},
    {"alias": ["chat"]},
    {"label": None},
    {"label": changed(GOOD.label, residency=None)},
    {"label": changed(GOOD.label, residency="DE")},
    {"label": changed(GOOD.label, residency=["DE"])},
    {"label": changed(GOOD.label, purposes=frozenset({1}))},
    {"label": changed(GOOD.label, classification=None)},
    {"label": changed(GOOD.label, classification=changed(GOOD.label.classification, level="0"))},
    {"label": changed(GOOD.label, classification=changed(GOOD.label.classification, level=0.5))},
    {"label": changed(GOOD.label, classification=changed(GOOD.label.classification, scheme=1))},
    {"app": changed(APP, denied=None)},
    {"app": changed(APP, denied="")},
    {"app": changed(APP, zone=None)},
    {"app": changed(APP, aliases=frozenset({1, 2}))},
    {"app": changed(APP, app="\ud800")},
    {"node": changed(NODE, denied=0)},
    {"node": changed(NODE, not_after_s="100")},
    {"node": changed(NODE, not_after_s=1.5)},
    {"node": changed(NODE, not_after_s=2**64)},
    {"node": changed(NODE, clearances=("",))},
    {"node": changed(NODE, zones=None)},
    {"model": changed(MODEL, denied=math.nan)},
    {"model": object()},
    {"act": "export"},
]


@pytest.mark.parametrize("change", WRONG, ids=range(len(WRONG)))
def test_a_question_of_wrong_types_is_denied(change: dict[str, object]) -> None:
    alarms = Alarms()
    decision = base_policy(REGISTRY, alarms).decide(changed(GOOD, **change))
    assert (decision.allowed, decision.rules) == (False, (ENGINE_ERROR,))
    assert decision.sentence.isascii()
    assert len(alarms.raised) == 1


class Failing:
    """An engine that fails as its native library may."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def ask(self, question: Question) -> Decision:
        raise self._error


PANIC = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("y"), MemoryError(), RecursionError(), PANIC("index")]
)
def test_every_failure_of_the_engine_is_a_denial(error: BaseException) -> None:
    assert CedarPolicy(Failing(error)).decide(GOOD).rules == (ENGINE_ERROR,)


def test_the_end_of_the_process_is_not_held_up() -> None:
    with pytest.raises(KeyboardInterrupt):
        CedarPolicy(Failing(KeyboardInterrupt())).decide(GOOD)


@pytest.mark.parametrize("name", ['x", action, resource); permit (principal', "\x00\n\\", "É", ""])
def test_names_are_never_read_as_policy(name: str) -> None:
    policy = CedarPolicy(engine_of(BASE))
    assert policy.decide(changed(GOOD, app=changed(APP, app=name))).allowed
    for rule in ("residency", "app-denied"):
        spoiled = SPOILED[rule]
        spoiled = changed(spoiled, app=changed(spoiled.app, app=name))
        assert policy.decide(spoiled).rules == (rule,)


def test_rules_are_named_by_id_wherever_they_stand() -> None:
    policy = CedarPolicy(engine_of(OVERLAY + 'when { context.alias == "other" };\n' + BASE))
    assert policy.decide(SPOILED["alias-granted"]).rules == ("alias-granted", "more")
    assert policy.decide(SPOILED["residency"]).rules == ("residency",)


def test_nowhere_is_nowhere() -> None:
    nowhere = changed(GOOD, label=ceiling(REGISTRY, [], 0, []))
    assert CedarPolicy(engine_of(BASE)).decide(nowhere).rules == ("residency",)


@pytest.mark.parametrize(
    ("where", "allowed"), [("DE", True), ("FR", True), ("CH", False), ("GB", False)]
)
def test_the_union_is_its_members(where: str, allowed: bool) -> None:
    registry = of_zones({"home": where, "ch": "CH", "gb": "GB"})
    question = changed(
        GOOD,
        app=changed(APP, zone="home"),
        node=changed(NODE, jurisdiction=where, zones=frozenset({"home"})),
    )
    assert CedarPolicy(engine_of(BASE, registry)).decide(question).allowed is allowed


def test_nothing_remembered_answers_for_another_fact() -> None:
    policy = CedarPolicy(engine_of(BASE))
    for rule, spoiled in SPOILED.items():
        assert policy.decide(GOOD).allowed
        assert policy.decide(spoiled).rules == (rule,)
        assert policy.decide(spoiled).rules == (rule,)


class Counting:
    """An engine that counts what it is asked."""

    def __init__(self, rules: tuple[str, ...] = ("r",)) -> None:
        self.asked = 0
        self._decision = Decision(decision="deny", rules=rules, sentence="")

    def ask(self, question: Question) -> Decision:
        self.asked += 1
        return self._decision


def test_requests_are_remembered_whenever_they_come_and_dates_never() -> None:
    engine = Counting()
    policy = CedarPolicy(engine)
    for now_s in (1.0, 2.0, 3.0):
        policy.decide(changed(GOOD, now_s=now_s))
    assert engine.asked == 1
    for now_s in (1.0, 1.0, 2.0):
        policy.decide(changed(GOOD, act="grant", now_s=now_s))
    assert engine.asked == 4


def test_what_is_remembered_is_bounded() -> None:
    engine = Counting()
    policy = CedarPolicy(engine)
    asked = [changed(GOOD, alias=f"a-{n}") for n in range(DECISIONS_KEPT + 1)]
    for question in asked:
        policy.decide(question)
    policy.decide(asked[-1])
    assert engine.asked == len(asked)
    policy.decide(asked[0])  # the oldest had to go
    assert engine.asked == len(asked) + 1


def test_failures_are_not_remembered() -> None:
    policy = CedarPolicy(engine_of(BASE))
    wrong = changed(GOOD, node=changed(NODE, jurisdiction="XX"))
    assert policy.decide(wrong).rules == (ENGINE_ERROR,)
    assert policy.decide(wrong).rules == (ENGINE_ERROR,)
    assert policy.decide(GOOD).allowed
