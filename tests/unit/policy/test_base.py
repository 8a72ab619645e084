"""The base policy: each rule alone denies, by its name and with its reason."""

from __future__ import annotations

import pytest
from holdfast_policy.base import base_policy, base_text
from holdfast_policy.cedar.engine import Engine
from holdfast_policy.logic.invariants import Invariants
from holdfast_policy.logic.labels import Classification, ceiling
from holdfast_policy.port import ENGINE_ERROR, Question

from tests.unit.policy.policy_oracle import Oracle
from tests.unit.policy.policy_worlds import (
    APP,
    GOOD,
    NODE,
    REGISTRY,
    SPOILED,
    Alarms,
    changed,
    cleared,
    quiet,
)

POLICY = quiet(REGISTRY)
PERMITS = {"permit-infer", "permit-new"}


@pytest.mark.parametrize(
    ("act", "rule"), [("infer", "permit-infer"), ("grant", "permit-new"), ("place", "permit-new")]
)
def test_the_good_question_is_allowed(act: str, rule: str) -> None:
    decision = POLICY.decide(changed(GOOD, act=act))
    assert (decision.allowed, decision.rules) == (True, (rule,))


def test_every_rule_has_its_question() -> None:
    assert {*SPOILED, *PERMITS} == set(Engine(base_text(), REGISTRY).rules)


@pytest.mark.parametrize("rule", sorted(SPOILED))
def test_each_rule_denies_alone_by_name_and_reason(rule: str) -> None:
    decision = POLICY.decide(SPOILED[rule])
    assert not decision.allowed
    assert decision.rules == (rule,)
    assert f'@reason("{decision.sentence}")' in base_text().policies


def test_all_that_denies_is_named_in_order() -> None:
    label = ceiling(REGISTRY, [], "nato:2", [])
    question = changed(GOOD, act="grant", now_s=101.0, label=label, alias="other")
    wanted = ("alias-granted", "certificate-valid", "classification", "residency")
    assert POLICY.decide(question).rules == wanted


def test_an_ended_certificate_does_not_stop_what_runs() -> None:
    assert POLICY.decide(changed(GOOD, now_s=10_000.0)).allowed


@pytest.mark.parametrize("now_s", [99.0, 99.999999])
def test_a_certificate_holds_to_its_last_second(now_s: float) -> None:
    assert POLICY.decide(changed(GOOD, act="place", now_s=now_s)).allowed


OWN = Classification(level=9)
NATO_1 = Classification(scheme="nato", level=1)
NATO_2 = Classification(scheme="nato", level=2)


@pytest.mark.parametrize(
    ("clearances", "allowed"),
    [
        ((), False),
        ((OWN,), False),
        ((NATO_1, Classification(scheme="own", level=2)), False),
        ((OWN, NATO_2), True),
        ((NATO_2, NATO_1), True),
        ((NATO_1, NATO_2), True),
    ],
)
def test_clearance_is_compared_within_one_scheme(
    clearances: tuple[Classification, ...], allowed: bool
) -> None:
    assert POLICY.decide(cleared(*clearances)).allowed is allowed


def test_the_scheme_without_a_name_is_one_too() -> None:
    label = ceiling(REGISTRY, ["DE"], 9, [])
    node = changed(NODE, clearances=(OWN,))
    assert POLICY.decide(changed(GOOD, label=label, node=node)).allowed
    assert not POLICY.decide(changed(GOOD, label=label)).allowed


@pytest.mark.parametrize(
    "question",
    [
        changed(GOOD, node=changed(NODE, jurisdiction="XX")),
        changed(GOOD, node=changed(NODE, jurisdiction="de")),
        changed(GOOD, node=changed(NODE, jurisdiction="D\u0415")),
        changed(GOOD, node=changed(NODE, zones=frozenset({"de", "xx"}))),
        changed(GOOD, app=changed(APP, zone="xx"), node=changed(NODE, zones=frozenset({"xx"}))),
        changed(GOOD, label=changed(GOOD.label, residency=frozenset({"DE", "XX"}))),
        changed(GOOD, label=changed(GOOD.label, residency=frozenset({"DE "}))),
        changed(GOOD, label=changed(GOOD.label, classification=Classification(level=-1))),
        changed(GOOD, label=changed(GOOD.label, classification=Classification(level=101))),
        changed(GOOD, act="grant", now_s=float("nan")),
        changed(GOOD, act="grant", now_s=float("inf")),
        changed(GOOD, act="grant", now_s=-1.0),
    ],
)
def test_the_unknown_is_denied_twice_and_told(question: Question) -> None:
    alarms = Alarms()
    decision = base_policy(REGISTRY, alarms).decide(question)
    assert (decision.allowed, decision.rules) == (False, (ENGINE_ERROR,))
    assert alarms.raised == [(question, decision)]
    assert not Invariants(REGISTRY).decide(question).allowed


def test_the_oracle_knows_the_same_rules() -> None:
    for rule, question in SPOILED.items():
        assert Oracle(REGISTRY).decide(question).rules == (rule,)
