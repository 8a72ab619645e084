"""The client against engines that misbehave: each ends in a code of ours, and in time."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from holdfast_agent.engines.http import get
from holdfast_agent.engines.local import EngineChunk, infer
from holdfast_protocol.errors import Code, HoldfastError

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hfh"))
    yield folder / "e.sock"
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def engine(path: Path, script: Script) -> AsyncIterator[None]:
    ended = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await script(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_unix_server(converse, path)
    try:
        yield
        # Whatever the client did, it must let go of its connection.
        async with asyncio.timeout(5.0):
            await ended.wait()
    finally:
        server.close()


def says(*parts: bytes) -> Script:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return script


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def ask(path: Path, timeout_s: float = 5.0) -> list[EngineChunk]:
    return [part async for part in infer(path, "chat", b'{"stream":true}', timeout_s)]


async def code_of(path: Path, timeout_s: float = 5.0) -> Code:
    with pytest.raises(HoldfastError) as caught:
        await ask(path, timeout_s)
    return caught.value.code


async def test_events_in_pieces_are_whole(path: Path) -> None:
    body = (
        chunk(b': ping\n\ndata: {"a"')
        + chunk(b':1}\n\ndata: {"b":2}\n\n')
        + chunk(b"data: [DONE]\n\n")
    )
    wire = STREAM + body + b"0\r\n\r\n"
    async with engine(path, says(*(wire[n : n + 7] for n in range(0, len(wire), 7)))):
        parts = await ask(path)
    assert [o for part in parts for o in part.objects] == [b'{"a":1}', b'{"b":2}']
    assert [part.final for part in parts][-1:] == [True]


async def test_a_body_to_the_end_of_the_connection(path: Path) -> None:
    async with engine(path, says(b"HTTP/1.1 200 OK\r\n\r\n", b'{"x":1}')):
        (part,) = await ask(path)
    assert (part.objects, part.final) == ((b'{"x":1}',), True)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123",
        STREAM,
        STREAM + chunk(b'data: {"a":1}\n\n'),
        STREAM + chunk(b'data: {"a":1}\n\n') + b"0\r\n\r\n",
        STREAM + b"zz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000,
        b"SSH-2.0-x\r\n\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_a_failure_never_an_end(path: Path, wire: bytes) -> None:
    async with engine(path, says(wire)):
        assert await code_of(path) is Code.ENGINE_FAILED


async def test_no_engine(path: Path) -> None:
    assert await code_of(path) is Code.ENGINE_FAILED
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    assert await code_of(path) is Code.ENGINE_FAILED


async def test_silence_ends_at_the_deadline(path: Path) -> None:
    async with engine(path, silent):
        assert await code_of(path, 0.05) is Code.DEADLINE


async def test_silence_within_a_stream_ends_at_the_deadline(path: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(STREAM, chunk(b'data: {"a":1}\n\n'))(reader, writer)
        await silent(reader, writer)

    async with engine(path, script):
        assert await code_of(path, 0.05) is Code.DEADLINE


async def test_a_flood_of_pings_ends_at_the_deadline(path: Path) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        while True:
            writer.write(chunk(b":\n\n" * 1000))
            await writer.drain()

    async with engine(path, script):
        assert await code_of(path, 0.2) is Code.DEADLINE


async def test_a_full_backlog_is_waited_for_until_the_deadline(path: Path) -> None:
    """A unix socket whose backlog is full refuses at once; it is not connected then."""
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as filled:
        listening.bind(str(path))
        listening.listen(0)
        for _ in range(4):
            client = filled.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(str(path))
        assert await code_of(path, 0.1) is Code.DEADLINE


async def test_an_endless_answer_is_cut(path: Path) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 1_000_000)
            await writer.drain()

    async with engine(path, script):
        assert await code_of(path, 30.0) is Code.ENGINE_FAILED


async def test_get_returns_status_and_body(path: Path) -> None:
    async with engine(path, says(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno, and more")):
        assert await get(path, "/health", 5.0) == (503, b"no")
