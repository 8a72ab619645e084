"""The journal's tables and pragmas, and how a connection to them is made.

The journal table is the truth; ``tile``, ``snapshot`` and ``sent`` can be rebuilt. A tile row is
the hash of a complete subtree of 256 leaves (level 1), 65,536 (level 2) and so on, as the tiles of
C2SP ``tlog-tiles``; single leaves are a column. Exactly one connection may write or checkpoint:
SQLite before 3.51.3 can corrupt a write-ahead log that two connections reset at once, so every
other connection is ``mode=ro``, and memory mapping stays off.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiosqlite
from holdfast_protocol.errors import Code, HoldfastError

APPLICATION_ID: Final = 0x48464A31
SCHEMA_VERSION: Final = 1
TILE_BITS: Final = 8

TABLES: Final = (
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE journal(seq INTEGER PRIMARY KEY, commit_no INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, record BLOB NOT NULL,"
    " leaf BLOB NOT NULL CHECK(length(leaf) = 32)) STRICT",
    "CREATE INDEX journal_subject ON journal(subject, seq)",
    "CREATE INDEX journal_commit ON journal(commit_no)",
    "CREATE TABLE tile(level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL,"
    " PRIMARY KEY(level, idx)) STRICT, WITHOUT ROWID",
    "CREATE TABLE checkpoint(size INTEGER PRIMARY KEY, commit_no INTEGER NOT NULL,"
    " note TEXT NOT NULL) STRICT",
    "CREATE TABLE snapshot(commit_no INTEGER PRIMARY KEY, fold_version INTEGER NOT NULL,"
    " digest BLOB NOT NULL, body BLOB NOT NULL) STRICT",
    "CREATE TABLE sent(node TEXT PRIMARY KEY, epoch INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " digest BLOB NOT NULL, stream_seq INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal"
    " BEGIN SELECT RAISE(ABORT, 'append only'); END",
    "CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal"
    " BEGIN SELECT RAISE(ABORT, 'append only'); END",
)

INSERT_RECORD: Final = (
    "INSERT INTO journal(seq, commit_no, epoch, kind, subject, record, leaf)"
    " VALUES(?, ?, ?, ?, ?, ?, ?)"
)
INSERT_TILE: Final = "INSERT OR REPLACE INTO tile(level, idx, hash) VALUES(?, ?, ?)"
INSERT_CHECKPOINT: Final = (
    "INSERT OR REPLACE INTO checkpoint(size, commit_no, note) VALUES(?, ?, ?)"
)
INSERT_META: Final = "INSERT OR REPLACE INTO meta(k, v) VALUES(?, ?)"
INSERT_SENT: Final = (
    "INSERT OR REPLACE INTO sent(node, epoch, generation, digest, stream_seq) VALUES(?, ?, ?, ?, ?)"
)
INSERT_SNAPSHOT: Final = (
    "INSERT OR REPLACE INTO snapshot(commit_no, fold_version, digest, body) VALUES(?, ?, ?, ?)"
)
DROP_SNAPSHOTS: Final = (
    "DELETE FROM snapshot WHERE commit_no NOT IN"
    " (SELECT commit_no FROM snapshot ORDER BY commit_no DESC LIMIT ?)"
)

WRITER: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    # Without it REPLACE would remove rows behind the back of the append-only triggers.
    "PRAGMA recursive_triggers = ON",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -65536",
)

Row = tuple[object, ...]


async def connect(path: Path, *, write: bool) -> aiosqlite.Connection:
    """Return a connection in autocommit mode that never waits for a lock; close it."""
    try:
        return await aiosqlite.connect(
            _uri(path, "rw" if write else "ro"), uri=True, isolation_level=None, timeout=0
        )
    except sqlite3.Error as error:
        raise translated(error) from error


async def fetch(
    connection: aiosqlite.Connection, sql: str, values: Iterable[object] = ()
) -> list[Row]:
    """Return all rows of one query, in one step of the connection's thread; raises our error."""
    try:
        return [tuple(row) for row in await connection.execute_fetchall(sql, list(values))]
    except sqlite3.Error as error:
        raise translated(error) from error


def error_name(error: sqlite3.Error) -> str:
    """Return SQLite's own name for what happened, empty where it has none."""
    return str(getattr(error, "sqlite_errorname", "") or "")


def translated(error: sqlite3.Error) -> HoldfastError:
    """Return our error for one of SQLite's."""
    name = error_name(error)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return HoldfastError(Code.JOURNAL_DAMAGED, f"The journal's file is damaged ({name}).")
    if name == "SQLITE_FULL":
        return HoldfastError(Code.DISK_FULL, "The journal's disk is full; nothing was written.")
    if name.startswith("SQLITE_BUSY"):
        return HoldfastError(Code.JOURNAL_HELD, "Another program holds the journal's file.")
    if name == "SQLITE_INTERRUPT":
        return HoldfastError(Code.DEADLINE, "The journal took too long to read.")
    return HoldfastError(Code.STORE_FAILED, f"The journal failed: {name or error}.")


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"
