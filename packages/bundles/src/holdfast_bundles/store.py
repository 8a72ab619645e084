"""The content-addressed store of a machine: ``cas/sha256/ab/<hex>``, read only once it is there.

A blob enters by a rename after its bytes were hashed and synced, so that a name in the store
always means those bytes; readers need no lock. This file does I/O.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import digest as check_digest


class Store:
    """The blobs below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root / "cas" / "sha256"

    def path(self, digest: str) -> Path:
        """Return where the blob lies or would lie; raises ``BAD_NAME`` for no digest."""
        text = check_digest(digest).removeprefix("sha256:")
        return self._root / text[:2] / text

    def has(self, digest: str) -> bool:
        """Tell whether the blob is in the store."""
        return self.path(digest).is_file()

    def admit(self, source: Path, digest: str) -> None:
        """Move the verified file ``source`` into the store; a blob already there wins.

        Survives a power cut at any point: the name appears only over synced bytes. Raises
        ``STORE_FAILED`` or ``DISK_FULL``.
        """
        target = self.path(digest)
        with local_disk():
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                sync_file(source)
                os.chmod(source, 0o444)
                os.replace(source, target)
                sync_folder(target.parent)
                sync_folder(self._root)
            source.unlink(missing_ok=True)

    def read(self, digest: str, cap_bytes: int) -> bytes:
        """Return a small blob, its digest verified.

        Raises ``NOT_FOUND``, ``TOO_LARGE`` beyond ``cap_bytes``, and ``BLOB_DIGEST`` where the
        disk no longer holds what was put there.
        """
        return read_verified(self.path(digest), digest, cap_bytes)


def read_verified(path: Path, digest: str, cap_bytes: int) -> bytes:
    """Return the bytes of ``path`` if they are ``digest``; raises as :meth:`Store.read`."""
    try:
        with path.open("rb") as file:
            data = file.read(cap_bytes + 1)
    except FileNotFoundError as error:
        raise HoldfastError(Code.NOT_FOUND, f"There is no blob {digest} here.") from error
    except OSError as error:
        raise HoldfastError(Code.STORE_FAILED, f"The blob {digest} cannot be read.") from error
    if len(data) > cap_bytes:
        raise HoldfastError(Code.TOO_LARGE, f"The blob {digest} is more than {cap_bytes} bytes.")
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise HoldfastError(
            Code.BLOB_DIGEST, f"The store no longer holds {digest} as it was.", file=path.name
        )
    return data


@contextlib.contextmanager
def local_disk() -> Iterator[None]:
    """Turn failures of this machine's disk into ``DISK_FULL`` or ``STORE_FAILED``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HoldfastError(
                Code.DISK_FULL, "There is no space left in the store; nothing was lost."
            ) from error
        raise HoldfastError(
            Code.STORE_FAILED, f"The store's disk failed: {error.strerror}."
        ) from error


def replace_file(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: after a power cut the old or the new is there, whole."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Force the bytes of ``path`` to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Force the names in ``path`` to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
