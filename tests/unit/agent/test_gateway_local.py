"""One gateway, one slot: answers, refusals, deadlines, cancels, keep-alives, the hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import REQUEST_BYTES

from tests.unit.agent.gateway_site import Site, error_of, record, running, until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path, "de-1") as started:
        yield started


async def test_a_final_answer_is_one_message(site: Site) -> None:
    answer = await site.ask()
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "from de-1"
    assert answer.headers["Hf-Status"] == "200"
    assert answer.headers["Hf-Digest"].startswith("sha256:")
    assert json.loads(answer.headers["Hf-Usage"])["completion_tokens"] == 3


async def test_a_stream_is_arrays_in_order_and_an_empty_end(site: Site) -> None:
    *parts, end = await site.stream()
    assert [part.headers["Hf-Seq"] for part in parts] == [str(n) for n in range(len(parts))]
    chunks = [chunk for part in parts for chunk in json.loads(part.body)]
    text = "".join(c["choices"][0]["delta"]["content"] for c in chunks if c["choices"])
    assert text == "de-1-0 de-1-1 de-1-2 "
    assert (end.body, end.headers["Hf-Status"]) == (b"", "200")
    assert json.loads(end.headers["Hf-Usage"])["prompt_tokens"] == 5


async def test_the_engine_gets_known_fields_only(site: Site) -> None:
    await site.ask(body={"messages": [{"role": "user", "content": "x"}], "id_slot": 3, "top_p": 1})
    assert site.nodes["de-1"].engine.bodies == [
        {"messages": [{"role": "user", "content": "x"}], "model": "chat", "top_p": 1}
    ]


REFUSALS = [
    ("infer.v1.de.triage.none.chat", {}, None, "NOT_GRANTED"),
    ("infer.v1.de.triage.other.chat", {}, None, "NOT_GRANTED"),  # in the record, not granted
    ("infer.v1.de.stranger.chat.chat", {}, None, "NOT_GRANTED"),
    ("infer.v1.de.triage.chat.embed", {}, {"input": "x"}, "OPERATION_UNSUPPORTED"),
    ("infer.v1.de.triage.chat.sing", {}, None, "OPERATION_UNSUPPORTED"),
    ("infer.v1.de.triage.*.chat", {}, None, "BAD_NAME"),
    ("infer.v1.de.triage.chat.chat.more", {}, None, "BAD_NAME"),
    ("infer.v1.de.triage.chat.chat", {"Hf-Residency": "FR"}, None, "LABEL_REFUSED"),
    ("infer.v1.de.triage.chat.chat", {"Hf-Residency": "de"}, None, "LABEL_REFUSED"),
    ("infer.v1.de.triage.chat.chat", {"hf-residency": "DE"}, None, "LABEL_REFUSED"),
    ("infer.v1.de.triage.chat.chat", {"Hf-Classification": "1"}, None, "LABEL_REFUSED"),
    ("infer.v1.de.triage.chat.chat", {"Hf-Purpose": "war"}, None, "LABEL_REFUSED"),
    ("infer.v1.de.triage.chat.chat", {"Hf-Accept": "both"}, None, "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {"Hf-Deadline-Ms": "0"}, None, "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {"Hf-Deadline-Ms": "1e3"}, None, "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {"Hf-Request": "a b"}, None, "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {"Content-Type": "text/plain"}, None, "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {}, b"{not json", "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {}, b"\xff\xfe", "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {}, b"[]", "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {}, {}, "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {}, b'{"messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
     "BAD_REQUEST"),
    ("infer.v1.de.triage.chat.chat", {}, b"x" * (REQUEST_BYTES + 1), "TOO_LARGE"),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "headers", "body", "code"), REFUSALS)
async def test_refusals(
    site: Site, subject: str, headers: dict[str, str], body: object, code: str
) -> None:
    answer = await site.ask(headers, body, subject)
    assert error_of(answer) == code
    assert site.nodes["de-1"].engine.bodies == []
    assert b"de-1" not in answer.body
    assert "de-1" not in json.dumps(answer.headers)


async def test_narrowing_within_the_record_is_answered(site: Site) -> None:
    headers = {"Hf-Residency": "DE", "Hf-Classification": "0", "Hf-Purpose": "care"}
    content = {"Content-Type": "application/json; charset=utf-8"}
    assert (await site.ask({**headers, **content})).headers["Hf-Status"] == "200"


async def test_no_route_is_not_loaded(site: Site) -> None:
    site.push(targets=())
    assert error_of(await site.ask()) == "NOT_LOADED"


async def test_only_illegal_replicas_is_no_legal_placement(site: Site) -> None:
    [target] = site.targets()
    site.push(targets=(msgspec.structs.replace(target, node="de-9"),))  # not certified
    assert error_of(await site.ask()) == "NO_LEGAL_PLACEMENT"


async def test_denials_act_at_once(site: Site) -> None:
    node = site.nodes["de-1"]
    node.trust.denied.add(node.slot.digest)
    assert error_of(await site.ask()) == "DENIED_MODEL"
    node.trust.denied.clear()
    del node.trust.records["triage"]
    assert error_of(await site.ask()) == "NOT_GRANTED"


async def test_data_above_a_nodes_clearance_is_not_sent_there(site: Site) -> None:
    site.nodes["de-1"].trust.records["triage"] = record("triage", "de", "chat", classification=2)
    assert error_of(await site.ask({"Hf-Classification": "0"})) == "NO_LEGAL_PLACEMENT"


async def test_a_request_without_a_reply_is_work_for_nobody(site: Site) -> None:
    node = site.nodes["de-1"]
    await site.app.publish("infer.v1.de.triage.chat.chat", b"{}")
    await site.ask()
    assert node.service.tally.dropped == 1
    assert len(node.engine.bodies) == 1


@pytest.mark.parametrize("accept", ["final", "stream"])
async def test_the_deadline_ends_the_work(site: Site, accept: str) -> None:
    engine = site.nodes["de-1"].engine
    engine.gate.clear()
    headers = {"Hf-Deadline-Ms": "150", "Hf-Accept": accept}
    assert error_of(await site.ask(headers)) == "DEADLINE"
    await until(lambda: engine.open == 0)
    assert engine.aborted == 1


@pytest.mark.parametrize("accept", ["final", "stream"])
async def test_cancel_ends_the_work(site: Site, accept: str) -> None:
    engine = site.nodes["de-1"].engine
    engine.gate.clear()
    asked = asyncio.create_task(site.ask({"Hf-Request": "r1", "Hf-Accept": accept}))
    await until(lambda: engine.open == 1)
    cancel = "infer.v1.de.triage.chat.cancel"
    await site.app.publish("infer.v1.de.other.chat.cancel", b"", {"Hf-Request": "r1"})
    await site.app.publish(cancel, b"", {"Hf-Request": "r2"})
    await site.app.barrier()
    assert engine.open == 1
    answer = await site.app.request(cancel, b"", {"Hf-Request": "r1"})
    assert json.loads(answer.body) == {"cancelled": "r1"}
    last = await asked
    assert (error_of(last), last.headers["Hf-Status"]) == ("CANCELLED", "499")
    await until(lambda: engine.open == 0)
    assert engine.aborted == 1


async def test_a_quiet_stream_is_kept_alive_and_a_final_answer_is_not(site: Site) -> None:
    engine = site.nodes["de-1"].engine
    engine.gate.clear()
    answers = asyncio.create_task(site.stream())
    final = asyncio.create_task(site.ask())
    await asyncio.sleep(2.6)
    engine.gate.set()
    messages = await answers
    assert [m.body for m in messages if "Hf-Keep-Alive" in m.headers][:1] == [b""]
    assert "Hf-Status" in messages[-1].headers
    assert "Hf-Keep-Alive" not in (await final).headers


async def test_an_engine_that_dies_ends_the_stream_with_its_code(site: Site) -> None:
    engine = site.nodes["de-1"].engine
    engine.dies_after = 1
    *parts, end = await site.stream()
    assert len(parts) == 1
    assert error_of(end) == "ENGINE_FAILED"


async def test_an_engines_refusal_has_its_code(site: Site) -> None:
    site.nodes["de-1"].engine.status = 400
    assert error_of(await site.ask()) == "BAD_REQUEST"


async def test_an_id_under_way_is_taken(site: Site) -> None:
    engine = site.nodes["de-1"].engine
    engine.gate.clear()
    first = asyncio.create_task(site.ask({"Hf-Request": "same"}))
    await until(lambda: engine.open == 1)
    assert error_of(await site.ask({"Hf-Request": "same"})) == "ALREADY_EXISTS"
    engine.gate.set()
    assert (await first).headers["Hf-Status"] == "200"
    assert (await site.ask({"Hf-Request": "same"})).headers["Hf-Status"] == "200"


async def test_the_hold_is_bounded_fair_and_says_when_to_come_back(site: Site) -> None:
    engine = site.nodes["de-1"].engine
    engine.gate.clear()
    asked = []
    for number in range(6):  # two slots, four may wait
        asked.append(asyncio.create_task(site.ask({"Hf-Request": f"r{number}"})))
        await site.app.barrier()
    await until(lambda: engine.open == 2)
    busy = await site.ask()
    assert (error_of(busy), busy.headers["Hf-Status"]) == ("BUSY", "429")
    assert int(busy.headers["Hf-Retry-Ms"]) >= 50
    await site.app.publish("infer.v1.de.triage.chat.cancel", b"", {"Hf-Request": "r5"})
    assert error_of(await asked[5]) == "CANCELLED"
    engine.gate.set()
    answers = await asyncio.gather(*asked[:5])
    assert [a.headers["Hf-Status"] for a in answers] == ["200"] * 5


async def test_a_held_request_meets_its_deadline(site: Site) -> None:
    engine = site.nodes["de-1"].engine
    engine.gate.clear()
    running_ = [asyncio.create_task(site.ask()) for _ in range(2)]
    await until(lambda: engine.open == 2)
    assert error_of(await site.ask({"Hf-Deadline-Ms": "120"})) == "DEADLINE"
    engine.gate.set()
    await asyncio.gather(*running_)
    assert len(engine.bodies) == 2


async def test_leaving_finishes_what_runs_and_takes_nothing_new(site: Site) -> None:
    node = site.nodes["de-1"]
    node.engine.gate.clear()
    first = asyncio.create_task(site.ask())
    await until(lambda: node.engine.open == 1)
    leaving = asyncio.create_task(node.service.leave())
    await asyncio.sleep(0.05)
    with pytest.raises(HoldfastError):
        await site.ask()
    node.engine.gate.set()
    assert (await first).headers["Hf-Status"] == "200"
    await asyncio.wait_for(leaving, 5)


async def test_documents_must_be_the_controllers_and_newer(site: Site) -> None:
    node = site.nodes["de-1"]
    old = site.document("de-1", site.targets())
    site.push(targets=())
    with pytest.raises(AssertionError):
        node.accept(True, old)
    with pytest.raises(AssertionError):
        node.accept(True, site.document("de-2", site.targets()))
    forged = Site().document("de-1", site.targets())
    with pytest.raises(AssertionError):
        node.accept(True, forged)
    assert error_of(await site.ask()) == "NOT_LOADED"
