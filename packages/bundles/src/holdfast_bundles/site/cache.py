"""The folder of a node's trust: trees of role files, marks beside them, one symlink. Does I/O.

    DIR/current -> tree-7      what is believed; swapped by replacing the link
    DIR/tree-7, DIR/tree-6     the last one stays, so that a reader is not cut off
    DIR/marks.json             high-water marks, outside the trees that they guard
    DIR/denials/no-*.json      denials that arrived by other ways than the controller
    DIR/lock                   one writer at a time; readers need none

A tree is made as a scratch copy by hard links: every writer replaces files and none writes into
one, so the live tree stays byte for byte what it was until the swap.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from holdfast_protocol import codec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import SNAPSHOT_BYTES

from holdfast_bundles.site import names
from holdfast_bundles.site.chain import Files
from holdfast_bundles.site.marks import Marks

_CURRENT: Final = "current"
_SCRATCH: Final = "scratch"
_ROOTS: Final = "root_history"


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """Turn the disk's failures into ``DISK_FULL`` or ``STORE_FAILED``."""
    try:
        yield
    except OSError as error:
        code = Code.DISK_FULL if error.errno == errno.ENOSPC else Code.STORE_FAILED
        raise HoldfastError(code, f"The node's trust folder failed: {error.strerror}.") from error


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the folder's lock; raises ``BUSY`` if another process is refreshing it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HoldfastError(
                Code.BUSY, "Another process refreshes this trust folder."
            ) from error
        yield


def current_tree(directory: Path) -> str | None:
    """Return the name of the tree that is believed, None before the first."""
    try:
        return str((directory / _CURRENT).readlink())
    except FileNotFoundError:
        return None


def read_files(tree: Path) -> Files:
    """Return the role files of one tree; files too large or of other names are not read."""
    roots: dict[int, bytes] = {}
    roles: dict[str, bytes] = {}
    for path in _listed(tree / _ROOTS):
        role, version = _parsed(path.name)
        if role == "root" and version is not None:
            roots[version] = _bytes(path, names.cap_bytes(role))
    for path in _listed(tree):
        role = path.name.removesuffix(".json")
        if path.suffix == ".json" and role != "root" and names.is_role(role):
            roles[role] = _bytes(path, names.cap_bytes(role))
    return Files(roots=roots, roles=roles)


def read_denials(directory: Path) -> dict[str, bytes]:
    """Return the denials that arrived on their own, by role."""
    found = {}
    for path in _listed(directory / "denials"):
        role = path.name.removesuffix(".json")
        if names.bin_prefix(role) == "no":
            found[role] = _bytes(path, names.cap_bytes(role))
    return found


def write_denial(directory: Path, role: str, data: bytes) -> None:
    """Keep a denial that arrived on its own, safe on disk when this returns."""
    folder = directory / "denials"
    folder.mkdir(mode=0o700, exist_ok=True)
    _replace(folder / f"{role}.json", data)


def drop_denial(directory: Path, role: str) -> None:
    """Forget a denial that the repository now carries itself."""
    (directory / "denials" / f"{role}.json").unlink(missing_ok=True)


def read_marks(directory: Path, site: str) -> Marks | None:
    """Return the marks; None if they exist and cannot be read; empty ones before the first."""
    try:
        data = _bytes(directory / "marks.json", SNAPSHOT_BYTES)
    except FileNotFoundError:
        return Marks(site=site)
    try:
        marks = codec.decode(data, Marks)
    except HoldfastError:
        return None
    return marks if marks.site == site else None


def write_marks(directory: Path, marks: Marks) -> None:
    """Replace the marks, safe on disk when this returns."""
    _replace(directory / "marks.json", codec.encode(marks))


def new_scratch(directory: Path) -> Path:
    """Return a fresh scratch copy of the current tree, after clearing what a crash left."""
    name = current_tree(directory)
    _clear(directory, keep={name, _before(name)})
    scratch = directory / _SCRATCH
    if name is not None and (directory / name).is_dir():
        shutil.copytree(directory / name, scratch, symlinks=True, copy_function=os.link)
    else:
        scratch.mkdir(mode=0o700)
    (scratch / _ROOTS).mkdir(exist_ok=True)
    return scratch


def put(scratch: Path, role: str, data: bytes | None) -> None:
    """Put one role file into the scratch copy, or take it out, leaving the live tree's alone."""
    path = scratch / f"{role}.json"
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)


def swap(directory: Path, scratch: Path, marks: Marks) -> None:
    """Make the scratch copy the believed tree: fsync, marks, then the link, in this order.

    A crash before the marks leaves the old state; one between marks and link leaves a cache below
    its marks, which permits no new load and is healed by the next contact.
    """
    for folder in (scratch, scratch / _ROOTS):
        for path in _listed(folder):
            # A link count of one: not shared with the live tree, so not known to be on disk.
            if not path.is_symlink() and path.is_file() and path.stat().st_nlink == 1:
                _sync(path)
        _sync(folder)
    old = current_tree(directory)
    tree = directory / _after(old)
    scratch.rename(tree)
    _sync(directory)
    write_marks(directory, marks)
    link = directory / "current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(tree.name)
    link.replace(directory / _CURRENT)
    _sync(directory)
    _clear(directory, keep={old, tree.name})


def drop_scratch(directory: Path) -> None:
    """Remove the scratch copy, if there is one."""
    shutil.rmtree(directory / _SCRATCH, ignore_errors=True)


def _clear(directory: Path, keep: set[str | None]) -> None:
    for path in _listed(directory):
        stray = path.name.startswith("tree-") and path.name not in keep
        if stray or path.name == _SCRATCH:
            shutil.rmtree(path)


def _number(name: str | None) -> int:
    digits = (name or "").removeprefix("tree-")
    return int(digits) if digits.isdecimal() else 0


def _after(name: str | None) -> str:
    return f"tree-{_number(name) + 1}"


def _before(name: str | None) -> str:
    return f"tree-{_number(name) - 1}"


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _parsed(name: str) -> tuple[str, int | None]:
    try:
        return names.parse_file(name)
    except HoldfastError:
        return "", None


def _bytes(path: Path, cap_bytes: int) -> bytes:
    with path.open("rb") as file:
        # One byte more than allowed, so that the reader of the bytes sees that they are too many.
        return file.read(cap_bytes + 1)


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
