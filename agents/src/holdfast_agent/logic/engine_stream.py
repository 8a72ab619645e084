"""Bytes of an engine's HTTP answer to events: chunked framing (RFC 9112, 7.1) and SSE.

Bytes in, values out, under caps: an engine runs strangers' weights, so its answers are hostile.
"""

from __future__ import annotations

from typing import Final

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import ENGINE_EVENT_BYTES, ENGINE_HEAD_BYTES

_SIZE_LINE_BYTES: Final = 256
_DONE: Final = b"[DONE]"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Status line and the headers that matter; ``length`` is ``None`` where it is not told."""

    status: int
    events: bool
    chunked: bool
    length: int | None
    keeps_open: bool


def parse_head(data: bytes) -> Head:
    """Return the head of an answer (without its empty line); raises ``ENGINE_FAILED``."""
    first, *lines = data.split(b"\r\n")
    parts = first.split(b" ", 2)
    if len(data) > ENGINE_HEAD_BYTES or len(parts) < 2 or not parts[0].startswith(b"HTTP/1."):
        raise _malformed("status line")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise _malformed("header")
        headers[name.lower()] = value.strip().lower()
    length = headers.get(b"content-length")
    return Head(
        status=_decimal(parts[1]),
        events=headers.get(b"content-type", b"").startswith(b"text/event-stream"),
        chunked=headers.get(b"transfer-encoding") == b"chunked",
        length=None if length is None else _decimal(length),
        keeps_open=b"keep-alive" in headers and headers.get(b"connection") != b"close",
    )


class Chunked:
    """Takes the bytes of a chunked body and gives the content; ``finished`` at its end."""

    def __init__(self) -> None:
        self.finished = False
        self._left = 0  # of the current chunk
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return the content that ``data`` completes; raises ``ENGINE_FAILED`` on bad framing."""
        buffer = self._rest + data if self._rest else data
        position = 0
        out: list[bytes] = []
        while position < len(buffer) and not self.finished:
            if self._left:
                piece = buffer[position : position + self._left]
                out.append(piece)
                position += len(piece)
                self._left -= len(piece)
                continue
            size, position = _chunk_size(buffer, position)
            if size is None:
                break
            self._left = size
            self.finished = size == 0
        self._rest = buffer[position:]
        return b"".join(out)


def _chunk_size(buffer: bytes, position: int) -> tuple[int | None, int]:
    """Return the next chunk's size and where it starts; the size is None where more is needed."""
    # The line end of the chunk before stands in front of the size.
    start = position + 2 if buffer.startswith(b"\r\n", position) else position
    end = buffer.find(b"\r\n", start)
    if end < 0:
        if len(buffer) - position > _SIZE_LINE_BYTES:
            raise _malformed("chunk size")
        return None, position
    text = buffer[start:end].partition(b";")[0].strip()
    if not text or len(text) > 8 or text.strip(b"0123456789abcdefABCDEF"):
        raise _malformed("chunk size")
    return int(text, 16), end + 2


class Events:
    """Takes the bytes of an event stream and gives the data of whole events, in order."""

    def __init__(self) -> None:
        self.done = False
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data of the events that ``data`` completes, comments left out.

        ``done`` once the stream has said so. Raises ``ENGINE_FAILED`` beyond the cap of an event.
        """
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        if len(self._rest) > ENGINE_EVENT_BYTES:
            raise _malformed(f"event beyond {ENGINE_EVENT_BYTES} bytes")
        out: list[bytes] = []
        for event in whole:
            # llama.cpp writes one data line for each event; anything else is a comment (ping).
            if not event.startswith(b"data:"):
                continue
            value = event[5:].strip()
            if value == _DONE:
                self.done = True
            elif value:
                out.append(value)
        return out


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 12:
        raise _malformed("number")
    return int(text)


def _malformed(what: str) -> HoldfastError:
    return HoldfastError(Code.ENGINE_FAILED, f"The engine's answer has a malformed {what}.")
