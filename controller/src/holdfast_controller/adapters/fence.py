"""The fence that a controller closes behind itself when its journal turns out to be older.

Somebody has a document that this journal never made: a backup was restored, or another controller
took over. Starting again would journal the start, and enough starts would carry the commit number,
which is the documents' generation, past the fence without anybody having decided it. So nothing is
journalled or published until the journal itself is longer than it was: the newer one came back.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.credentials import write_private


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """Where the journal ended when the fence was closed, and why it was."""

    commit: int
    reason: str


class Fence:
    """One small file beside the high-water mark."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, commit: int) -> None:
        """Raise ``JOURNAL_ROLLBACK`` while a journal that ends at ``commit`` is fenced off.

        A journal that grew although nothing wrote to it was restored from a newer copy: the fence
        opens by itself.
        """
        try:
            closed = decode(self._path.read_bytes(), Closed)
        except FileNotFoundError:
            return
        except HoldfastError as error:
            raise HoldfastError(
                Code.JOURNAL_ROLLBACK,
                f"The fence {self._path} cannot be read; it counts as closed.",
            ) from error
        if commit > closed.commit:
            self._path.unlink()
            return
        raise HoldfastError(
            Code.JOURNAL_ROLLBACK,
            f"{closed.reason} The journal still ends with commit {commit}.",
        )

    def close(self, commit: int, reason: str) -> None:
        """Fence off a journal that ends at ``commit``; raises ``STORE_FAILED``."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path, encode(Closed(commit=commit, reason=reason)))
        except OSError as error:
            raise HoldfastError(
                Code.STORE_FAILED, f"The fence {self._path} cannot be written: {error.strerror}."
            ) from error
