"""A stick: files below one folder, opened so that nothing outside it can be reached.

Every path is walked from a folder's descriptor without following links, only regular files are
read, and every read has a cap. What a stick says about itself (sizes, listings) is a hint. This
file does I/O and decides nothing about content.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import DIRECTORY_ENTRIES

FOLDER: Final = "modelbundle"
_GONE: Final = frozenset({errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ETIMEDOUT})
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Stick:
    """The open ``modelbundle`` folder of a medium. Use as a context manager."""

    def __init__(self, descriptor: int) -> None:
        self._root = descriptor

    @classmethod
    def open(cls, path: Path) -> Stick:
        """Return the stick mounted at ``path``; raises ``BUNDLE_MISSING`` without a bundle."""
        try:
            outer = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _no_bundle(path) from error
        try:
            return cls(
                os.open(
                    FOLDER,
                    os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                    dir_fd=outer,
                )
            )
        except OSError as error:
            raise _no_bundle(path) from error
        finally:
            os.close(outer)

    @classmethod
    def open_below(cls, root: Path, parts: tuple[str, ...]) -> Stick:
        """Return the stick at ``parts`` below ``root``, walked without following a link.

        Raises ``BUNDLE_MISSING`` where a part is a link, no folder, or without a bundle.
        """
        try:
            base = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _no_bundle(root) from error
        try:
            with cls(base)._folder([*parts, FOLDER]) as folder:
                return cls(os.dup(folder))
        except OSError as error:
            raise _no_bundle(root.joinpath(*parts)) from error
        finally:
            os.close(base)

    def __enter__(self) -> Stick:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the medium."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def open_file(self, name: str) -> int | None:
        """Return a descriptor of the regular file ``name``, or None where there is none.

        Links, folders, pipes and devices count as none. Raises ``MEDIA_LOST`` when the medium
        does not answer. The caller closes the descriptor.
        """
        parts = name.split("/")
        try:
            with self._folder(parts[:-1]) as folder:
                descriptor = os.open(parts[-1], _READ_FLAGS, dir_fd=folder)
        except OSError as error:
            _raise_if_lost(error, name)
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return descriptor

    def size_bytes(self, name: str) -> int | None:
        """Return the size of the regular file ``name``, or None where there is none."""
        descriptor = self.open_file(name)
        if descriptor is None:
            return None
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def read(self, name: str, cap_bytes: int) -> bytes | None:
        """Return the whole of ``name``, or None where there is none.

        Raises ``METADATA_MALFORMED`` beyond ``cap_bytes`` and ``MEDIA_LOST``.
        """
        descriptor = self.open_file(name)
        if descriptor is None:
            return None
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            data = read_some(file.fileno(), cap_bytes + 1, name)
        if len(data) > cap_bytes:
            raise HoldfastError(
                Code.METADATA_MALFORMED,
                f"{name} is larger than {cap_bytes} bytes.",
                file=name.rpartition("/")[2],
            )
        return data

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in ``folder``; none where it is no folder.

        Names that are not UTF-8 are left out: nothing of ours is called so. Raises
        ``METADATA_MALFORMED`` beyond ``DIRECTORY_ENTRIES`` and ``MEDIA_LOST``.
        """
        found: list[str] = []
        try:
            with (
                self._folder(folder.split("/") if folder else []) as descriptor,
                os.scandir(descriptor) as entries,
            ):
                for entry in entries:
                    found.append(entry.name)
                    if len(found) > DIRECTORY_ENTRIES:
                        raise HoldfastError(
                            Code.METADATA_MALFORMED,
                            f"The folder {folder} holds more than {DIRECTORY_ENTRIES} entries.",
                            file=folder,
                        )
        except OSError as error:
            _raise_if_lost(error, folder)
            return []
        return sorted(name for name in found if name.isprintable())

    @contextlib.contextmanager
    def _folder(self, parts: list[str]) -> Iterator[int]:
        """Yield a descriptor of the folder ``parts`` below the root, walked link by link."""
        with contextlib.ExitStack() as opened:
            current = self._root
            for part in parts:
                if part in ("", ".", ".."):
                    raise FileNotFoundError(errno.ENOENT, "not a name", part)
                current = os.open(
                    part,
                    os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                    dir_fd=current,
                )
                opened.callback(os.close, current)
            yield current


def read_some(descriptor: int, count: int, name: str) -> bytes:
    """Return up to ``count`` bytes from the descriptor's position, fewer only at the end.

    Raises ``MEDIA_LOST`` when the medium does not answer.
    """
    pieces: list[bytes] = []
    left = count
    while left > 0:
        try:
            piece = os.read(descriptor, min(left, 1 << 22))
        except OSError as error:
            raise _lost(name) from error
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def read_into(descriptor: int, room: memoryview, name: str) -> int:
    """Fill ``room`` from the descriptor's position; return how many bytes there were.

    Fewer than fit only at the end. Raises ``MEDIA_LOST`` when the medium does not answer.
    """
    done = 0
    while done < len(room):
        try:
            count = os.readv(descriptor, [room[done:]])
        except OSError as error:
            raise _lost(name) from error
        if not count:
            break
        done += count
    return done


def _raise_if_lost(error: OSError, name: str) -> None:
    if error.errno in _GONE:
        raise _lost(name) from error


def _lost(name: str) -> HoldfastError:
    return HoldfastError(Code.MEDIA_LOST, f"The medium went away while reading {name}.", file=name)


def _no_bundle(path: Path) -> HoldfastError:
    return HoldfastError(Code.BUNDLE_MISSING, f"There is no folder {FOLDER} in {path}.")
