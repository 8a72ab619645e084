"""The NATS client protocol, server to client, split exactly as the server splits it.

nats-py's parser takes every ASCII white space for a separator, the server only blank and tab: a
subject with a vertical tab makes its regular expressions read another line than was sent, and the
connection ends. Here fields are separated by single blanks, as the server writes them.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple, Protocol

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from holdfast_protocol.limits import CONTROL_LINE_BYTES

_END: Final = b"\r\n"


class Receiver(Protocol):
    """What the parser hands things to; nats-py's client has these methods."""

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None: ...
    async def _process_err(self, err_msg: str) -> None: ...
    async def _process_info(
        self, info: dict[str, Any], initial_connection: bool = False
    ) -> None: ...
    async def _process_ping(self) -> None: ...
    async def _process_pong(self) -> None: ...


class _Awaited(NamedTuple):
    """A message whose control line was read and whose bytes are still coming."""

    subject: bytes
    sid: int
    reply: bytes
    header_bytes: int
    total_bytes: int


class WireParser(Parser):
    """Feeds a receiver from the bytes of one connection; raises nats-py's ``ProtocolError``."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.reset()

    def reset(self) -> None:
        """Forget what was read."""
        self._buffer = bytearray()
        self._awaited: _Awaited | None = None

    async def parse(self, data: bytes = b"") -> None:
        """Take bytes as they came and hand over all that is complete."""
        self._buffer.extend(data)
        while self._buffer:
            if self._awaited is not None:
                if not await self._message(self._awaited):
                    return
                continue
            end = self._buffer.find(_END)
            if end < 0:
                if len(self._buffer) > CONTROL_LINE_BYTES:
                    raise ProtocolError("nats: control line without end")
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + len(_END)]
            await self._line(line)

    async def _message(self, awaited: _Awaited) -> bool:
        if len(self._buffer) < awaited.total_bytes + len(_END):
            return False
        headers = bytes(self._buffer[: awaited.header_bytes])
        body = bytes(self._buffer[awaited.header_bytes : awaited.total_bytes])
        del self._buffer[: awaited.total_bytes + len(_END)]
        self._awaited = None
        await self._receiver._process_msg(
            awaited.sid, awaited.subject, awaited.reply, body, headers or None
        )
        return True

    async def _line(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        match word.upper():
            case b"MSG" | b"HMSG":
                self._awaited = _control(rest.split(b" "), word.upper() == b"HMSG")
            case b"PING":
                await self._receiver._process_ping()
            case b"PONG":
                await self._receiver._process_pong()
            case b"-ERR":
                await self._receiver._process_err(rest.decode("utf-8", "replace").lower())
            case b"INFO":
                await self._receiver._process_info(_info(rest))
            case b"+OK":
                pass
            case _:
                raise ProtocolError("nats: unknown protocol")


def _control(fields: list[bytes], with_headers: bool) -> _Awaited:
    numbers = 2 if with_headers else 1
    # subject, sid, perhaps reply, then one or two sizes
    if len(fields) - numbers not in (2, 3):
        raise ProtocolError("nats: malformed MSG")
    reply = fields[2] if len(fields) - numbers == 3 else b""
    sizes = fields[-numbers:]
    if not all(field.isdigit() for field in (fields[1], *sizes)):
        raise ProtocolError("nats: malformed MSG")
    header_bytes = int(sizes[0]) if with_headers else 0
    total_bytes = int(sizes[-1])
    if header_bytes > total_bytes:
        raise ProtocolError("nats: malformed MSG")
    return _Awaited(fields[0], int(fields[1]), reply, header_bytes, total_bytes)


def _info(text: bytes) -> dict[str, Any]:
    try:
        info = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("nats: malformed INFO") from error
    if not isinstance(info, dict):
        raise ProtocolError("nats: malformed INFO")
    return info
