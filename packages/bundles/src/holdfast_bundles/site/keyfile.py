"""The files of private keys: written 0600 once, read whole. This file does I/O."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import KIB

from holdfast_bundles.site.keys import Ed25519Key, load_key


def write_key(path: Path, key: Ed25519Key) -> None:
    """Write ``key`` to the new file ``path``, mode 0600; raises ``ALREADY_EXISTS``."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise HoldfastError(Code.ALREADY_EXISTS, f"{path.name} is there already.") from error
    except OSError as error:
        raise HoldfastError(Code.CONFIG_INVALID, f"{path.name} cannot be written.") from error
    with os.fdopen(handle, "wb") as file:
        file.write(key.pem())
        file.flush()
        os.fsync(file.fileno())


def read_key(path: Path) -> Ed25519Key:
    """Return the key in ``path``; raises ``CONFIG_INVALID`` if it is absent or open to others."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HoldfastError(Code.CONFIG_INVALID, f"{path.name} cannot be read.") from error
    with os.fdopen(handle, "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise HoldfastError(
                Code.CONFIG_INVALID, f"{path.name} is readable by others; its mode must be 0600."
            )
        return load_key(file.read(16 * KIB))
