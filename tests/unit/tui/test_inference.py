"""Asking a model: streams, keep-alives, endings, errors; which application one is."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from holdfast_protocol.bus.memory import MemoryBroker, MemoryBus
from holdfast_protocol.bus.port import Core, Message
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_tui.inference import Answer, Question, ask
from holdfast_tui.shell import run

from tests.console.demo_site import DIGEST
from tests.unit.tui.desk import Desk

QUESTION = Question(alias="chat-small", operation="chat", text="hello", deadline_s=5.0)
LAST = {"Hf-Status": "200", "Hf-Digest": DIGEST, "Hf-Usage": '{"total_tokens":3}'}
Reply = Callable[[bytes, dict[str, str]], Awaitable[None]]
Gateway = Callable[[Message, Reply], Awaitable[None]]


class Zone:
    """A broker where ``gateway`` answers the questions of one application."""

    def __init__(self, gateway: Gateway | None) -> None:
        self.gateway = gateway
        self.asked: list[Message] = []
        self.folders: list[Path] = []

    async def connect(self, folder: Path, name: str, timeout_s: float) -> Core:
        self.folders.append(folder)
        broker = MemoryBroker(random.Random(1))
        if self.gateway is not None:
            await MemoryBus(broker, "gateway").subscribe("infer.*.*", self._take)
            self._bus = MemoryBus(broker, "answers")
        return MemoryBus(broker, folder.name)

    async def _take(self, message: Message) -> None:
        assert self.gateway is not None
        self.asked.append(message)

        async def reply(body: bytes, headers: dict[str, str]) -> None:
            await self._bus.publish(message.reply, body, headers)

        await self.gateway(message, reply)


def pieces(*texts: str) -> bytes:
    return json.dumps([{"choices": [{"delta": {"content": one}}]} for one in texts]).encode()


async def final(message: Message, reply: Reply) -> None:
    text = "hi \x1b[2Jthere"
    if json.loads(message.body).get("input"):
        await reply(json.dumps({"data": [{"embedding": [0.5, 1]}]}).encode(), LAST)
    else:
        await reply(json.dumps({"choices": [{"message": {"content": text}}]}).encode(), LAST)


async def stream(_: Message, reply: Reply) -> None:
    await reply(b"", {"Hf-Keep-Alive": "1"})
    await reply(pieces("one"), {"Hf-Seq": "0"})
    await reply(b"", {"Hf-Keep-Alive": "1"})
    await reply(pieces(" two", " three"), {"Hf-Seq": "1"})
    await reply(b"", LAST)


async def gap(_: Message, reply: Reply) -> None:
    await reply(pieces("one"), {"Hf-Seq": "0"})
    await reply(pieces("three"), {"Hf-Seq": "2"})
    await reply(b"", LAST)


async def refuse(_: Message, reply: Reply) -> None:
    headers = {
        "Nats-Service-Error": "All replicas of this alias are busy.",
        "Nats-Service-Error-Code": "429",
        "Hf-Status": "429",
        "Hf-Code": "BUSY",
    }
    await reply(b'{"error":{"code":"BUSY","message":"All busy.","next":"x"}}', headers)


async def break_off(_: Message, reply: Reply) -> None:
    await reply(pieces("one"), {"Hf-Seq": "0"})
    await reply(b"", {"Hf-Status": "502", "Hf-Code": "NODE_DIED", "Nats-Service-Error": "Gone."})


async def asked(
    gateway: Gateway | None, question: Question = QUESTION, told: list[str] | None = None
) -> Answer:
    bus = await Zone(gateway).connect(Path("clinic"), "test", 1.0)
    return await ask(bus, question, None if told is None else told.append)


async def test_a_whole_answer() -> None:
    answer = await asked(final)
    assert (answer.output, answer.digest) == ("hi \x1b[2Jthere", DIGEST)
    assert answer.usage == {"total_tokens": 3}


async def test_a_stream_with_keep_alives() -> None:
    told: list[str] = []
    answer = await asked(stream, told=told)
    assert told == ["one", " two three"]
    assert answer.output == "one two three"


@pytest.mark.parametrize(
    ("gateway", "code"),
    [(None, Code.NOT_LOADED), (refuse, Code.BUSY), (break_off, Code.NODE_DIED)],
)
async def test_endings_that_are_none(gateway: Gateway | None, code: Code) -> None:
    with pytest.raises(HoldfastError) as caught:
        await asked(gateway, told=[])
    assert caught.value.code is code


async def test_a_lost_piece_is_never_passed_over() -> None:
    told: list[str] = []
    with pytest.raises(HoldfastError, match="lost on its way"):
        await asked(gap, told=told)
    assert told == ["one"]


async def test_silence_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_: Message, __: Reply) -> None:
        return

    monkeypatch.setattr("holdfast_tui.inference.GRACE_S", 0.05)
    question = Question(alias="a", operation="chat", text="x", deadline_s=0.05)
    with pytest.raises(HoldfastError) as caught:
        await asked(silent, question)
    assert caught.value.code is Code.DEADLINE


# ---------------------------------------------------------------- the verb


def infer(desk: Desk, zone: Zone, *arguments: str) -> int:
    return run(["--site", str(desk.root), "infer", *arguments], zone.connect)


def app(desk: Desk, name: str) -> None:
    folder = desk.root / "creds" / name
    folder.mkdir()
    (folder / "app.json").write_text("{}")
    (folder / "nats.creds").write_text("x")


def test_the_only_application_is_the_default(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app(desk, "clinic")
    monkeypatch.setenv("HOLDFAST_AS", "operator-1")
    zone = Zone(final)
    assert infer(desk, zone, "chat-small", "hello", "--json", "--residency", "DE") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown.keys() == {"alias", "digest", "output", "usage"}
    assert zone.folders[0].name == "clinic"
    assert zone.asked[0].subject == "infer.chat-small.chat"
    headers = zone.asked[0].headers
    assert (headers["Hf-Accept"], headers["Hf-Residency"]) == ("final", "DE")
    assert headers["Hf-Deadline-Ms"] == "120000"


def test_with_several_applications_it_asks_which(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    app(desk, "clinic")
    app(desk, "bank")
    zone = Zone(final)
    assert infer(desk, zone, "chat-small", "hello") == 2
    assert "bank, clinic" in capsys.readouterr().err
    assert infer(desk, zone, "chat-small", "hello", "--as", "bank") == 0
    assert zone.folders[0].name == "bank"
    capsys.readouterr()


def test_a_models_words_do_nothing_to_the_terminal(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    app(desk, "clinic")
    assert infer(desk, Zone(final), "chat-small", "hello") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "there" in out
    assert infer(desk, Zone(stream), "chat-small", "hello", "--stream") == 0
    assert capsys.readouterr().out == "one two three\n"
    assert infer(desk, Zone(final), "embed-small", "hello", "--op", "embed") == 0
    assert capsys.readouterr().out == "0.5 1\n"
