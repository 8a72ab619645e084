"""A vendor's keys and TUF root: three root keys of which two must sign, one key per other role.

``KEYS/root.json`` is the signed first root, the bytes that a site pins. The private keys are PEM
files of mode 0600 in a folder of mode 0700; a vendor with a safe moves ``root-*.pem`` there, since
signing a release does not need them.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from holdfast_protocol.errors import Code, HoldfastError
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from holdfast_bundles.logic.names import vendor_name

ROOT_KEYS: Final = 3
ROOT_THRESHOLD: Final = 2
ROOT_LIFE: Final = timedelta(days=3 * 365)
ROOT_FILE: Final = "root.json"
ROLES: Final = ("targets", "snapshot", "timestamp", "release")


def create(folder: Path, vendor: str, now: datetime) -> Path:
    """Make ``folder`` with the keys and root of ``vendor``; return the path of its root.

    Raises ``ALREADY_EXISTS`` where keys lie there already: they are never overwritten.
    """
    vendor_name(vendor)
    if (folder / ROOT_FILE).exists():
        raise HoldfastError(Code.ALREADY_EXISTS, f"{folder} holds keys already.")
    _make_folder(folder)
    root = Root(expires=_whole(now + ROOT_LIFE), unrecognized_fields={"x-hf": {"vendor": vendor}})
    root.roles["root"].threshold = ROOT_THRESHOLD
    signers = [_new_key(folder, f"root-{number}") for number in range(1, ROOT_KEYS + 1)]
    for signer in signers:
        root.add_key(signer.public_key, "root")
    for role in ROLES:
        signer = _new_key(folder, role)
        if role != "release":
            root.add_key(signer.public_key, role)
    signed: Metadata[Root] = Metadata(root)
    for signer in signers:
        signed.sign(signer, append=True)
    _write_new(folder / ROOT_FILE, signed.to_bytes(JSONSerializer()), 0o644)
    return folder / ROOT_FILE


def load(folder: Path, role: str) -> CryptoSigner:
    """Return the signer of ``role``; raises ``CONFIG_INVALID`` without a usable private key."""
    path = folder / f"{role}.pem"
    try:
        if path.stat().st_mode & 0o077:
            raise HoldfastError(
                Code.CONFIG_INVALID, f"The key {path} is readable by others; its mode must be 0600."
            )
        return CryptoSigner(load_pem_private_key(path.read_bytes(), None))
    except (OSError, ValueError, TypeError) as error:
        raise HoldfastError(Code.CONFIG_INVALID, f"The key {path} cannot be read.") from error


def load_root(folder: Path) -> tuple[str, Metadata[Root], bytes]:
    """Return (vendor, root, its bytes) of a keys folder; raises ``CONFIG_INVALID``."""
    path = folder / ROOT_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HoldfastError(Code.CONFIG_INVALID, f"{folder} holds no vendor keys.") from error
    try:
        root: Metadata[Root] = Metadata.from_bytes(data)
    except DeserializationError as error:
        raise HoldfastError(Code.CONFIG_INVALID, f"{path} is not a TUF root.") from error
    bound = root.signed.unrecognized_fields.get("x-hf")
    if not isinstance(bound, dict) or not isinstance(bound.get("vendor"), str):
        raise HoldfastError(Code.CONFIG_INVALID, f"{path} names no vendor.")
    return vendor_name(bound["vendor"]), root, data


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"The folder {folder} cannot be made: {error.strerror}."
        ) from error


def _new_key(folder: Path, name: str) -> CryptoSigner:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(folder / f"{name}.pem", pem, 0o600)
    return CryptoSigner(key)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise HoldfastError(Code.ALREADY_EXISTS, f"{path} is there already.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
