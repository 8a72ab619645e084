"""What the core does when the journal, the bus or its helpers do not: wait, repeat, or stop."""

from __future__ import annotations

import pytest
from holdfast_controller.journal.port import Committed, Refused, Unknown
from holdfast_controller.logic import io
from holdfast_protocol import api, codec, limits
from holdfast_protocol.errors import Code
from holdfast_protocol.messages import NodeEvent, Report
from msgspec.structs import replace

from tests.unit.controller.controller_fakes import START
from tests.unit.controller.controller_world import World
from tests.vendor_roots import vendor_root


def called(number: int, call: str, body: object = None, who: str = "officer-1") -> io.ApiCalled:
    resource, _, verb = call.partition(".")
    data = b"" if body is None else codec.encode(body)
    return io.ApiCalled(call=number, who=who, resource=resource, verb=verb, body=data)


def wish(vendor: str) -> api.TrustVendor:
    return api.TrustVendor(vendor=vendor, root=vendor_root())


def test_nothing_is_answered_or_published_before_it_is_written() -> None:
    world = World()
    core = world.core
    effects = core.step(world.now_s, called(901, "vendors.trust", wish("acme")))
    [append] = effects
    assert isinstance(append, io.AppendRecords)
    # While it flies, neither another decision nor a look at the state gets out.
    assert core.step(world.now_s, called(902, "requests.list")) == []
    assert core.step(world.now_s, called(903, "vendors.trust", wish("other"))) == []
    assert core.step(world.now_s, io.Ticked()) == []
    outcome = world.journal.append_now(append.expected, append.commit)
    landed = core.step(world.now_s, io.AppendDone(outcome=outcome))
    assert [each.call for each in landed if isinstance(each, io.AnswerCall)] == [901]
    [second] = [each for each in landed if isinstance(each, io.AppendRecords)]
    assert len(second.commit.records) == 1
    outcome = world.journal.append_now(second.expected, second.commit)
    rest = core.step(world.now_s, io.AppendDone(outcome=outcome))
    assert [each.call for each in rest if isinstance(each, io.AnswerCall)] == [902, 903]


def test_everything_that_waited_is_one_commit() -> None:
    world = World()
    [append] = world.core.step(world.now_s, called(901, "vendors.trust", wish("v0")))
    assert isinstance(append, io.AppendRecords)
    for number in range(1, 20):
        world.core.step(world.now_s, called(901 + number, "vendors.trust", wish(f"v{number}")))
    outcome = world.journal.append_now(append.expected, append.commit)
    effects = world.core.step(world.now_s, io.AppendDone(outcome=outcome))
    [second] = [each for each in effects if isinstance(each, io.AppendRecords)]
    assert len(second.commit.records) == 19


@pytest.mark.parametrize(
    "outcome",
    [
        Unknown(error="The disk gave no answer."),
        Refused(tail=World().journal.tail),
    ],
)
def test_a_commit_that_may_not_stand_ends_everything(outcome: Unknown | Refused) -> None:
    world = World()
    effects = world.core.step(world.now_s, called(901, "vendors.trust", wish("acme")))
    assert len(effects) == 1
    [stop] = world.core.step(world.now_s, io.AppendDone(outcome=outcome))
    assert isinstance(stop, io.Stop)
    assert stop.code == Code.STORE_FAILED
    assert world.core.step(world.now_s, called(902, "site.status")) == []
    assert world.core.step(world.now_s, io.Ticked()) == []


@pytest.mark.parametrize("lands", [True, False])
def test_after_an_unknown_commit_the_next_start_reads_what_stands(lands: bool) -> None:
    world = World()
    world.journal.doubt_next(lands=lands)
    world.step(called(901, "vendors.trust", wish("acme")))
    assert world.stopped is not None
    assert 901 not in world.answers
    world.restart()
    requests = world.call("auditor-1", "requests.list").requests
    assert len(requests) == (1 if lands else 0)


def test_a_full_disk_stops_and_a_later_start_goes_on() -> None:
    world = World()
    world.core.step(world.now_s, called(901, "vendors.trust", wish("acme")))
    refused = io.AppendRefused(code=Code.DISK_FULL, message="The disk is full.")
    [stop] = world.core.step(world.now_s, refused)
    assert isinstance(stop, io.Stop)
    assert stop.code == Code.DISK_FULL


def test_a_fenced_document_stops_the_controller() -> None:
    world = World()
    fenced = io.PublishDone(receiver="de-1", epoch=1, generation=1, result="fenced")
    [stop] = world.core.step(world.now_s, fenced)
    assert isinstance(stop, io.Stop)


def test_a_thousand_changes_while_the_bus_is_away_are_one_document() -> None:
    world = World().with_model()
    world.bus = False
    for number in range(50):
        world.call("officer-1", "vendors.trust", wish(f"v{number}"))
        world.approve(f"r-{number + 3}", 1, 2)
    sent: list[str] = []
    world.bus = True
    publish = world._publish

    def count(effect: io.PublishDocument) -> io.AnyInput:
        sent.append(effect.receiver)
        return publish(effect)

    world._publish = count  # type: ignore[method-assign]
    world.step(io.BusReturned())
    world.now_s += limits.PUBLISH_RETRY_S
    world.step(io.Ticked())
    assert sorted(sent) == ["broker-de", "broker-fr", "de-1", "de-2", "fr-1"]
    assert world.desired("de-1").trust.snapshot == world.core.state.stamp.snapshot  # type: ignore[union-attr]


def test_a_wiped_stream_is_filled_again_when_the_bus_returns_or_a_node_stays_behind() -> None:
    world = World()
    before = dict(world.published)
    world.published.clear()
    world.step(io.BusReturned())
    assert world.published == before


def test_generations_rise_over_restarts_and_the_epoch_stays() -> None:
    world = World()
    first = world.desired("de-1")
    world.restart()
    second = world.desired("de-1")
    assert (second.epoch, first.epoch) == (1, 1)
    assert second.generation > first.generation
    assert (second.placements, second.routes) == (first.placements, first.routes)


def test_a_document_keeps_its_generation_until_it_changes() -> None:
    world = World().with_model()
    generation = world.desired("fr-1").generation
    world.call("officer-1", "vendors.trust", wish("another"))
    assert world.desired("fr-1").generation == generation


def test_trust_is_stamped_anew_every_hour_and_tickets_once_a_day() -> None:
    world = World().with_deployment()
    first = world.desired("de-1")
    world.pass_time(3601, 600)
    second = world.desired("de-1")
    assert second.trust.timestamp == first.trust.timestamp + 1
    assert second.placements == first.placements
    world.pass_time(86_400, 3600)
    third = world.desired("de-1")
    assert third.placements[0].ticket != first.placements[0].ticket
    assert third.placements[0].slot == first.placements[0].slot


def test_events_are_written_once_and_acknowledged_each_time() -> None:
    world = World()
    event = NodeEvent(node="de-1", boot="b", seq=1, at=START, kind="slot-ready", subject="chat")
    for delivery in (1, 2):
        world.step(io.EventSeen(delivery=delivery, event=event))
    assert world.acked == [1, 2]
    recorded = [
        record
        for commit in world.journal.read_now(0, 1000)
        for record in commit.records
        if record.kind == "event-recorded"
    ]
    assert len(recorded) == 1


def test_too_many_calls_are_told_so_at_once() -> None:
    world = World()
    [append] = world.core.step(world.now_s, called(1, "vendors.trust", wish("acme")))
    for number in range(limits.CONTROLLER_INPUTS):
        assert world.core.step(world.now_s, called(2 + number, "site.status")) == []
    [busy] = world.core.step(world.now_s, called(9999, "site.status"))
    assert isinstance(busy, io.AnswerCall)
    assert b'"BUSY"' in busy.body
    assert isinstance(append, io.AppendRecords)
    outcome = world.journal.append_now(append.expected, append.commit)
    assert isinstance(outcome, Committed)
    effects = world.core.step(world.now_s, io.AppendDone(outcome=outcome))
    answered = [each for each in effects if isinstance(each, io.AnswerCall)]
    assert len(answered) == 1 + limits.CONTROLLER_INPUTS


def test_an_old_report_does_not_undo_a_newer_one() -> None:
    world = World().with_deployment()

    def late(report: Report) -> Report:
        return replace(report, seq=1, slots=())

    before = world.journal.tail
    world.report("de-1", late)
    world.step(io.Ticked())
    assert world.journal.tail == before
