"""The gateway's pure parts: who may be asked, in what order, who waits, what is remembered."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from holdfast_agent.logic.gateway.decide import Asked, Judge
from holdfast_agent.logic.gateway.dedupe import RequestKey, Seen
from holdfast_agent.logic.gateway.headers import failed, read_request
from holdfast_agent.logic.gateway.hold import Hold, Pace
from holdfast_agent.logic.gateway.peers import FRESH_S, FULL_FRESH_S, Ack, Peers
from holdfast_agent.logic.gateway.table import Table, table_of
from holdfast_agent.logic.stamp import Stamp
from holdfast_policy.logic.labels import Narrowing
from holdfast_policy.logic.registry import of_zones
from holdfast_policy.port import Decision, NodeFacts, Question
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import DEADLINE_MS_CAP, HOLD_PER_SLOT
from holdfast_protocol.messages import Desired, Grant, Route, RouteTarget, TrustMark
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.gateway_site import DIGEST, OPERATIONS, PlainTrust, record

ASKED = Asked(zone="de", app="triage", alias="chat", op="chat", narrowing=Narrowing())
HERE = RouteTarget(node="de-1", zone="de", slot="chat-1", capacity=4)
ABROAD = RouteTarget(node="fr-1", zone="fr", slot="chat-2", capacity=4)
ROUTE = Route(alias="chat", epoch=1, digest=DIGEST, operations=OPERATIONS, targets=(HERE, ABROAD))
TABLE = Table(
    stamp=Stamp(1, 1, ""),
    routes={"chat": ROUTE},
    grants={("triage", "de"): frozenset({"chat"}), ("triage", "fr"): frozenset({"chat"})},
)
OTHER = {("triage", "de"): frozenset({"other"})}


class Permissive:
    """A policy that would allow anything: what the gateway refuses by itself must stay refused."""

    def decide(self, question: Question) -> Decision:
        return Decision(decision="allow", rules=("all",), sentence="")


class Never:
    """A policy that denies everything."""

    def decide(self, question: Question) -> Decision:
        return Decision(decision="deny", rules=("none",), sentence="")


def trust(*nodes: str) -> PlainTrust:
    made = PlainTrust()
    made.records["triage"] = record("triage", "de", "chat")
    for node in nodes:
        made.nodes[node] = NodeFacts(
            node=node, jurisdiction="DE", zones=frozenset({"de"}), not_after_s=1
        )
    return made


JUDGE = Judge(Permissive(), of_zones({"de": "DE", "fr": "FR"}))


def code_of(asked: Asked, table: Table, known: PlainTrust, judge: Judge = JUDGE) -> Code:
    with pytest.raises(HoldfastError) as caught:
        judge.decide(asked, table, known, 0.0)
    return caught.value.code


def test_another_zone_is_never_a_candidate_whatever_the_policy_says() -> None:
    legal = JUDGE.decide(ASKED, TABLE, trust("de-1", "fr-1"), 0.0)
    assert legal.targets == (HERE,)


@pytest.mark.parametrize(
    ("asked", "table", "code"),
    [
        ({"zone": "fr"}, {}, Code.NOT_GRANTED),  # not the record's home zone
        ({"app": "stranger"}, {}, Code.NOT_GRANTED),
        ({"alias": "other"}, {"grants": OTHER}, Code.NOT_GRANTED),  # not in the record
        ({}, {"grants": {}}, Code.NOT_GRANTED),
        ({"op": "embed"}, {}, Code.OPERATION_UNSUPPORTED),
        ({"narrowing": Narrowing(residency="FR")}, {}, Code.LABEL_REFUSED),
        ({}, {"routes": {}}, Code.NOT_LOADED),
        (
            {},
            {"routes": {"chat": msgspec.structs.replace(ROUTE, targets=(ABROAD,))}},
            Code.NO_LEGAL_PLACEMENT,
        ),
    ],
)  # fmt: skip
def test_refusals_do_not_rest_on_the_policy_alone(
    asked: dict[str, Any], table: dict[str, Any], code: Code
) -> None:
    changed = msgspec.structs.replace(ASKED, **asked)
    known = trust("de-1", "fr-1")
    assert code_of(changed, msgspec.structs.replace(TABLE, **table), known) is code


def test_a_policy_that_denies_leaves_no_candidate() -> None:
    never = Judge(Never(), of_zones({"de": "DE", "fr": "FR"}))
    assert code_of(ASKED, TABLE, trust("de-1"), never) is Code.NO_LEGAL_PLACEMENT


def test_without_certificate_or_view_nothing_is_legal() -> None:
    assert code_of(ASKED, TABLE, trust()) is Code.NO_LEGAL_PLACEMENT
    blind = trust("de-1")
    blind.usable = False
    assert code_of(ASKED, TABLE, blind) is Code.TRUST_STALE


def test_of_two_routes_the_higher_epoch_counts() -> None:
    newer = msgspec.structs.replace(ROUTE, epoch=2, targets=())
    for routes in ((ROUTE, newer), (newer, ROUTE)):
        desired = Desired(
            node="de-1",
            epoch=1,
            generation=1,
            issued=0.0,
            placements=(),
            routes=routes,
            grants=(
                Grant(app="a", zone="de", aliases=("x",)),
                Grant(app="a", zone="de", aliases=("y",)),
            ),
            policy_serial=0,
            trust=TrustMark(snapshot=4, timestamp=1),
        )
        table = table_of(desired, Stamp(1, 1, ""))
        assert table.routes["chat"].epoch == 2
        assert table.granted("a", "de", "x")
        assert table.granted("a", "de", "y")
        assert not table.granted("a", "fr", "x")


# ---------------------------------------------------------------- peers


def targets(count: int) -> list[RouteTarget]:
    return [RouteTarget(node=f"n{i}", zone="de", slot="s", capacity=4) for i in range(count)]


def test_the_least_loaded_is_chosen_and_the_full_are_left_alone_for_a_moment() -> None:
    peers = Peers(random.Random(1))
    one, two, three = targets(3)
    peers.heard(one, Ack(answer="accepted", in_flight=3, capacity=4), 0.0)
    peers.heard(two, Ack(answer="full"), 0.0)
    peers.heard(three, Ack(answer="accepted", in_flight=1, capacity=4), 0.0)
    every = [one, two, three]
    assert peers.choose(every, set(), 0.05) == three
    assert peers.choose(every, {("n2", "s")}, 0.05) == one
    assert peers.choose([two], set(), 0.05) is None
    assert peers.choose([two], set(), FULL_FRESH_S + 0.01) == two
    assert peers.choose([one, two], set(), FRESH_S / 2) == one
    assert peers.choose([], set(), 0.0) is None


def test_equals_are_spread() -> None:
    peers = Peers(random.Random(1))
    chosen = {t.node for _ in range(50) if (t := peers.choose(targets(3), set(), 0.0))}
    assert chosen == {"n0", "n1", "n2"}


# ---------------------------------------------------------------- hold


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 4))
def test_the_hold_never_exceeds_its_bound_and_keeps_order(steps: list[bool], slots: int) -> None:
    hold: Hold[int] = Hold()
    expected: list[int] = []
    for number, joins in enumerate(steps):
        if joins and hold.admits(slots, 0.0, 1.0):
            hold.join(number)
            expected.append(number)
        elif expected and not joins:
            hold.leave(expected.pop(0))
        assert len(hold) == len(expected) <= HOLD_PER_SLOT * slots
        assert hold.head == (expected[0] if expected else None)


def test_who_cannot_finish_in_time_may_not_wait() -> None:
    pace, hold = Pace(), Hold[int]()
    assert pace.wait_s(10, 4) == 0.0  # nothing known: let it try
    for _ in range(50):
        pace.took(2.0)
    assert pace.wait_s(3, 4) == pytest.approx(2.0)
    assert hold.admits(4, pace.wait_s(3, 4), 2.1)
    assert not hold.admits(4, pace.wait_s(3, 4), 1.9)
    hints = {pace.retry_ms(3, 4, random.Random(seed)) for seed in range(9)}
    assert len(hints) > 5
    assert all(2000 <= hint <= 4000 for hint in hints)


# ---------------------------------------------------------------- dedupe


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["begin", "end"])), max_size=60))
def test_running_requests_are_never_forgotten(steps: list[tuple[int, str]]) -> None:
    seen = Seen(most=2)
    running: set[int] = set()
    for number, step in steps:
        key = RequestKey("app", str(number))
        if step == "end":
            seen.end(key)
            running.discard(number)
        elif seen.judge(key, "reply") == "new":
            seen.begin(key, "reply")
            running.add(number)
        for one in range(6):
            state = seen.state(RequestKey("app", str(one)))
            assert (state == "running") == (one in running)


def test_one_id_of_two_applications_is_two_requests() -> None:
    seen = Seen()
    key, other = RequestKey("a", "1"), RequestKey("b", "1")
    assert seen.judge(key, "x") == "new"
    seen.begin(key, "x")
    assert (seen.judge(key, "x"), seen.judge(key, "y")) == ("again", "taken")
    assert seen.judge(other, "x") == "new"
    seen.end(key)
    assert (seen.judge(key, "x"), seen.judge(key, "y")) == ("again", "new")


# ---------------------------------------------------------------- headers


def test_headers_have_the_sites_defaults() -> None:
    meta = read_request({}, "fresh")
    assert (meta.request, meta.deadline_ms, meta.stream) == ("fresh", DEADLINE_MS_CAP, False)
    assert meta.narrowing == Narrowing()
    given_ = {"Hf-Request": " r-1 ", "Hf-Deadline-Ms": "999999999", "Hf-Accept": " stream"}
    meta = read_request(given_, "fresh")
    assert (meta.request, meta.deadline_ms, meta.stream) == ("r-1", DEADLINE_MS_CAP, True)


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=6))
def test_no_headers_do_more_than_be_refused(headers: dict[str, str]) -> None:
    try:
        meta = read_request(headers, "fresh")
    except HoldfastError as error:
        assert error.code in (Code.BAD_REQUEST, Code.LABEL_REFUSED)  # noqa: PT017
    else:
        assert 0 < meta.deadline_ms <= DEADLINE_MS_CAP


@pytest.mark.parametrize("code", list(Code))
def test_no_error_tells_an_application_of_the_site(code: Code) -> None:
    own = (
        Code.BAD_REQUEST,
        Code.BAD_NAME,
        Code.TOO_LARGE,
        Code.LABEL_REFUSED,
        Code.ALREADY_EXISTS,
        Code.OPERATION_UNSUPPORTED,
    )
    told, body = failed(HoldfastError(code, "node de-7 at /srv/engines says no.\r\nX: y"))
    shown = body.decode() + "".join(told.values())
    assert ("de-7" in shown) == (code in own)
    assert not any("\r" in value or "\n" in value for value in told.values())
    assert int(told["Hf-Status"]) >= 400
