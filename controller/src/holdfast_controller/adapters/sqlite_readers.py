"""Readers of the journal: their own read-only connections, one query each, with a deadline.

A read transaction that nobody ends keeps the write-ahead log from being reset, so every query is
fetched whole in one step of the connection's thread, and a handler inside SQLite stops it when
its time is up; cancelling the caller cannot leave a transaction open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiosqlite
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.adapters import sqlite_schema as schema

_CONNECTIONS: Final = 2
_STEPS: Final = 1000


class _Reader:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.deadline_s = 0.0

    def late(self) -> int:
        return time.monotonic() >= self.deadline_s


class Readers:
    """A small pool; ``open`` it, and ``close`` it before the writer's connection."""

    def __init__(self, path: Path, deadline_s: float) -> None:
        self._path = path
        self._deadline_s = deadline_s
        self._all: list[_Reader] = []
        self._idle: asyncio.Queue[_Reader] = asyncio.Queue()

    async def open(self) -> None:
        """Connect; raises ``STORE_FAILED``."""
        for _ in range(_CONNECTIONS):
            reader = _Reader(await schema.connect(self._path, write=False))
            self._all.append(reader)
            await schema.fetch(reader.connection, "PRAGMA query_only = ON")
            await reader.connection.set_progress_handler(reader.late, _STEPS)
            self._idle.put_nowait(reader)

    async def fetch(self, sql: str, values: Sequence[object]) -> list[schema.Row]:
        """Return all rows of one query; raises ``DEADLINE`` where it, or the wait, is too long."""
        try:
            async with asyncio.timeout(self._deadline_s):
                reader = await self._idle.get()
        except TimeoutError as error:
            raise HoldfastError(Code.DEADLINE, "The journal has too many readers.") from error
        try:
            reader.deadline_s = time.monotonic() + self._deadline_s
            return await schema.fetch(reader.connection, sql, values)
        finally:
            self._idle.put_nowait(reader)

    async def close(self) -> None:
        """Close every connection."""
        for reader in self._all:
            await reader.connection.close()
