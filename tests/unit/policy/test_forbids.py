"""Deleting any one forbid opens Cedar for one question, and the second opinion closes it again."""

from __future__ import annotations

import re

import pytest
from holdfast_policy.base import base_text
from holdfast_policy.cedar.engine import DEFAULT_DENY
from holdfast_policy.cedar.shell import CedarPolicy
from holdfast_policy.combined import CombinedPolicy
from holdfast_policy.logic.invariants import Invariants
from holdfast_policy.port import DISAGREEMENT

from tests.unit.policy.policy_worlds import GOOD, REGISTRY, SPOILED, Alarms, changed, engine_of

STATEMENT = re.compile(r'@id\("(?P<rule>[^"]+)"\).*?;\n', re.DOTALL)


def without(rule: str) -> str:
    """Return the base policies minus one."""
    text = base_text().policies
    (gone,) = [found for found in STATEMENT.finditer(text) if found["rule"] == rule]
    return text[: gone.start()] + text[gone.end() :]


def test_every_statement_is_found() -> None:
    found = [match["rule"] for match in STATEMENT.finditer(base_text().policies)]
    assert sorted(found) == list(engine_of(base_text().policies).rules)


@pytest.mark.parametrize("rule", sorted(SPOILED))
def test_without_a_forbid_cedar_allows_and_the_invariants_deny(rule: str) -> None:
    engine, alarms, question = engine_of(without(rule)), Alarms(), SPOILED[rule]
    assert rule not in engine.rules
    assert engine.ask(question).allowed
    decision = CombinedPolicy(CedarPolicy(engine), Invariants(REGISTRY), alarms).decide(question)
    assert not decision.allowed
    assert DISAGREEMENT in decision.rules
    assert any(name.startswith("invariant-") for name in decision.rules)
    assert alarms.raised == [(question, decision)]


@pytest.mark.parametrize(
    ("permit", "act"), [("permit-infer", "infer"), ("permit-new", "grant"), ("permit-new", "place")]
)
def test_without_a_permit_nothing_is_allowed(permit: str, act: str) -> None:
    decision = engine_of(without(permit)).ask(changed(GOOD, act=act))
    assert (decision.allowed, decision.rules) == (False, (DEFAULT_DENY,))


def test_what_cedar_remembers_is_checked_again() -> None:
    alarms, question = Alarms(), SPOILED["residency"]
    engine = CedarPolicy(engine_of(without("residency")))
    policy = CombinedPolicy(engine, Invariants(REGISTRY), alarms)
    assert not policy.decide(question).allowed
    assert not policy.decide(question).allowed
    assert len(alarms.raised) == 2
