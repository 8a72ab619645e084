"""The high-water mark: how far the journal had come, kept outside of it.

A write-ahead log that lost bytes opens without any error as a shorter one, and a restored copy
looks perfectly well; only a mark elsewhere tells. Two slots are overwritten in turn, each with
its own digest: a torn write spoils one slot, and the other holds the commit before. That is one
``fdatasync`` for each commit, where replacing a file would be three.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.journal.port import START, Tail

_SLOT_BYTES: Final = 512
_DIGEST_BYTES: Final = 32


class HighWater:
    """The file of the mark, opened for writing. Blocking; close it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failed(error) from error
        self._turn = 0

    def read(self) -> Tail | None:
        """Return the newest whole mark, None where the file was never written.

        Raises ``JOURNAL_ROLLBACK`` where there is something, and none of it can be read.
        """
        try:
            data = os.pread(self._file, 2 * _SLOT_BYTES, 0)
        except OSError as error:
            raise self._failed(error) from error
        if not data:
            return None
        slots = [_slot(data[:_SLOT_BYTES]), _slot(data[_SLOT_BYTES:])]
        found = [(mark.commit, turn, mark) for turn, mark in enumerate(slots) if mark]
        if not found:
            raise HoldfastError(
                Code.JOURNAL_ROLLBACK, f"The journal's high-water mark {self._path} is unreadable."
            )
        _, newest, mark = max(found, key=lambda each: each[:2])
        self._turn = 1 - newest
        return mark

    def write(self, tail: Tail) -> None:
        """Make ``tail`` the mark, durable on return; raises ``STORE_FAILED``."""
        body = encode(tail)
        slot = hashlib.sha256(body).digest() + body
        try:
            os.pwrite(self._file, slot.ljust(_SLOT_BYTES, b"\0"), self._turn * _SLOT_BYTES)
            os.fdatasync(self._file)
        except OSError as error:
            raise self._failed(error) from error
        self._turn = 1 - self._turn

    def reset(self, tail: Tail) -> None:
        """Make ``tail`` the only mark, lower or not; raises ``STORE_FAILED``."""
        for turn in (0, 1):
            self._turn = turn
            self.write(tail)
        self._sync_directory()

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)

    def _sync_directory(self) -> None:
        try:
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> HoldfastError:
        return HoldfastError(
            Code.STORE_FAILED, f"The high-water mark {self._path} failed: {error.strerror}."
        )


def judge(mark: Tail | None, tail: Tail, root_at_mark: bytes | None) -> None:
    """Raise ``JOURNAL_ROLLBACK`` unless a journal that ends at ``tail`` reaches ``mark``.

    ``root_at_mark`` is the journal's own root over the mark's number of records, if it has them.
    """
    if mark is None and tail != START:
        raise HoldfastError(
            Code.JOURNAL_ROLLBACK, "The journal's high-water mark is gone, but the journal is not."
        )
    if mark is None:
        return
    if tail.seq < mark.seq or tail.commit < mark.commit:
        raise HoldfastError(
            Code.JOURNAL_ROLLBACK,
            f"The journal ends at record {tail.seq}, but it had reached record {mark.seq}.",
        )
    if root_at_mark != mark.root or tail.epoch < mark.epoch:
        raise HoldfastError(
            Code.JOURNAL_ROLLBACK,
            f"The journal is another one than it was at record {mark.seq}.",
        )


def _slot(data: bytes) -> Tail | None:
    digest, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:].rstrip(b"\0")
    if hashlib.sha256(body).digest() != digest:
        return None
    try:
        return msgspec.json.decode(body, type=Tail)
    except msgspec.MsgspecError:
        return None
