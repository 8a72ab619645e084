"""A credentials folder: all that any NATS client needs to be somebody on a broker.

``nats.creds`` (user claim and seed, the common format), ``ca.pem``, ``cert.pem``, ``key.pem`` and
``connect.json`` (servers, inbox prefix, TLS first). Folder 0700, files 0600, each replaced whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.limits import CREDENTIAL_BYTES

_CREDS: Final = """-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""
_BLOCK: Final = re.compile(r"-{5,6}BEGIN [A-Z ]+-{5,6}\s*([A-Za-z0-9._=-]+)\s*-{5,6}END")


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect and how: ``servers`` are ``tls://host:port``."""

    servers: tuple[str, ...]
    inbox_prefix: str
    tls_first: bool = True


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """An identity as the folder holds it; PEM as bytes."""

    user_jwt: str
    seed: str
    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes
    connect: Connect

    def key_pair(self) -> KeyPair:
        """Return the user's nkey; raises ``CONFIG_INVALID`` where the seed is none of a user."""
        try:
            pair = KeyPair.from_seed(self.seed)
        except HoldfastError as error:
            raise HoldfastError(Code.CONFIG_INVALID, "nats.creds holds no user seed.") from error
        if pair.kind is not Kind.USER:
            raise HoldfastError(Code.CONFIG_INVALID, "nats.creds holds no user seed.")
        return pair


def write(folder: Path, credentials: Credentials) -> None:
    """Write the folder; an existing one is replaced file by file. Raises ``CONFIG_INVALID``."""
    creds = creds_text(credentials.user_jwt, credentials.seed).encode("ascii")
    files = {
        "ca.pem": credentials.ca_pem,
        "cert.pem": credentials.certificate_pem,
        "key.pem": credentials.key_pem,
        "connect.json": encode(credentials.connect) + b"\n",
        # Last, so that a folder with this file is complete.
        "nats.creds": creds,
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name, data in files.items():
            write_private(folder / name, data)
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"The credentials {folder} cannot be written: {error.strerror}."
        ) from error


def read(folder: Path) -> Credentials:
    """Return what the folder holds; raises ``CONFIG_INVALID`` naming the file."""
    jwt, seed = _creds(_read(folder / "nats.creds"))
    try:
        connect = msgspec.json.decode(_read(folder / "connect.json"), type=Connect)
    except msgspec.MsgspecError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{folder / 'connect.json'} does not fit: {error}."
        ) from error
    return Credentials(
        user_jwt=jwt,
        seed=seed,
        ca_pem=_read(folder / "ca.pem"),
        certificate_pem=_read(folder / "cert.pem"),
        key_pem=_read(folder / "key.pem"),
        connect=connect,
    )


def creds_text(user_jwt: str, seed: str) -> str:
    """Return the text of a ``.creds`` file."""
    return _CREDS.format(jwt=user_jwt, seed=seed)


def write_private(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` with mode 0600, durable, never seen in part. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        _sync(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _sync(folder: Path) -> None:
    # A new name is on disk only once its folder is: a power cut would bring the old file back.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(CREDENTIAL_BYTES + 1)
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{path} cannot be read: {error.strerror}."
        ) from error
    if len(data) > CREDENTIAL_BYTES:
        raise HoldfastError(Code.CONFIG_INVALID, f"{path} is more than {CREDENTIAL_BYTES} bytes.")
    return data


def _creds(data: bytes) -> tuple[str, str]:
    blocks = _BLOCK.findall(data.decode("ascii", "replace"))
    if len(blocks) != 2:
        raise HoldfastError(Code.CONFIG_INVALID, "nats.creds is not a claim and a seed.")
    return blocks[0], blocks[1]
