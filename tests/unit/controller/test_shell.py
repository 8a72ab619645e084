"""The loop with a bus and a journal in memory and real local sockets: messages in, answers out."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec
import pytest
from holdfast_controller.adapters.clock import SteadyClock
from holdfast_controller.adapters.publisher import Publisher
from holdfast_controller.adapters.services import Services
from holdfast_controller.journal.memory import MemoryJournal
from holdfast_controller.logic.core import Setup
from holdfast_controller.logic.desired import Issuer
from holdfast_controller.shell import Controller, Outside
from holdfast_protocol import api, codec, local, minting, subjects
from holdfast_protocol.bus.memory import MemoryBroker, MemoryBus
from holdfast_protocol.bus.port import Message, StreamSpec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import ImporterReply, ImporterRequest
from holdfast_protocol.messages import DesiredClaims, NodeEvent, TrustAnswer, TrustQuery
from holdfast_protocol.signed import DESIRED_CONTEXT, sign
from holdfast_protocol.views import EventsQuery, StatusAnswer

from tests.unit.controller.controller_fakes import FakeImporter, brokers, keys, minted

REQUESTS: msgspec.json.Decoder[ImporterRequest] = msgspec.json.Decoder(ImporterRequest)


class Site:
    """What a test holds in its hands while the controller runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = MemoryBroker(random.Random(1))
        self.bus = MemoryBus(self.broker, "controller")
        self.askers: dict[str, MemoryBus] = {}
        self.journal = MemoryJournal()
        self.importer = FakeImporter()
        self.done = asyncio.Event()

    async def run(self) -> None:
        made = keys()
        issuer = Issuer(key=made.desired, blobs_urls=("https://b",), brokers=brokers())
        founding = made.founding if self.journal.tail.commit == 0 else None
        setup = Setup(version="1", online_key=made.online, issuer=issuer, founding=founding)
        public = made.desired.public_key().public_bytes_raw()
        outside = Outside(
            journal=self.journal,
            bus=self.bus,
            publisher=Publisher(self.bus, "de", public),
            services=Services(self.folder / "i", self.folder / "m"),
            clock=SteadyClock(),
        )
        await Controller(outside).run(setup, self.done)

    async def call(self, who: str, call: str, body: bytes = b"") -> bytes:
        resource, _, verb = call.partition(".")
        asker = self.askers.setdefault(who, MemoryBus(self.broker, who))
        answer = await asker.request(subjects.api(who, resource, verb), body)
        return answer.body

    async def importer_answers(self, data: bytes) -> bytes:
        reply: ImporterReply | None = self.importer.answer(REQUESTS.decode(data))
        return codec.encode(reply)

    async def minter_answers(self, data: bytes) -> bytes:
        return codec.encode(minted(codec.decode(data, minting.MintApplication), revoked=False))


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncGenerator[Site, None]:
    site = Site(folder)
    async with (
        await local.serve(folder / "i", site.importer_answers),
        await local.serve(folder / "m", site.minter_answers),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(site.run())
        await until(lambda: answers(site))
        yield site
        site.done.set()


async def answers(site: Site) -> bool:
    with contextlib.suppress(HoldfastError):
        await site.call("auditor-1", "site.status")
        return True
    return False


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while True:
            result = condition()
            if await result if asyncio.iscoroutine(result) else result:
                return
            await asyncio.sleep(0.01)


async def test_calls_are_answered_and_documents_lie_in_the_stream(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        status = codec.decode(await site.call("auditor-1", "site.status"), StatusAnswer)
        assert (status.site, status.nodes_total) == ("alpha", 3)

        async def lies() -> bool:
            subject = subjects.desired("de-1")
            return await site.bus.last_value("de", subjects.DESIRED_STREAM, subject) is not None

        await until(lies)
        refused = codec.decode(
            await site.call("auditor-1", "imports.start", b'{"path":"/x"}'), api.ErrorAnswer
        )
        assert refused.error.code == Code.NOT_PERMITTED
        garbage = codec.decode(
            await site.call("operator-1", "imports.start", b"\xff{"), api.ErrorAnswer
        )
        assert garbage.error.code == Code.BAD_REQUEST


async def test_an_import_runs_over_the_local_socket(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        body = codec.encode(api.StartImportCall(path="/stick"))
        view = codec.decode(await site.call("operator-1", "imports.start", body), api.ImportView)

        async def failed() -> bool:
            query = codec.encode(api.ImportQuery(id=view.id))
            now = codec.decode(await site.call("operator-1", "imports.show", query), api.ImportView)
            return now.error is not None and now.error.code == Code.VENDOR_UNKNOWN

        await until(failed)


async def test_events_enter_the_journal_once_and_role_files_are_served(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        agent = MemoryBus(site.broker, "de-1")
        event = NodeEvent(node="de-1", boot="b", seq=1, at=1.0, kind="slot-ready", subject="chat")
        subject = subjects.event("de-1", "slot-ready")
        await agent.stream_publish(subject, b"garbage")
        await agent.stream_publish(subject, codec.encode(event))
        await agent.stream_publish(subject, codec.encode(event))
        forged = msgspec.structs.replace(event, node="de-2", seq=2)
        await agent.stream_publish(subject, codec.encode(forged))

        async def recorded() -> int:
            body = codec.encode(EventsQuery(subject="de-1"))
            events = msgspec.json.decode(await site.call("auditor-1", "events.list", body))
            return sum(1 for each in events["events"] if each["kind"] == "event-recorded")

        await until(recorded)

        async def all_acknowledged() -> bool:
            return not await site.bus.fetch(subjects.EVENT_STREAM, "controller", 10, 0.0)

        await until(all_acknowledged)
        assert await recorded() == 1

        query = codec.encode(TrustQuery(name="timestamp.json"))
        answer = await agent.request(subjects.tuf("de-1"), query)
        assert codec.decode(answer.body, TrustAnswer).content is not None


@pytest.mark.parametrize(
    "reply",
    [
        subjects.desired("de-1"),
        "$JS.API.STREAM.PURGE.DES",
        subjects.command("de-1", "x"),
        f"{subjects.inbox_prefix('officer-1')}.1",
        f"{subjects.inbox_prefix('auditor-1')}-2.1",
    ],
)
async def test_nobody_borrows_the_controllers_voice(tmp_path: Path, reply: str) -> None:
    """The broker lets anybody name any reply subject; the controller may publish many."""
    async with running(tmp_path) as site:
        heard: list[bytes] = []

        async def hear(message: Message) -> None:
            heard.append(message.body)

        listener = MemoryBus(site.broker, "listener")
        await listener.subscribe(reply, hear)
        rogue, node = MemoryBus(site.broker, "auditor-1"), MemoryBus(site.broker, "de-2")
        await rogue.publish(subjects.api("auditor-1", "site", "status"), b"{}", reply=reply)
        await rogue.publish(subjects.api("auditor-1", "no", "call"), b"{}", reply=reply)
        query = codec.encode(TrustQuery(name="timestamp.json"))
        await node.publish(subjects.tuf("de-2"), query, reply=reply)
        # Whoever asks in the ordinary way afterwards is answered, so these were looked at.
        await site.call("auditor-1", "site.status")
        await site.call("auditor-1", "site.status")
        # The controller's own documents are signed and may come meanwhile; answers are not.
        assert [body for body in heard if b'"signature"' not in body] == []


async def test_a_fenced_controller_ends_with_its_reason(tmp_path: Path) -> None:
    site = Site(tmp_path)
    newer = DesiredClaims(broker="x", epoch=7, generation=1, accounts=())
    body = codec.encode(sign(codec.encode(newer), keys().desired, DESIRED_CONTEXT))
    await site.bus.ensure_stream(
        StreamSpec(
            name=subjects.DESIRED_STREAM,
            subjects=(subjects.ALL_DESIRED,),
            size_bytes_max=1 << 20,
            last_value=True,
        )
    )
    await site.bus.stream_publish(subjects.desired("fr-1"), body)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(10):
            await site.run()
    [reason] = [each for each in caught.value.exceptions if isinstance(each, HoldfastError)]
    assert reason.code == Code.JOURNAL_ROLLBACK
