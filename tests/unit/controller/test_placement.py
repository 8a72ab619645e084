"""Where a replica goes, and the one constraint that is named for every node it cannot go to."""

from __future__ import annotations

import random
from typing import Any

import pytest
from holdfast_controller.logic import facts
from holdfast_controller.logic.placement import Board, Candidate, Need, Room, choose
from holdfast_protocol.limits import GIB
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

NEED = Need(
    alias="chat",
    zone="de",
    territory="DE",
    approved=True,
    denied=False,
    format="gguf",
    engine="xllamacpp",
    claim_bytes=8 * GIB,
)


def room(uuid: str = "GPU-1", free: int = 24, kind: Any = "gpu", health: str = "ok") -> Room:
    return Room(uuid=uuid, kind=kind, health=health, total_bytes=24 * GIB, free_bytes=free * GIB)


def certified(node: str, jurisdiction: str = "DE", *zones: str) -> facts.NodeCertified:
    return facts.NodeCertified(
        node=node, jurisdiction=jurisdiction, zones=zones or ("de",), not_after_s=2
    )


def candidate(node: str = "de-1", *rooms: Room) -> Candidate:
    return Candidate(
        node=node,
        status="ok",
        certificate=certified(node),
        expired=False,
        denied=False,
        reported_jurisdiction="DE",
        trust="fresh",
        engine="xllamacpp 1.0",
        rooms=rooms or (room(),),
        aliases=frozenset(),
    )


@pytest.mark.parametrize(
    ("need", "change", "constraint", "words"),
    [
        ({"denied": True}, {}, "denied", "denied by an officer"),
        ({"approved": False}, {}, "not-approved", "not approved"),
        ({}, {"denied": True}, "node-denied", "revoked"),
        ({}, {"certificate": None}, "certificate", "no site certificate"),
        ({}, {"expired": True}, "certificate-expired", "expired"),
        ({}, {"certificate": certified("de-1", "DE", "fr")}, "zone", "zone fr, not for de"),
        ({}, {"certificate": certified("de-1", "FR")}, "jurisdiction", "stands in FR"),
        ({}, {"certificate": certified("de-1", "DEU")}, "jurisdiction", "stands in DEU"),
        ({}, {"status": "down"}, "node-state", "is down"),
        ({}, {"status": "quarantined"}, "node-state", "is quarantined"),
        ({}, {"reported_jurisdiction": "FR"}, "jurisdiction-reported", "reports FR"),
        ({}, {"trust": "stale"}, "trust", "is stale"),
        ({}, {"trust": "CLOCK_BEHIND"}, "trust", "clock_behind"),
        ({"format": "safetensors"}, {}, "format", "does not load safetensors"),
        ({}, {"engine": ""}, "engine", "no engine"),
        ({}, {"engine": "vllm 1"}, "engine", "vllm 1, not xllamacpp"),
        ({}, {"aliases": frozenset({"chat"})}, "one-per-node", "already"),
        ({"avoid_nodes": ("de-1",)}, {}, "failed-here", "failed on de-1"),
        ({}, {"rooms": ()}, "device", "no device"),
        ({}, {"rooms": (room(health="lost"),)}, "device-health", "lost"),
        ({}, {"rooms": (room(free=7),)}, "memory", "7168 MiB free"),
        ({}, {"rooms": (room(free=7), room("b", 99, health="lost"))}, "memory", "8192 MiB"),
    ],
)
def test_each_constraint_refuses_by_itself_and_is_named(
    need: dict[str, Any], change: dict[str, Any], constraint: str, words: str
) -> None:
    decision = choose(replace(NEED, **need), [replace(candidate(), **change)])
    assert decision.choice is None
    [rejection] = decision.rejections
    assert (rejection.node, rejection.constraint) == ("de-1", constraint)
    assert words in rejection.sentence


def test_a_part_of_the_country_is_within_it_but_not_the_other_way() -> None:
    bavaria = replace(candidate(), certificate=certified("de-1", "DE-BY"))
    bavaria = replace(bavaria, reported_jurisdiction="DE-BY")
    assert choose(NEED, [bavaria]).choice is not None
    assert choose(replace(NEED, territory="DE-BY"), [candidate()]).choice is None


def test_the_claim_may_fill_a_room_to_the_last_byte() -> None:
    assert choose(replace(NEED, claim_bytes=24 * GIB), [candidate()]).choice is not None
    assert choose(replace(NEED, claim_bytes=24 * GIB + 1), [candidate()]).choice is None


@pytest.mark.parametrize(
    ("rooms", "chosen"),
    [
        ([("a", room("g1", 20)), ("b", room("g2", 10))], ("b", "g2")),
        ([("a", room("c1", 9, "cpu")), ("b", room("g2", 24))], ("b", "g2")),
        ([("a", room("c1", 9, "cpu")), ("b", room("g2", 7))], ("a", "c1")),
        ([("b", room("g1", 10)), ("a", room("g2", 10))], ("a", "g2")),
        ([("a", room("g2", 10)), ("a2", room("g1", 10))], ("a", "g2")),
    ],
    ids=["best fit", "gpu before cpu", "cpu where no gpu fits", "node breaks ties", "not device"],
)
def test_the_score(rooms: list[tuple[str, Room]], chosen: tuple[str, str]) -> None:
    choice = choose(NEED, [candidate(node, each) for node, each in rooms]).choice
    assert choice is not None
    assert (choice.node, choice.device) == chosen


def test_two_devices_of_a_node_tie_by_uuid_and_a_sick_one_is_passed_over() -> None:
    both = candidate("de-1", room("g2"), room("g1"))
    choice = choose(NEED, [both]).choice
    assert choice is not None
    assert choice.device == "g1"
    sick = candidate("de-1", room("g2"), room("g1", health="degraded"))
    choice = choose(NEED, [sick]).choice
    assert choice is not None
    assert choice.device == "g2"


def test_a_board_gives_nothing_away_twice() -> None:
    board = Board([candidate("de-1", room("g1", 20)), candidate("de-2", room("g2", 20))])
    homes = []
    for alias in ("a", "b", "c", "d", "e"):
        choice = board.take(replace(NEED, alias=alias)).choice
        homes.append(None if choice is None else choice.device)
    assert homes == ["g1", "g1", "g2", "g2", None]


def test_a_replica_that_moves_is_not_in_its_own_way() -> None:
    sick = replace(
        candidate("de-1", room("g1", health="lost"), room("g2")), aliases=frozenset({"chat"})
    )
    assert Board([sick]).take(NEED).choice is None
    choice = Board([sick]).take(NEED, moving=("de-1", "chat")).choice
    assert choice is not None
    assert choice.device == "g2"


NODES = st.lists(
    st.tuples(
        st.sampled_from(["DE", "FR"]),
        st.sampled_from(["ok", "late", "down"]),
        st.lists(st.tuples(st.integers(0, 24), st.sampled_from(["gpu", "cpu"])), max_size=3),
    ),
    max_size=8,
)


@given(NODES, st.integers(0, 2**32))
def test_the_order_of_candidates_does_not_matter_and_nothing_illegal_is_chosen(
    nodes: list[tuple[str, Any, list[tuple[int, Any]]]], seed: int
) -> None:
    made = [
        Candidate(
            node=f"n-{number}",
            status=status,
            certificate=certified(f"n-{number}", where),
            expired=False,
            denied=False,
            reported_jurisdiction=where,
            trust="fresh",
            engine="xllamacpp",
            rooms=tuple(room(f"d-{number}-{n}", free, kind) for n, (free, kind) in enumerate(each)),
            aliases=frozenset(),
        )
        for number, (where, status, each) in enumerate(nodes)
    ]
    shuffled = random.Random(seed).sample(made, len(made))
    decision = choose(NEED, made)
    assert choose(NEED, shuffled) == decision
    possible = {
        each.node
        for each in made
        if each.reported_jurisdiction == "DE"
        and each.status != "down"
        and any(one.free_bytes >= NEED.claim_bytes for one in each.rooms)
    }
    assert (decision.choice is not None) == bool(possible)
    if decision.choice is not None:
        assert decision.choice.node in possible
    assert {each.node for each in decision.rejections} == {each.node for each in made} - possible
