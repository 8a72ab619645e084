"""Cedar, the invariants and the oracle agree on every question of every world."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from holdfast_policy.base import base_text
from holdfast_policy.cedar.engine import Engine
from holdfast_policy.cedar.shell import CedarPolicy
from holdfast_policy.logic.invariants import Invariants
from holdfast_policy.logic.labels import Classification, Label
from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import AppFacts, Decision, ModelFacts, NodeFacts, Question
from holdfast_protocol.ids import Jurisdiction, Zone
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.unit.policy.policy_oracle import Oracle, lies_in
from tests.unit.policy.policy_worlds import changed

# Without "explain": it traces every line, which takes minutes when a test does fail.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
PLACES = tuple(map(Jurisdiction, ("BLOC-EU", "BLOC-NA", "DE", "FR", "CH", "DE-BY", "DE-BE")))
T = TypeVar("T")
ZONES = tuple(map(Zone, ("de", "fr", "by")))


@st.composite
def registries(draw: st.DrawFn) -> Registry:
    """Return a registry in which a jurisdiction may lie in any that are listed before it."""
    parents = {
        place: draw(st.frozensets(st.sampled_from(PLACES[:n]), max_size=2)) if n else frozenset()
        for n, place in enumerate(PLACES)
    }
    return Registry(parents, {zone: draw(st.sampled_from(PLACES)) for zone in ZONES})


def mostly(good: T, others: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Return mostly what is good, so that a question is often spoiled by one fact alone."""
    return st.integers(0, 5).flatmap(lambda n: others if n == 0 else st.just(good))


denied = mostly(False, st.just(True))
places = st.sampled_from([*PLACES, "XX", "de", "D\u0415"])
zones = st.sampled_from([*ZONES, "xx"])
classes = st.builds(
    Classification, scheme=st.sampled_from(["", "nato"]), level=st.sampled_from([0, 1, 2, 100])
)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Return a question around Bavaria's, with unknown and hostile facts among the others."""
    home = draw(mostly("by", zones))
    return Question(
        act=draw(st.sampled_from(["infer", "grant", "place"])),
        app=AppFacts(
            app="triage",
            zone=home,
            aliases=draw(mostly(frozenset({"chat"}), st.frozensets(st.just("other")))),
            denied=draw(denied),
        ),
        alias="chat",
        label=Label(
            residency=draw(
                mostly(frozenset({"BLOC-EU", "DE-BY"}), st.frozensets(places, max_size=3))
            ),
            classification=draw(
                mostly(Classification(), st.one_of(classes, st.just(Classification(level=-1))))
            ),
            purposes=frozenset({"study"}),
        ),
        node=NodeFacts(
            node="by-1",
            jurisdiction=draw(mostly("DE-BY", places)),
            zones=draw(mostly(frozenset({home}), st.frozensets(zones, max_size=3))),
            not_after_s=100,
            clearances=tuple(draw(st.lists(classes, max_size=3))),
            denied=draw(denied),
        ),
        model=ModelFacts(digest="sha256:00", denied=draw(denied)),
        now_s=draw(mostly(50.0, st.sampled_from([99.9, 100.0, 101.0, -1.0, float("nan")]))),
    )


def plain(decision: Decision) -> tuple[bool, tuple[str, ...]]:
    return decision.allowed, decision.rules


@settings(max_examples=120, deadline=None, phases=PHASES)
@given(registries(), st.lists(questions(), min_size=1, max_size=6))
def test_three_opinions_of_every_world(registry: Registry, asked: list[Question]) -> None:
    cedar = CedarPolicy(Engine(base_text(), registry))
    invariants, oracle = Invariants(registry), Oracle(registry)
    for question in asked:
        decision = cedar.decide(question)
        assert plain(decision) == plain(oracle.decide(question))
        assert invariants.decide(question).allowed is decision.allowed
        # And remembered it is the same.
        assert cedar.decide(question) == decision


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(registries())
def test_cedar_and_the_registry_agree_which_lies_in_which(registry: Registry) -> None:
    policy = Engine(base_text(), registry)
    for where in PLACES:
        for territory in PLACES:
            question = one(registry, where, territory)
            inside = "residency" not in policy.ask(question).rules
            assert inside is registry.covers({territory}, where)
            assert inside is lies_in(registry, where, territory)


def one(registry: Registry, where: str, territory: str) -> Question:
    """Return a question for data of ``territory`` on a node in ``where``."""
    return Question(
        act="infer",
        app=AppFacts(app="triage", zone="de", aliases=frozenset({"chat"})),
        alias="chat",
        label=Label(
            residency=frozenset({territory}),
            classification=Classification(),
            purposes=frozenset(),
        ),
        node=NodeFacts(node="n-1", jurisdiction=where, zones=frozenset({"de"}), not_after_s=1),
        model=ModelFacts(digest="sha256:00"),
        now_s=0.0,
    )


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(registries(), questions(), st.sampled_from(["app", "node", "model"]))
def test_a_denial_never_allows(registry: Registry, question: Question, what: str) -> None:
    policy = CedarPolicy(Engine(base_text(), registry))
    facts: msgspec.Struct = getattr(question, what)
    assert not policy.decide(changed(question, **{what: changed(facts, denied=True)})).allowed
