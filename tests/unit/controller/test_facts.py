"""Facts on disk are for ever; folding is idempotent and nothing but folding."""

from __future__ import annotations

import copy
import json
import typing

import msgspec
import pytest
from holdfast_controller.logic import facts, records
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.fold import fold
from holdfast_controller.logic.state import State
from holdfast_controller.logic.words import sentence
from holdfast_protocol.errors import Code, HoldfastError
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.controller.fact_samples import D1, GOLDEN, SAMPLES, TWINS, record

# Facts that count what happened: each one is news by itself.
COUNTED = (facts.ControllerStarted,)


@pytest.mark.parametrize("fact", SAMPLES, ids=records.tag_of)
def test_golden_bytes_are_read_and_written_as_they_always_were(fact: AnyFact) -> None:
    stored = (GOLDEN / f"{records.tag_of(fact)}.json").read_bytes()
    assert records.decode(stored).fact == fact
    assert record(fact) == stored


def test_every_fact_has_a_golden_file_and_words() -> None:
    every = {kind.__name__ for kind in typing.get_args(AnyFact)}
    assert {type(fact).__name__ for fact in SAMPLES} == every
    assert len(list(GOLDEN.iterdir())) == len(every)
    for fact in SAMPLES:
        assert sentence(fact) != records.tag_of(fact), "a person can read it"


@pytest.mark.parametrize("fact", SAMPLES, ids=records.tag_of)
def test_no_record_holds_a_fraction(fact: AnyFact) -> None:
    def whole(value: object) -> bool:
        if isinstance(value, dict):
            return all(whole(each) for each in value.values())
        if isinstance(value, list):
            return all(whole(each) for each in value)
        return not isinstance(value, float)

    assert whole(json.loads(record(fact)))


def test_what_a_newer_version_wrote_is_named_and_refused() -> None:
    body = record(facts.RequestExpired(id="r-1")).replace(b"request-expired", b"request-praised")
    with pytest.raises(HoldfastError, match="request-praised") as caught:
        records.decode(body)
    assert caught.value.code == Code.JOURNAL_DAMAGED


def test_an_envelope_that_names_another_kind_is_refused() -> None:
    body = record(facts.RequestExpired(id="r-1"))
    other = body.replace(b'"kind":"request-expired"', b'"kind":"request-made"')
    with pytest.raises(HoldfastError):
        records.decode(other)
    with pytest.raises(HoldfastError):
        records.decode(b"{}")


# Every order and repetition of the samples is a history that a journal might hold.
HISTORIES = st.lists(st.sampled_from((*SAMPLES, *TWINS)), max_size=40)


@given(HISTORIES, st.sampled_from(SAMPLES))
def test_a_doubled_fact_changes_nothing(history: list[AnyFact], last: AnyFact) -> None:
    state = State()
    for fact in [*history, last]:
        fold(state, fact)
    before = copy.deepcopy(state)
    again = fold(state, last)
    if not isinstance(last, COUNTED):
        assert not again
        assert state == before


@given(HISTORIES)
def test_false_means_that_nothing_changed_and_only_that(history: list[AnyFact]) -> None:
    state = State()
    for fact in history:
        before = copy.deepcopy(state)
        assert fold(state, fact) == (state != before)


@given(HISTORIES)
def test_what_changed_nothing_need_not_be_journalled(history: list[AnyFact]) -> None:
    state, refolded = State(), State()
    journalled = [fact for fact in history if fold(state, fact)]
    for fact in journalled:
        fold(refolded, fact)
    assert refolded == state


def test_an_event_is_news_once_whatever_order_a_boot_s_events_come_in() -> None:
    state = State()
    event = facts.EventRecorded(
        node="de-1", boot="b1", number=2, kind="k", about="a", code=None, message="", at_ms=1
    )
    older = msgspec.structs.replace(event, number=1)
    newer_boot = msgspec.structs.replace(event, boot="b2", number=1)
    assert fold(state, event)
    assert fold(state, older), "delivered again after what came later"
    assert fold(state, newer_boot)
    assert not any(fold(state, each) for each in (event, older, newer_boot))


def test_a_denial_of_an_ancestor_denies_the_model() -> None:
    state = State()
    for fact in SAMPLES:
        if isinstance(fact, facts.ModelQuarantined):
            fold(state, fact)
    [model] = state.models.values()
    assert not state.is_denied(model)
    fold(state, facts.Denied(what=model.facts.parents[0], reason=""))
    assert state.is_denied(model)
    assert D1 in state.models
