"""Local sockets between programs of one machine: requests with answers, and feeds of a last value.

A frame is four bytes of length, big-endian, then that many bytes, at most ``LOCAL_FRAME_BYTES``.
The socket file has mode 0600 before anybody can connect, so only the same user may speak. What the
bytes mean is the business of the two programs; nothing here parses them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import LOCAL_CONNECTIONS, LOCAL_FRAME_BYTES, LOCAL_WRITE_S

Handler = Callable[[bytes], Awaitable[bytes]]
Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_LENGTH_BYTES: Final = 4
_CONNECT_S: Final = 5.0


class LocalServer:
    """A listening local socket; owns every conversation and ends them when it is closed."""

    def __init__(self, path: Path, conversation: Conversation) -> None:
        self._path = path
        self._conversation = conversation
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a stale socket file is replaced.

        Raises ``ALREADY_EXISTS`` where another program answers there or the file is no socket,
        ``CONFIG_INVALID`` where the folder or the length of the path does not allow a socket.
        """
        listening = _bind(self._path)
        self._server = await asyncio.start_unix_server(self._converse, sock=listening)

    def close(self) -> None:
        """Stop listening, end all conversations and remove the socket file."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    async def wait_closed(self) -> None:
        """Return when every conversation has ended; call :meth:`close` first."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def __aenter__(self) -> LocalServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._tasks) >= LOCAL_CONNECTIONS:
            writer.close()
            return
        self._tasks.add(task)
        try:
            await self._conversation(reader, writer)
        except (asyncio.CancelledError, OSError, EOFError, HoldfastError):
            # The peer sees the connection end, which is all that can still be told: whoever wants
            # to answer with an error encodes it. Cancellation comes only from close().
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


async def serve(path: Path, handler: Handler) -> LocalServer:
    """Return a server that answers each frame by ``handler``, in order per connection.

    Raises as :meth:`LocalServer.start`. A handler that raises ``HoldfastError`` ends that
    connection without an answer.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await _read_frame(reader)) is not None:
            await _write_frame(writer, await handler(request))

    server = LocalServer(path, answer)
    await server.start()
    return server


async def call(path: Path, request: bytes, timeout_s: float) -> bytes:
    """Return the answer of the program at ``path`` to ``request``.

    Raises ``SITE_DOWN`` where nobody listens or the connection ends without an answer, ``DEADLINE``
    after ``timeout_s``, ``TOO_LARGE`` where request or answer is beyond the cap.
    """
    try:
        async with asyncio.timeout(timeout_s), _connected(path) as (reader, writer):
            await _write_frame(writer, request)
            answer = await _read_frame(reader)
    except TimeoutError as error:
        raise HoldfastError(
            Code.DEADLINE, f"{path.name} did not answer within {timeout_s:g} s."
        ) from error
    except (OSError, EOFError) as error:
        raise _down(path) from error
    if answer is None:
        raise _down(path)
    return answer


class LocalFeed:
    """The latest value, pushed to every subscriber; a slow one gets the newest, never a backlog."""

    def __init__(self, path: Path) -> None:
        self._server = LocalServer(path, self._converse)
        self._latest: bytes | None = None
        self._version = 0
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        """Listen; raises as :meth:`LocalServer.start`."""
        await self._server.start()

    async def publish(self, value: bytes) -> None:
        """Make ``value`` the latest; raises ``TOO_LARGE`` beyond the cap."""
        _check_length(len(value))
        async with self._changed:
            self._latest = value
            self._version += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Stop listening and end every subscriber's connection."""
        self._server.close()

    async def wait_closed(self) -> None:
        """Return when every connection has ended; call :meth:`close` first."""
        await self._server.wait_closed()

    async def __aenter__(self) -> LocalFeed:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A subscriber says nothing; reading notices that it has gone when nothing is published.
        push = asyncio.ensure_future(self._push(writer))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((push, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            push.cancel()
            gone.cancel()
            await asyncio.gather(push, gone, return_exceptions=True)

    async def _push(self, writer: asyncio.StreamWriter) -> None:
        sent = 0
        while True:
            async with self._changed:
                while self._version == sent:
                    await self._changed.wait()
                sent, value = self._version, self._latest
            assert value is not None
            await _write_frame(writer, value)


async def follow(path: Path) -> AsyncGenerator[bytes, None]:
    """Yield the feed's values, the last one at once; ends when the connection ends.

    Raises ``SITE_DOWN`` where nobody listens. The caller reconnects.
    """
    try:
        async with _connected(path) as (reader, _):
            while (value := await _read_frame(reader)) is not None:
                yield value
    except (OSError, EOFError) as error:
        raise _down(path) from error


@contextlib.asynccontextmanager
async def _connected(
    path: Path,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(_CONNECT_S):
        reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next frame, or None where the peer ended between frames."""
    try:
        head = await reader.readexactly(_LENGTH_BYTES)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    length = int.from_bytes(head, "big")
    _check_length(length)
    return await reader.readexactly(length)


async def _write_frame(writer: asyncio.StreamWriter, data: bytes) -> None:
    _check_length(len(data))
    writer.write(len(data).to_bytes(_LENGTH_BYTES, "big"))
    writer.write(data)
    async with asyncio.timeout(LOCAL_WRITE_S):
        await writer.drain()


def _check_length(length: int) -> None:
    if length > LOCAL_FRAME_BYTES:
        raise HoldfastError(
            Code.TOO_LARGE,
            f"A local message of {length} bytes is more than {LOCAL_FRAME_BYTES}.",
        )


def _down(path: Path) -> HoldfastError:
    return HoldfastError(Code.SITE_DOWN, f"Nobody answers at {path.name}.")


def _bind(path: Path) -> socket.socket:
    """Return a bound, listening socket whose file has mode 0600."""
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        # Before listen() nobody can connect, so the mode is right before it matters.
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
        listening.listen(LOCAL_CONNECTIONS)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise HoldfastError(
            Code.CONFIG_INVALID, f"No local socket can be made at {path}: {error}."
        ) from error
    return listening


def _clear(path: Path) -> None:
    """Remove a socket file that nobody serves."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if is_socket and not _answers(path):
        path.unlink()
        return
    what = "Another program serves" if is_socket else "A file that is no socket lies at"
    raise HoldfastError(Code.ALREADY_EXISTS, f"{what} {path}.")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True
