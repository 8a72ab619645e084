"""Rogue nodes and rogue people: what they say is refused or bounded and never ends a controller."""

from __future__ import annotations

import base64
import json
import random
import typing

import msgspec
import pytest
from holdfast_controller.adapters.inbox import Inbox
from holdfast_controller.logic import io
from holdfast_protocol import api, codec, limits, subjects
from holdfast_protocol.bus.memory import MemoryBroker, MemoryBus
from holdfast_protocol.messages import NodeEvent, RelayReport, Report
from msgspec.structs import replace

from tests.unit.controller.controller_fakes import START
from tests.unit.controller.controller_world import World
from tests.vendor_roots import vendor_root

EVENT: dict[str, object] = {
    "type": "event", "node": "de-1", "boot": "b", "seq": 1, "at": 1.0,
    "kind": "slot-ready", "subject": "chat", "message": "",
}  # fmt: skip
DEVICE = {"uuid": "CPU-1", "kind": "cpu", "name": "CPU", "memory_total_bytes": 1}


def report(world: World, node: str = "de-1") -> Report:
    world.seq += 1
    return Report(
        node=node, boot="b1", seq=world.seq, sent=world.now_s, epoch=1, generation=1,
        jurisdiction="DE", zones=("de",), devices=(), slots=(), trust="fresh", snapshot=1,
        isolation="none", engine="x", gateway="ok", spool=0,
    )  # fmt: skip


class Ear:
    """An inbox on a bus in memory, and what it handed on."""

    def __init__(self) -> None:
        broker = MemoryBroker(random.Random(1))
        self.bus = MemoryBus(broker, "controller")
        self.node = MemoryBus(broker, "de-1")
        self.heard: list[io.AnyInput] = []
        self.inbox = Inbox(self.bus, self._tell, self.heard.append)

    async def _tell(self, given: io.AnyInput) -> None:
        self.heard.append(given)

    async def says(self, subject: str, body: bytes) -> list[io.AnyInput]:
        await self.inbox.open()
        await self.node.publish(subject, body)
        ears = self.bus
        await ears.barrier()
        return self.heard


@pytest.mark.parametrize(
    "lie",
    [
        {"at": 1e308},
        {"at": -1.0},
        {"seq": 10**30},
        {"seq": -1},
        {"code": "x" * 100_000},
        {"message": "x" * 100_000},
        {"boot": "x" * 100_000},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_an_event_that_no_journal_could_hold_is_none(lie: dict[str, object]) -> None:
    with pytest.raises(Exception, match="BAD_REQUEST"):
        codec.decode(json.dumps({**EVENT, **lie}).encode(), NodeEvent)


def test_the_largest_event_is_recorded() -> None:
    world = World()
    most = {
        "at": limits.CLOCK_S_MAX,
        "seq": limits.COUNT_MAX,
        "boot": "\0" * limits.WORD_LENGTH,
        "code": "\0" * limits.WORD_LENGTH,
        "message": "\0" * limits.SENTENCE_LENGTH,
    }
    event = codec.decode(json.dumps({**EVENT, **most}).encode(), NodeEvent)
    world.step(io.EventSeen(delivery=1, event=event))
    assert world.stopped is None
    assert world.acked == [1]
    world.restart()
    assert world.stopped is None


@pytest.mark.parametrize(
    "lie",
    [
        {"sent": 1e300},
        {"seq": 10**40},
        {"devices": [{**DEVICE, "uuid": f"CPU-{n}"} for n in range(3000)]},
        {"devices": [{**DEVICE, "memory_total_bytes": 10**40}]},
        {"devices": [{**DEVICE, "memory_total_bytes": -1}]},
        {"zones": ["de"] * 10_000},
        {"engine": "x" * 600_000},
    ],
)
async def test_a_report_out_of_all_bounds_is_not_heard(lie: dict[str, object]) -> None:
    ear = Ear()
    body = json.loads(codec.encode(report(World())))
    assert len(await ear.says(subjects.heartbeat("de-1"), codec.encode(body))) == 1
    assert (
        len(await ear.says(subjects.heartbeat("de-1"), json.dumps({**body, **lie}).encode())) == 1
    )


async def test_the_largest_report_fits_the_journal() -> None:
    world, ear = World(), Ear()
    word = "\0" * limits.WORD_LENGTH
    body = json.loads(codec.encode(report(world)))
    body["devices"] = []
    while len(json.dumps(body)) < limits.REPORT_BYTES - 5000:
        body["devices"].append(
            {**DEVICE, "uuid": f"{len(body['devices'])}{word[:-4]}", "name": word}
        )
    heard = await ear.says(subjects.heartbeat("de-1"), json.dumps(body).encode())
    [seen] = [each for each in heard if isinstance(each, io.ReportSeen)]
    world.step(seen)
    world.now_s += 1
    world.step(io.Ticked())
    assert world.stopped is None
    node = world.core.state.nodes["de-1"].seen
    assert node is not None
    assert len(node.devices) == len(body["devices"])


def test_only_the_sites_brokers_confirm_accounts() -> None:
    world = World()
    said = RelayReport(
        broker="de-1", boot="b", seq=1, sent=START, epoch=1, generation=1, accounts=("triage",)
    )
    before = world.journal.tail.seq
    world.step(io.RelayReportSeen(report=said))
    world.now_s += 1
    world.step(io.Ticked())
    assert world.journal.tail.seq == before
    world.step(io.RelayReportSeen(report=replace(said, broker="broker-de")))
    world.now_s += 1
    world.step(io.Ticked())
    assert world.journal.tail.seq == before + 1


def test_a_node_whose_clock_ran_ahead_is_heard_again_once_it_is_right() -> None:
    world = World()
    live = world.core.live
    ahead = replace(report(world), sent=START + 1e9)
    assert live.hear(ahead, START)
    again = replace(report(world), boot="b2", seq=1, sent=START + 10)
    # A boot before it that arrives late stays unheard while the later one speaks.
    assert not live.hear(again, START + 1)
    assert live.hear(replace(again, seq=2), START + 10)
    assert live.age_s("de-1", START + 10) == 0.0


HOSTILE_TEXTS = (
    "", "a", "a" * 70_000, "9" * 5000, "²", "\x1b[2J", "../../x", "a/b@1", "de", "-1", "r-1",
    "sha256:" + "0" * 64, "\0", "app:x", "imp-1",
)  # fmt: skip
HOSTILE_BYTES = (
    b"", b"x" * 100, b"{}", b"[" * 5000, b'{"signed":{"version":1,"_type":"root"},"signatures":[]}',
    b'{"signed":{"version":1,"_type":"root","spec_version":"9","keys":{},"roles":{}}}',
    vendor_root(),
)  # fmt: skip
HOSTILE_LISTS: tuple[list[str], ...] = ([], ["de"], ["a"] * 100_000, ["9" * 5000], ["x", "x"])


def hostile(kind: object, dice: random.Random) -> object:
    if kind is str:
        return dice.choice(HOSTILE_TEXTS)
    if kind is bytes:
        return base64.b64encode(dice.choice(HOSTILE_BYTES)).decode()
    if kind is int:
        return dice.choice((0, -1, 1, 2**63, 10**30, -(10**30)))
    if kind is bool:
        return dice.choice((True, False))
    if "tuple" in str(kind):
        return dice.choice(HOSTILE_LISTS)
    return dice.choice((None, 0, 10**30, "x"))


@pytest.mark.parametrize("call", sorted(api.CALLS))
def test_no_body_of_a_person_ends_the_controller(call: str) -> None:
    dice, world = random.Random(call), World()
    fields = typing.get_type_hints(api.CALLS[call].body)
    for _ in range(60 if fields else 1):
        body = {name: hostile(kind, dice) for name, kind in fields.items()}
        if dice.random() < 0.5:  # as plausible as it gets, but for one field
            usual = {"name": "triage", "zone": "de", "aliases": ["chat"], "vendor": "acme"}
            body |= {name: value for name, value in usual.items() if name in fields}
        answer = world.raw("officer-1", call, json.dumps(body).encode())
        assert world.stopped is None, body
        assert msgspec.json.decode(answer) is not None
