"""A small HTTP/1.1 client for one engine behind a unix socket.

Pull-based: bytes are read only when asked for, so a reader that waits between two reads gets many
tokens for the price of one wake-up; the kernel's buffer does the coalescing. One connection per
request: the engine closes a connection after a stream without saying so, and a kept one would
occupy a thread of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from pathlib import Path
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import ENGINE_ANSWER_BYTES, ENGINE_HEAD_BYTES

from holdfast_agent.logic.engine_stream import Chunked, Head, parse_head

_READ_BYTES: Final = 256 * 1024
_CONNECT_AGAIN_S: Final = 0.002


class EngineConnection:
    """One request and its answer; :meth:`close` ends the request in the engine as well."""

    def __init__(self, path: Path, deadline: float) -> None:
        """``deadline`` is on the running loop's clock; every wait ends there by ``DEADLINE``."""
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._chunked: Chunked | None = None
        self._left: int | None = None
        self._early = b""
        # One timer for the request instead of one for each read: reads are what a token costs.
        self._expired = False
        self._timer = self._loop.call_at(deadline, self._expire)

    def __enter__(self) -> EngineConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._timer.cancel()
        self._socket.close()

    async def ask(self, method: str, target: str, body: bytes = b"") -> Head:
        """Send a request and return the head of its answer.

        Raises ``ENGINE_FAILED`` where the engine is not there or ends the connection, and
        ``DEADLINE``.
        """
        await self._connect()
        request = (
            f"{method} {target} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        try:
            await self._loop.sock_sendall(self._socket, request + body)
        except OSError as error:
            raise self._translated(error) from error
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > ENGINE_HEAD_BYTES:
                raise HoldfastError(Code.ENGINE_FAILED, "The engine's answer has no end of head.")
            data += await self._receive() or self._ended()
        head = parse_head(data[:end])
        self._early = data[end + 4 :]
        self._chunked = Chunked() if head.chunked else None
        self._left = None if head.chunked else head.length
        return head

    async def read(self) -> bytes:
        """Return the next content of the body, ``b""`` at its end; raises as :meth:`ask`.

        A body that ends before its announced end raises ``ENGINE_FAILED``.
        """
        while not self._finished():
            data, self._early = self._early or await self._receive(), b""
            if not data:
                if self._chunked is None and self._left is None:
                    self._left = 0  # told by the end of the connection
                    return b""
                self._ended()
            content = self._chunked.feed(data) if self._chunked is not None else data
            if self._left is not None:
                content = content[: self._left]
                self._left -= len(content)
            if content:
                return content
        return b""

    async def read_all(self, cap_bytes: int = ENGINE_ANSWER_BYTES) -> bytes:
        """Return the whole body; raises as :meth:`read`, and ``ENGINE_FAILED`` beyond the cap."""
        parts: list[bytes] = []
        total = 0
        while part := await self.read():
            parts.append(part)
            total += len(part)
            if total > cap_bytes:
                raise HoldfastError(
                    Code.ENGINE_FAILED, f"The engine's answer is larger than {cap_bytes} bytes."
                )
        return b"".join(parts)

    def _finished(self) -> bool:
        return self._left == 0 or (self._chunked is not None and self._chunked.finished)

    async def _connect(self) -> None:
        # Not the loop's own sock_connect: where the backlog is full, a unix socket says EAGAIN and
        # stays unconnected, which the loop takes for a connection in progress.
        while True:
            code = self._socket.connect_ex(str(self._path))
            if code == 0:
                return
            if code != errno.EAGAIN:
                raise self._translated(OSError(code, "no engine listens"))
            if self._expired:
                raise self._translated(TimeoutError())
            await asyncio.sleep(_CONNECT_AGAIN_S)

    async def _receive(self) -> bytes:
        try:
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                data = await self._loop.sock_recv(self._socket, _READ_BYTES)
        except OSError as error:
            raise self._translated(error) from error
        if not data and self._expired:
            raise self._translated(TimeoutError())
        return data

    def _expire(self) -> None:
        self._expired = True
        # Wakes whoever waits for the socket; not connected yet is noticed where it is tried.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _ended(self) -> bytes:
        raise HoldfastError(
            Code.ENGINE_FAILED, f"The engine at {self._path.parent.name} ended the connection."
        )

    def _translated(self, error: Exception) -> HoldfastError:
        name = self._path.parent.name
        if self._expired or isinstance(error, TimeoutError):
            return HoldfastError(Code.DEADLINE, f"The engine at {name} did not answer in time.")
        return HoldfastError(Code.ENGINE_FAILED, f"The engine at {name} is not reachable: {error}.")


async def get(path: Path, target: str, timeout_s: float) -> tuple[int, bytes]:
    """Return status and body of a GET; raises as :meth:`EngineConnection.ask`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    with EngineConnection(path, deadline) as connection:
        head = await connection.ask("GET", target)
        return head.status, await connection.read_all()
