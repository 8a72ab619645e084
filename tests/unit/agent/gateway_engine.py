"""An engine behind a unix socket that speaks the engines' HTTP API; tests control its answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path


class Engine:
    """An engine behind a unix socket; each answer waits for ``gate`` before every token."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.tokens = 3
        self.delay_s = 0.0
        self.dies_after: int | None = None
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()
        self.bodies: list[dict[str, object]] = []
        self.open = 0
        self.aborted = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        gone = asyncio.ensure_future(self._gone(reader, writer))
        try:
            await gone
        finally:
            self.open -= 1
            writer.close()

    async def _gone(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        embeds = head.startswith("POST /v1/embeddings ")
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        self.bodies.append(body)
        answering = asyncio.ensure_future(self._answer(body, writer, embeds))
        closed = asyncio.ensure_future(reader.read(1))
        await asyncio.wait((answering, closed), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            self.aborted += 1
        for task in (answering, closed):
            task.cancel()
        await asyncio.gather(answering, closed, return_exceptions=True)

    async def _answer(
        self, body: dict[str, object], writer: asyncio.StreamWriter, embeds: bool
    ) -> None:
        usage = {"prompt_tokens": 5, "completion_tokens": self.tokens, "total_tokens": 0}
        if self.status != 200:
            await self._whole(writer, {"error": {"code": self.status, "message": "no"}})
        elif embeds:
            data = [{"embedding": [0.25, 0.5], "index": 0}]
            await self._whole(writer, {"data": data, "usage": {"prompt_tokens": 5}})
        elif body.get("stream"):
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            for number in range(self.tokens):
                await self._pace(number)
                delta = {"choices": [{"delta": {"content": f"{self.name}-{number} "}}]}
                await self._event(writer, json.dumps(delta))
            await self._event(writer, json.dumps({"choices": [], "usage": usage}))
            await self._event(writer, "[DONE]")
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        else:
            for number in range(self.tokens):
                await self._pace(number)
            message = {"message": {"content": f"from {self.name}"}}
            await self._whole(writer, {"choices": [message], "usage": usage})

    async def _pace(self, number: int) -> None:
        await self.gate.wait()
        if self.dies_after is not None and number >= self.dies_after:
            raise ConnectionAbortedError
        await asyncio.sleep(self.delay_s)

    async def _event(self, writer: asyncio.StreamWriter, data: str) -> None:
        line = f"data: {data}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(line), line))
        await writer.drain()

    async def _whole(self, writer: asyncio.StreamWriter, value: object) -> None:
        data = json.dumps(value).encode()
        head = f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()
