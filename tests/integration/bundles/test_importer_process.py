"""The importer as a process: its socket, kill -9 in the middle of a copy, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from holdfast_bundles.importer.config import ImporterConfig
from holdfast_protocol.codec import encode
from holdfast_protocol.importer import (
    Discard,
    Document,
    ImporterReply,
    ImporterRequest,
    Importing,
    ImportState,
    ImportStatus,
    Promote,
    ReadDocument,
    Refused,
    StartImport,
)
from holdfast_protocol.limits import MIB
from holdfast_protocol.local import call

from tests.unit.bundles.gguf_bytes import model_of
from tests.unit.bundles.sticks import CHUNK, PART, Vendor, signed_stick, vendor

pytestmark = pytest.mark.real
WAIT_S = 60.0


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A short folder: a socket's path must fit 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="hf-"))
    yield folder
    shutil.rmtree(folder)


class Program:
    """A configured importer that can be started again and again."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.socket = runtime / "importer.sock"
        self.store_dir = folder / "store"
        self._config = folder / "importer.json"
        config = ImporterConfig(
            socket=str(self.socket),
            store_dir=str(self.store_dir),
            media_roots=[str(folder)],
            reserve_bytes=0,
        )
        self._config.write_bytes(encode(config))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "holdfast_bundles.importer.main", "--config", str(self._config)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(WAIT_S):
                while not await self._answers():
                    assert process.returncode is None
                    await asyncio.sleep(0.01)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def ask(self, request: ImporterRequest) -> ImporterReply:
        answer = await call(self.socket, encode(request), WAIT_S)
        reply: ImporterReply = msgspec.json.decode(answer, type=ImporterReply)
        return reply

    async def until(self, import_id: str, *states: ImportState, done: int = 0) -> Importing:
        async with asyncio.timeout(WAIT_S):
            while True:
                state = await self.ask(ImportStatus(import_id=import_id))
                assert isinstance(state, Importing)
                if state.state in states and state.bytes_done >= done:
                    return state
                await asyncio.sleep(0.002)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return False
        writer.close()
        return True


def start(acme: Vendor) -> StartImport:
    return StartImport(import_id="i-1", path=str(acme.stick), vendor_roots={"acme": acme.root})


async def test_a_whole_import_over_the_socket(tmp_path: Path, runtime: Path) -> None:
    acme = signed_stick(tmp_path)
    program = Program(tmp_path, runtime)
    async with program.running() as process:
        first = await program.ask(start(acme))
        assert isinstance(first, Importing)
        (model,) = (await program.until("i-1", ImportState.QUARANTINED)).models
        document = await program.ask(ReadDocument(digest=model.bom_digest))
        assert isinstance(document, Document)
        assert b"CycloneDX" in document.data
        promoted = await program.ask(Promote(import_id="i-1"))
        assert isinstance(promoted, Importing)
        assert promoted.state is ImportState.PROMOTED
        await program.ask(Discard(import_id="i-1"))
        gone = await program.ask(ImportStatus(import_id="i-1"))
        assert isinstance(gone, Refused)
        assert gone.error.code == "NOT_FOUND"
        odd = await call(program.socket, b'{"type":"nonsense"}', WAIT_S)
        assert b"BAD_REQUEST" in odd
        odd = await call(program.socket, encode(ImportStatus(import_id="../x")), WAIT_S)
        assert b"BAD_NAME" in odd
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_kill_and_resume_without_reading_again(tmp_path: Path, runtime: Path) -> None:
    """After kill -9 the chunks that were journalled are not taken from the medium again."""
    acme = vendor(tmp_path)
    # Many small chunks make the copy slow enough to be cut in the middle, by synced writes.
    acme.add("big", "1.0", model_of(8 * MIB))
    acme.sign()
    parts = sorted(acme.blobs.glob("*.p*"))
    assert len(parts) > 500
    program = Program(tmp_path, runtime)
    async with program.running() as process:
        await program.ask(start(acme))
        await program.until("i-1", ImportState.COPYING, done=20 * PART)
        process.kill()
        await process.wait()
    journal = next((program.store_dir / "imports/i-1/blobs").glob("*.journal"))
    journalled = len(journal.read_bytes()) // 65
    assert 4 * 16 <= journalled < 8 * MIB // CHUNK
    for part in parts[: journalled // 4]:
        part.write_bytes(b"\0" * part.stat().st_size)
    async with program.running():
        waiting = await program.ask(ImportStatus(import_id="i-1"))
        assert isinstance(waiting, Importing)
        assert waiting.state is ImportState.PAUSED
        await program.ask(start(acme))
        ended = await program.until("i-1", ImportState.QUARANTINED, ImportState.FAILED)
        assert ended.state is ImportState.QUARANTINED, ended.error
        await program.ask(Promote(import_id="i-1"))


async def test_a_pulled_stick_and_a_stop_pause(tmp_path: Path, runtime: Path) -> None:
    acme = vendor(tmp_path)
    acme.add("big", "1.0", model_of(8 * MIB))
    acme.sign()
    program = Program(tmp_path, runtime)
    elsewhere = tmp_path / "elsewhere"
    async with program.running() as process:
        await program.ask(start(acme))
        await program.until("i-1", ImportState.COPYING, done=PART)
        os.rename(acme.blobs, elsewhere)
        paused = await program.until("i-1", ImportState.PAUSED)
        assert paused.error is not None
        assert paused.error.code == "MEDIA_LOST"
        os.rename(elsewhere, acme.blobs)
        await program.ask(start(acme))
        await program.until("i-1", ImportState.COPYING, done=paused.bytes_done + PART)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    async with program.running():
        waiting = await program.until("i-1", ImportState.PAUSED)
        assert waiting.error is not None
        assert waiting.error.code == "CANCELLED"
        await program.ask(start(acme))
        await program.until("i-1", ImportState.QUARANTINED)
