"""The agent's core and desired documents: stored first, only newer ones, only its controller's."""

from __future__ import annotations

import pytest
from holdfast_agent.logic import io
from msgspec.structs import replace

from tests.unit.agent.core_world import Agent, placement


def generations(agent: Agent) -> list[int]:
    agent.tick(2.0)
    return [effect.report.generation for effect in agent.asked(io.PublishReport)]


def test_a_document_is_stored_before_it_is_followed() -> None:
    agent = Agent()
    effects = agent.tell(io.DesiredArrived(document=agent.document(5, placement())))
    (store,) = [effect for effect in effects if isinstance(effect, io.StoreDesired)]
    assert not agent.core.slots
    assert generations(agent)[-1] == 0
    agent.tell(io.DesiredStored(digest=store.digest))
    assert list(agent.core.slots) == ["chat-1"]
    assert generations(agent)[-1] == 5


def test_an_older_document_changes_nothing() -> None:
    agent = Agent()
    agent.desire(5, placement())
    assert not [e for e in agent.desire(4) if isinstance(e, io.StoreDesired)]
    assert list(agent.core.slots) == ["chat-1"]
    assert generations(agent)[-1] == 5


def test_the_same_document_again_is_not_stored_again() -> None:
    agent = Agent()
    document = agent.document(5, placement())
    for _ in range(3):
        for effect in agent.tell(io.DesiredArrived(document=document)):
            if isinstance(effect, io.StoreDesired):
                agent.tell(io.DesiredStored(digest=effect.digest))
    assert len(agent.asked(io.StoreDesired)) == 1
    assert not agent.asked(io.RecordEvent)


def test_the_newest_of_two_that_come_at_once_wins() -> None:
    agent = Agent()
    first = agent.tell(io.DesiredArrived(document=agent.document(5, placement("chat"))))
    second = agent.tell(io.DesiredArrived(document=agent.document(6, placement("code"))))
    for effect in (*first, *second):
        if isinstance(effect, io.StoreDesired):
            agent.tell(io.DesiredStored(digest=effect.digest))
    assert list(agent.core.slots) == ["code-1"]
    assert generations(agent)[-1] == 6


def test_a_new_epoch_stands_above_every_generation_of_the_old_one() -> None:
    agent = Agent()
    agent.desire(50, placement())
    arrived = agent.tell(io.DesiredArrived(document=agent.document(1, epoch=2)))
    (store,) = [effect for effect in arrived if isinstance(effect, io.StoreDesired)]
    agent.tell(io.DesiredStored(digest=store.digest))
    assert generations(agent)[-1] == 1


@pytest.mark.parametrize("case", ["conflict", "other key", "no document", "other node"])
def test_what_is_not_to_be_followed_is_told_once_and_not_stored(case: str) -> None:
    agent, other = Agent(), Agent()
    agent.desire(5, placement())
    stored = len(agent.asked(io.StoreDesired))
    document = {
        "conflict": agent.document(5, placement("code")),
        "other key": other.document(6, placement("code")),
        "no document": b"{}",
        "other node": agent.document(6, node="de-2"),
    }[case]
    effects = agent.tell(io.DesiredArrived(document=document))
    assert len([e for e in effects if isinstance(e, io.RecordEvent)]) == 1
    assert len(agent.asked(io.StoreDesired)) == stored
    assert list(agent.core.slots) == ["chat-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "no-slash"},
        {"manifest_digest": "sha256:../../etc"},
        {"version": "../1"},
        {"slot": "../../agent"},
        {"slot": "a\nb"},
        {"zone": "*"},
        {"alias": "a.b"},
    ],
    ids=lambda change: " ".join(map(str, change)),
)
def test_a_document_with_names_that_are_none_is_refused_before_it_is_kept(
    change: dict[str, str],
) -> None:
    """A document that is kept is read at every start: one that cannot be judged would stay."""
    agent = Agent()
    agent.desire(5, placement())
    evil = agent.document(6, placement(), replace(placement("code"), **change))
    effects = agent.tell(io.DesiredArrived(document=evil))
    assert not [effect for effect in effects if isinstance(effect, io.StoreDesired)]
    (event,) = [effect.event for effect in effects if isinstance(effect, io.RecordEvent)]
    assert event.kind == "desired-refused"
    assert list(agent.core.slots) == ["chat-1"]


def test_a_document_that_the_disk_did_not_take_is_stored_when_it_comes_again() -> None:
    agent = Agent()
    document = agent.document(5, placement())
    agent.tell(io.DesiredArrived(document=document))
    agent.tell(io.DesiredNotStored())
    assert not agent.core.slots
    (store,) = agent.tell(io.DesiredArrived(document=document))[:1]
    assert isinstance(store, io.StoreDesired)
    agent.tell(io.DesiredStored(digest=store.digest))
    assert list(agent.core.slots) == ["chat-1"]
