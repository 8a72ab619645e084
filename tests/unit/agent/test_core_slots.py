"""The agent's core and its slots: trust, memory, failures, denials, leaving."""

from __future__ import annotations

import pytest
from holdfast_agent.logic import io
from holdfast_agent.logic.slot import BACKOFF_MAX_S, DRAIN_S
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.limits import GIB
from holdfast_protocol.messages import NodeEvent, Report
from msgspec.structs import replace

from tests.unit.agent.core_world import GPU, Agent, Trust, digest, placement


def starts(agent: Agent) -> list[str]:
    return [effect.placement.slot for effect in agent.asked(io.StartEngine)]


def kinds(agent: Agent) -> list[str]:
    return [effect.event.kind for effect in agent.asked(io.RecordEvent)]


def test_a_placement_is_fetched_loaded_probed_and_offered() -> None:
    agent = Agent()
    agent.desire(1, placement())
    attempt = agent.core.slots["chat-1"].attempt
    assert [effect.placement.slot for effect in agent.asked(io.Fetch)] == ["chat-1"]
    agent.tell(io.Fetched(slot="chat-1", attempt=attempt))
    assert starts(agent) == ["chat-1"]
    agent.tell(io.EngineProbing(slot="chat-1", attempt=attempt))
    assert agent.core.slots["chat-1"].state == "probing"
    assert agent.offered() == {}
    agent.tell(agent.ready("chat-1"))
    assert agent.offered()["chat-1"].accept
    assert agent.asked(io.RememberAccepted)[-1].digests == (digest("chat"),)


def test_nothing_is_fetched_before_the_trust_is_known_or_while_it_is_asked() -> None:
    agent = Agent()
    agent.tick(61.0)  # the refresh is due and under way
    agent.desire(1, placement())
    assert not agent.asked(io.Fetch)
    agent.tell(io.TrustRefreshed(view=agent.trust))
    assert len(agent.asked(io.Fetch)) == 1


def test_what_is_not_approved_is_refused_once_and_loads_when_it_is() -> None:
    agent = Agent(Trust())
    agent.desire(1, placement())
    for _ in range(5):
        agent.tick(1.5)
    assert not agent.asked(io.Fetch)
    assert kinds(agent) == ["slot-refused"]
    approved = Trust(snapshot=2, approved={digest("chat")})
    agent.tell(io.TrustRefreshed(view=approved))
    assert len(agent.asked(io.Fetch)) == 1


def test_one_load_at_a_time_on_a_device() -> None:
    agent = Agent()
    agent.desire(1, placement("chat"), placement("code"))
    for slot in ("chat-1", "code-1"):
        agent.tell(io.Fetched(slot=slot, attempt=1))
    assert starts(agent) == ["chat-1"]
    agent.tell(agent.ready("chat-1"))
    assert starts(agent) == ["chat-1", "code-1"]


def test_a_foreign_process_on_the_device_is_told_and_waited_for() -> None:
    agent = Agent()
    agent.see_devices(used_gib=22)
    agent.desire(1, placement(claim_gib=4))
    agent.tell(io.Fetched(slot="chat-1", attempt=1))
    assert not starts(agent)
    assert agent.core.slots["chat-1"].code == "VRAM_DRIFT"
    agent.see_devices(used_gib=0)
    agent.tick(1.5)
    agent.tell(io.Fetched(slot="chat-1", attempt=2))
    assert starts(agent) == ["chat-1"]


def test_an_engine_that_died_is_started_again_at_once_then_ever_less_often() -> None:
    agent = Agent()
    agent.desire(1, placement())
    agent.serve("chat")
    agent.tell(agent.failed("chat-1"))
    assert agent.core.slots["chat-1"].state == "fetching"  # tried again in the same step
    delays = []
    for _ in range(8):
        agent.tell(agent.failed("chat-1"))
        slot = agent.core.slots["chat-1"]
        delays.append(slot.retry_at_s - agent.now_s)
        agent.tick(delays[-1])
        agent.tell(io.TrustRefreshed(view=agent.trust))
        assert slot.state == "fetching"
    assert delays == sorted(delays)
    assert delays[-1] == BACKOFF_MAX_S


def test_an_answer_of_an_abandoned_attempt_changes_nothing() -> None:
    agent = Agent()
    agent.desire(1, placement())
    late = agent.ready("chat-1")
    agent.tell(agent.failed("chat-1", "BLOB_MISSING"))
    agent.tick(1.5)
    agent.tell(late)
    assert agent.core.slots["chat-1"].state == "fetching"
    assert agent.offered() == {}


def test_what_an_officer_denies_stops_at_once_and_stays_away() -> None:
    agent = Agent()
    agent.desire(1, placement())
    agent.serve("chat")
    denied = Trust(snapshot=2, approved={digest("chat")}, denials={digest("chat")})
    effects = agent.tell(io.TrustRefreshed(view=denied))
    (stop,) = [effect for effect in effects if isinstance(effect, io.StopEngine)]
    assert stop.grace_s == 0.0
    assert agent.offered() == {}
    agent.tell(io.EngineStopped(slot="chat-1", attempt=stop.attempt))
    for _ in range(100):
        agent.tick(2.0)
        agent.tell(io.TrustRefreshed(view=denied))
    assert starts(agent) == ["chat-1"]
    assert kinds(agent).count("slot-denied") == 1


@pytest.mark.parametrize("how", ["denied", "withdrawn"])
def test_an_engine_that_answers_while_it_is_stopped_is_not_offered(how: str) -> None:
    agent = Agent()
    agent.desire(1, placement())
    agent.tell(io.Fetched(slot="chat-1", attempt=1))
    ready = agent.ready("chat-1")
    if how == "denied":
        denials = {digest("chat")}
        agent.tell(io.TrustRefreshed(view=Trust(snapshot=2, denials=denials)))
    else:
        agent.desire(2)
    assert len(agent.asked(io.StopEngine)) == 1
    agent.tell(ready)
    assert agent.offered() == {}
    assert not agent.asked(io.RememberAccepted)
    agent.tell(io.EngineStopped(slot="chat-1", attempt=1))
    assert agent.core.slots.get("chat-1") is None or how == "denied"
    assert len(agent.asked(io.StopEngine)) == 1


def test_a_denied_slot_that_drains_waits_for_nobody() -> None:
    agent = Agent()
    agent.desire(1, placement())
    agent.serve("chat")
    agent.tell(io.GatewaySeen(connected=True, in_flight={"chat-1": 1}))
    agent.desire(2)
    agent.tell(io.GatewaySeen(connected=True, in_flight={"chat-1": 1}), after_s=1.0)
    assert not agent.asked(io.StopEngine)
    agent.tell(io.TrustRefreshed(view=Trust(snapshot=2, denials={digest("chat")})))
    assert [stop.grace_s for stop in agent.asked(io.StopEngine)] == [0.0]


def test_a_stopping_engine_holds_its_memory_until_it_is_gone() -> None:
    agent = Agent()
    agent.desire(1, placement("chat", claim_gib=20), placement("code", claim_gib=20))
    agent.serve("chat")
    denied = Trust(snapshot=2, approved={digest("code")}, denials={digest("chat")})
    agent.tell(io.TrustRefreshed(view=denied))
    agent.tell(io.Fetched(slot="code-1", attempt=agent.core.slots["code-1"].attempt))
    assert starts(agent) == ["chat-1"]
    agent.tell(io.EngineStopped(slot="chat-1", attempt=1))
    agent.tick(2.0)
    agent.tell(io.Fetched(slot="code-1", attempt=agent.core.slots["code-1"].attempt))
    assert starts(agent) == ["chat-1", "code-1"]


def test_requests_in_flight_end_before_a_withdrawn_slot_does() -> None:
    agent = Agent()
    agent.desire(1, placement())
    agent.serve("chat")
    busy = io.GatewaySeen(connected=True, in_flight={"chat-1": 1})
    agent.tell(busy)
    agent.desire(2)
    assert not agent.offered()["chat-1"].accept
    agent.tell(busy, after_s=2.0)
    assert not agent.asked(io.StopEngine)
    agent.tell(io.GatewaySeen(connected=True, in_flight={}), after_s=2.0)
    agent.tick(2.0)
    assert len(agent.asked(io.StopEngine)) == 1
    agent.tell(io.EngineStopped(slot="chat-1", attempt=1))
    assert not agent.core.slots


def test_a_drain_that_never_ends_is_ended() -> None:
    agent = Agent()
    agent.desire(1, placement())
    agent.serve("chat")
    agent.tell(io.GatewaySeen(connected=True, in_flight={"chat-1": 1}))
    agent.desire(2)
    agent.tell(io.GatewaySeen(connected=True, in_flight={"chat-1": 1}), after_s=DRAIN_S + 1.0)
    assert len(agent.asked(io.StopEngine)) == 1


def test_a_report_says_what_the_device_and_the_slots_are() -> None:
    agent = Agent()
    agent.desire(1, placement())
    agent.serve("chat")
    agent.tick(1.5)
    report = agent.asked(io.PublishReport)[-1].report
    assert [device.uuid for device in report.devices] == [GPU]
    (slot,) = report.slots
    assert (slot.slot, slot.state, slot.memory_bytes) == ("chat-1", "ready", 3 * GIB)
    assert (report.jurisdiction, report.zones, report.trust) == ("DE", ("de",), "fresh")


def test_a_running_slot_cannot_be_given_another_models_name() -> None:
    """Else a stolen controller's key would save a denied model: it would be judged as another."""
    agent = Agent()
    agent.desire(1, placement())
    agent.serve("chat")
    other = replace(placement("code"), slot="chat-1")
    agent.desire(2, other)
    assert not agent.offered()["chat-1"].accept
    assert agent.core.slots["chat-1"].placement.manifest_digest == digest("chat")
    view = Trust(snapshot=2, approved={digest("code")}, denials={digest("chat")})
    agent.tell(io.TrustRefreshed(view=view))
    assert [stop.slot for stop in agent.asked(io.StopEngine)] == ["chat-1"]
    agent.tell(io.EngineStopped(slot="chat-1", attempt=1))
    agent.tick(1.0)
    # Only now the new replica begins, as an attempt of its own.
    slot = agent.core.slots["chat-1"]
    assert (slot.placement.manifest_digest, slot.state) == (digest("code"), "fetching")
    assert slot.attempt > 1


def test_a_new_ticket_disturbs_nothing() -> None:
    agent = Agent()
    agent.desire(1, placement())
    agent.serve("chat")
    agent.desire(2, replace(placement(), ticket=b"tomorrow's", blobs_urls=("https://other",)))
    assert agent.offered()["chat-1"].accept
    assert agent.core.slots["chat-1"].placement.ticket == b"tomorrow's"


def test_no_word_of_an_engine_makes_a_report_that_is_refused() -> None:
    agent = Agent()
    agent.desire(1, placement())
    failed = replace(agent.failed("chat-1"), message="x" * 100_000)
    agent.tell(failed)
    agent.tick(2.0)
    decode(encode(agent.asked(io.PublishReport)[-1].report), Report)
    decode(encode(agent.asked(io.RecordEvent)[-1].event), NodeEvent)
