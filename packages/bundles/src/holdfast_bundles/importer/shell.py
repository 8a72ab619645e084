"""The importer's loop: one request, one reply; imports run one after the other in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import (
    Discard,
    Document,
    ImporterReply,
    ImporterRequest,
    ImportFault,
    Importing,
    ImportState,
    ImportStatus,
    Promote,
    ReadDocument,
    Refused,
    StartImport,
)
from holdfast_protocol.local import serve

from holdfast_bundles.importer import promotion
from holdfast_bundles.importer.job import Home, ImportJob
from holdfast_bundles.importer.quarantine import Quarantine

_log = logging.getLogger(__name__)


class Importer:
    """Answers the controller; owns every running import. One per store folder."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._running: dict[str, tuple[ImportJob, Importing]] = {}
        self._turn = asyncio.Lock()
        self._store_turn = asyncio.Lock()
        self._group: asyncio.TaskGroup | None = None

    async def run(self, socket: Path, stopped: asyncio.Event) -> None:
        """Serve ``socket`` until ``stopped``; running imports then pause and are on disk."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            async with await serve(socket, self.answer):
                await stopped.wait()
            for job, _ in self._running.values():
                job.stop()

    async def answer(self, data: bytes) -> bytes:
        """Return the encoded reply to an encoded request; never raises for a bad request."""
        try:
            # A union is a type to msgspec, though not to the signature of decode.
            reply = await self._reply(decode(data, ImporterRequest))  # type: ignore[arg-type]
        except HoldfastError as error:
            reply = Refused(
                error=ImportFault(code=error.code.value, message=error.message, file=error.file)
            )
        return encode(reply)

    async def _reply(self, request: ImporterRequest) -> ImporterReply:
        folder = self._home.store_dir
        match request:
            case StartImport():
                return self._start(request)
            case ImportStatus():
                return self._status(request.import_id)
            case Promote(import_id=name, manifest_digest=digest):
                return await self._change(name, lambda: promotion.promote(folder, name, digest))
            case Discard(import_id=name):
                return await self._change(name, lambda: promotion.discard(folder, name))
            case ReadDocument():
                data = await asyncio.to_thread(promotion.read_document, folder, request.digest)
                return Document(digest=request.digest, data=data)
        assert_never(request)

    def _start(self, request: StartImport) -> Importing:
        import_id = request.import_id
        if import_id in self._running:
            return self._running[import_id][1]
        quarantine = Quarantine(self._home.store_dir, import_id)
        if quarantine.exists():
            state = quarantine.load()
            if state.state in (ImportState.QUARANTINED, ImportState.PROMOTED):
                return state
        assert self._group is not None  # requests arrive only while run() serves
        job = ImportJob(self._home, request, lambda state: self._note(job, state))
        first = Importing(import_id=import_id, state=ImportState.VERIFYING)
        self._running[import_id] = (job, first)
        self._group.create_task(self._import(job, import_id))
        return first

    async def _import(self, job: ImportJob, import_id: str) -> None:
        try:
            async with self._turn:
                final = await asyncio.to_thread(job.run)
            _log.info("import %s is %s", import_id, final.state)
        except Exception:
            # A defect in one import must not take the others down; it stays visible as paused.
            _log.exception("import %s failed by a defect", import_id)
        finally:
            del self._running[import_id]

    def _note(self, job: ImportJob, state: Importing) -> None:
        """Remember progress; called from the job's thread, replaces one reference."""
        if state.import_id in self._running:
            self._running[state.import_id] = (job, state)

    def _status(self, import_id: str) -> Importing:
        if import_id in self._running:
            return self._running[import_id][1]
        return Quarantine(self._home.store_dir, import_id).load()

    async def _change(self, import_id: str, act: Callable[[], Importing]) -> Importing:
        """Return what ``act`` does to an idle import; one change of the store at a time."""
        async with self._store_turn:
            if import_id in self._running:
                raise HoldfastError(Code.REQUEST_PENDING, f"Import {import_id} is still running.")
            return await asyncio.to_thread(act)
