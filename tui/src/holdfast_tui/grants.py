"""An application's credentials: keys made here, the rest fetched once officers have granted it.

The keys never leave this machine. Until the grant the folder holds them with what was asked; after
it, all that any NATS client needs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from pathlib import Path
from typing import Final

import msgspec
from holdfast_protocol import codec
from holdfast_protocol.api import AppCredentials, AppQuery, CreateApp
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_tui.client import Client
from holdfast_tui.files import make_private_folder, read_capped, write_secret
from holdfast_tui.site import APP_FILE

GRANT_S: Final = 15.0
POLL_S: Final = 0.3
FILE_BYTES: Final = 64 * 1024
_SEED: Final = "user.seed"
_KEY: Final = "key.pem"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for the application; ``request`` is None until the controller has it."""

    call: CreateApp
    request: str | None = None


def read(folder: Path) -> Asked | None:
    """Return what was asked for the application of ``folder``, None where nothing was."""
    path = folder / APP_FILE
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(read_capped(path, FILE_BYTES), type=Asked)
    except msgspec.MsgspecError as error:
        raise HoldfastError(Code.CONFIG_INVALID, f"{path} does not fit: {error}.") from error


def is_complete(folder: Path) -> bool:
    """Tell whether the folder is all that a client needs."""
    return (folder / "nats.creds").is_file()


def prepare(folder: Path, wished: CreateApp) -> Asked:
    """Make the keys of a new application, or find those made before; returns what to ask.

    ``wished`` comes without keys. Raises ``ALREADY_EXISTS`` where the folder is somebody else's.
    """
    # Imported here and below: cryptography is slow to load, and most verbs need none.
    from holdfast_protocol.identity import nkeys, x509

    known = read(folder)
    if known is not None:
        same = msgspec.structs.replace(
            wished, user_public=known.call.user_public, csr=known.call.csr
        )
        return known if same == known.call else Asked(call=same)
    if folder.is_dir() and any(folder.iterdir()):
        raise HoldfastError(Code.ALREADY_EXISTS, f"{folder} holds something else already.")
    make_private_folder(folder)
    user = nkeys.KeyPair.generate(nkeys.Kind.USER)
    key = x509.new_key()
    write_secret(folder / _SEED, user.seed().encode("ascii"))
    write_secret(folder / _KEY, key)
    call = msgspec.structs.replace(wished, user_public=user.public, csr=x509.new_csr(key))
    return remember(folder, Asked(call=call))


def remember(folder: Path, asked: Asked) -> Asked:
    """Write down what was asked, so that the same keys serve when it is asked again."""
    write_secret(folder / APP_FILE, codec.encode(asked) + b"\n")
    return asked


async def complete(client: Client, folder: Path, *, wait_s: float) -> bool:
    """Write the granted credentials into ``folder``; tells whether it is complete now.

    Waits up to ``wait_s`` until the broker knows the application. A folder that is not here, or
    was made elsewhere, is left alone. Raises what the controller refuses.
    """
    asked = read(folder)
    if asked is None:
        return False
    ends_at = time.monotonic() + wait_s
    while True:
        granted = await client.call("apps.claim", AppQuery(name=asked.call.name), AppCredentials)
        if granted.state == "ready":
            _write(folder, asked, granted)
            return True
        if granted.state == "revoked" or time.monotonic() >= ends_at:
            return False
        await asyncio.sleep(POLL_S)


def _write(folder: Path, asked: Asked, granted: AppCredentials) -> None:
    from holdfast_protocol.identity import credentials

    if granted.user_jwt is None or granted.certificate is None or granted.ca is None:
        raise HoldfastError(Code.DEFECT, f"The grant of {granted.name} lacks a part.")
    if _subject(granted.user_jwt) != asked.call.user_public:
        raise HoldfastError(
            Code.ALREADY_EXISTS, f"{granted.name} was granted to other keys than those here."
        )
    credentials.write(
        folder,
        credentials.Credentials(
            user_jwt=granted.user_jwt,
            seed=_seed(folder),
            ca_pem=granted.ca,
            certificate_pem=granted.certificate,
            key_pem=read_capped(folder / _KEY, FILE_BYTES),
            connect=credentials.Connect(
                servers=granted.servers,
                inbox_prefix=granted.inbox_prefix or f"_INBOX.{granted.name}",
            ),
        ),
    )
    (folder / _SEED).unlink(missing_ok=True)


def _seed(folder: Path) -> str:
    from holdfast_protocol.identity import credentials

    if is_complete(folder):
        return credentials.read(folder).seed
    return read_capped(folder / _SEED, FILE_BYTES).decode("ascii", "replace").strip()


def _subject(user_jwt: str) -> str | None:
    """Return whom a claim is for; its signature is the broker's business."""
    parts = user_jwt.split(".")
    if len(parts) != 3:
        return None
    try:
        body = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(body, type=_Claim).sub
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


class _Claim(msgspec.Struct, frozen=True):
    sub: str
