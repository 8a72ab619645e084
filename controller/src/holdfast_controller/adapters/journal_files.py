"""The files around a journal's database: its lock, its identity, its reserve, the disk's failures.

The database itself is never opened here: closing any descriptor of it would drop the locks that
SQLite holds through another, so identity is compared by ``stat`` alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec
from holdfast_protocol.errors import Code, HoldfastError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How much the journal can still take: free space of its disk, its reserve, its log."""

    free_bytes: int
    reserve_held: bool
    wal_bytes: int


class JournalFiles:
    """The lock is taken on construction (``JOURNAL_HELD`` where another has it) and kept."""

    def __init__(self, path: Path, reserve_bytes: int) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._reserve = path.with_name(path.name + ".reserve")
        self._doubt = path.with_name(path.name + ".failed")
        self._reserve_bytes = reserve_bytes
        self._known: tuple[tuple[int, int] | None, ...] = ()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = path.with_name(path.name + ".lock")
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed(path, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise HoldfastError(
                Code.JOURNAL_HELD, f"Another process writes the journal {path}."
            ) from error

    def close(self) -> None:
        """Give the lock back; the database must be closed by then."""
        os.close(self._lock)

    def prepare(self) -> None:
        """Create the database's empty file, readable by its owner alone, where there is none."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise _failed(self._path, error) from error

    def recognise(self) -> None:
        """Remember which files are open now; to be called once the database is."""
        self._known = self._identities()

    def replaced(self) -> bool:
        """Tell whether the open files are no longer the ones under their names."""
        return None in self._known or self._known != self._identities()

    def keep_reserve(self, room_bytes: int) -> bool:
        """Tell whether the reserve is held, after taking it where more than ``room_bytes`` is free.

        The reserve is what lets work already begun be finished on a full disk.
        """
        if self._reserve.exists():
            return True
        try:
            if _free_bytes(self._path) < room_bytes + self._reserve_bytes:
                return False
            file = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, self._reserve_bytes)
            finally:
                os.close(file)
        except OSError:
            # The disk is full or failing; whoever asked sees that the reserve is not there.
            self._reserve.unlink(missing_ok=True)
            return False
        return True

    def spend_reserve(self) -> bool:
        """Tell whether there was a reserve to give up, and give it up."""
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def room(self) -> Room:
        """Return what is left; raises ``STORE_FAILED`` where the disk does not even tell."""
        try:
            wal_bytes = self._wal.stat().st_size if self._wal.exists() else 0
            free_bytes = _free_bytes(self._path)
        except OSError as error:
            raise _failed(self._path, error) from error
        return Room(free_bytes=free_bytes, reserve_held=self._reserve.exists(), wal_bytes=wal_bytes)

    def mark_doubt(self) -> None:
        """Leave word that the disk failed a commit during this boot."""
        with contextlib.suppress(OSError):
            self._doubt.write_text(_BOOT_ID.read_text(encoding="ascii"), encoding="ascii")

    def in_doubt(self) -> bool:
        """Tell whether a commit failed since the machine booted.

        The kernel may have dropped the page that it could not write and still show it to readers;
        only a boot makes the disk's own content visible again, and clears the mark.
        """
        try:
            return self._doubt.read_text(encoding="ascii") == _BOOT_ID.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return False

    def _identities(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_identity(path) for path in (self._path, self._wal))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _free_bytes(path: Path) -> int:
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize


def _failed(path: Path, error: OSError) -> HoldfastError:
    return HoldfastError(Code.STORE_FAILED, f"The journal {path} failed: {error.strerror}.")
