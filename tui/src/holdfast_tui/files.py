"""Files that a person names on the command line, read behind caps and written whole."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast_protocol.errors import Code, HoldfastError


def read_capped(path: Path, cap_bytes: int) -> bytes:
    """Return the file's bytes; raises ``BAD_REQUEST`` or ``TOO_LARGE`` naming it."""
    try:
        with path.open("rb") as file:
            data = file.read(cap_bytes + 1)
    except OSError as error:
        raise HoldfastError(
            Code.BAD_REQUEST, f"{path} cannot be read: {error.strerror}."
        ) from error
    if len(data) > cap_bytes:
        raise HoldfastError(Code.TOO_LARGE, f"{path} is more than {cap_bytes} bytes.")
    return data


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet, mode 0600; raises ``ALREADY_EXISTS``."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise HoldfastError(Code.ALREADY_EXISTS, f"{path} is there already.") from error
    except OSError as error:
        raise _unwritable(path, error) from error
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def write_secret(path: Path, data: bytes) -> None:
    """Replace a file by ``data``, mode 0600, never seen in part; raises ``CONFIG_INVALID``."""
    # Imported here: cryptography behind it is slow to load, and most verbs write nothing.
    from holdfast_protocol.identity.credentials import write_private

    try:
        write_private(path, data)
    except OSError as error:
        raise _unwritable(path, error) from error


def make_private_folder(path: Path) -> None:
    """Make a folder of mode 0700 with its parents; raises ``CONFIG_INVALID``."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> HoldfastError:
    return HoldfastError(Code.CONFIG_INVALID, f"{path} cannot be written: {error.strerror}.")
