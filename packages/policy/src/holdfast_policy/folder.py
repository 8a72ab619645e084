"""A bundle as a folder that a person edits: read behind caps, its manifest written."""

from __future__ import annotations

from pathlib import Path

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import POLICY_BYTES, POLICY_FILES

from holdfast_policy.logic.bundle import (
    ENGINE,
    FORMAT,
    MANIFEST,
    SCHEMA,
    Manifest,
    PolicyBundle,
    assemble,
    entries_of,
    read_manifest,
)
from holdfast_policy.product import base_text

BASE: str = "base.cedar"


def read_folder(folder: Path) -> PolicyBundle:
    """Return the bundle in ``folder``, every file as its manifest says; raises ``POLICY_INVALID``.

    Raises ``BAD_REQUEST`` where a file cannot be read.
    """
    files = _files(folder)
    if MANIFEST not in files:
        raise HoldfastError(
            Code.BAD_REQUEST, f"{folder} has no {MANIFEST}; holdfast policy pack writes one."
        )
    manifest = read_manifest(files.pop(MANIFEST))
    return assemble(manifest, files)


def pack(
    folder: Path, serial: int, prev_digest: str | None, dates: tuple[int, int]
) -> PolicyBundle:
    """Write ``manifest.json`` for what lies in ``folder`` and return the bundle.

    ``dates`` are when it begins and ends, Unix time. The product's schema and base policies are
    put there where they are missing. Raises ``POLICY_INVALID`` and ``BAD_REQUEST``.
    """
    text = base_text()
    for name, content in ((SCHEMA, text.schema), (BASE, text.policies)):
        if not (folder / name).exists():
            _write(folder / name, content.encode())
    files = _files(folder)
    files.pop(MANIFEST, None)
    manifest = Manifest(
        format=FORMAT,
        serial=serial,
        prev_digest=prev_digest,
        effective_from_s=dates[0],
        not_after_s=dates[1],
        engine=ENGINE,
        files=entries_of(files),
    )
    bundle = assemble(manifest, files)
    _write(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return bundle


def _files(folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            if len(found) > POLICY_FILES:
                raise HoldfastError(Code.TOO_LARGE, f"{folder} has more than {POLICY_FILES} files.")
            with path.open("rb") as file:
                found[path.name] = file.read(POLICY_BYTES + 1)
    except OSError as error:
        raise HoldfastError(
            Code.BAD_REQUEST, f"{folder} cannot be read: {error.strerror}."
        ) from error
    return found


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise HoldfastError(
            Code.BAD_REQUEST, f"{path} cannot be written: {error.strerror}."
        ) from error
