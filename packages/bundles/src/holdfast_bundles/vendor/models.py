"""The models that a stick holds: signed manifests with the small documents they name.

What is read here is read once and kept as bytes, so that nothing is judged on one reading and used
on another. Weights are not read here.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import is_token
from holdfast_protocol.limits import (
    DOCUMENT_BYTES,
    MANIFEST_BYTES,
    METADATA_FILES,
    METADATA_TOTAL_BYTES,
    TARGETS_BYTES,
)

from holdfast_bundles import blobs, bom, layout, licences, manifest
from holdfast_bundles.logic import chunks, probes
from holdfast_bundles.logic.names import metadata_file, vendor_name
from holdfast_bundles.manifest import Manifest, ModelConfig, digest_of
from holdfast_bundles.media import Stick
from holdfast_bundles.vendor.metadata import SignedRelease


class StickModel(NamedTuple):
    """A model on a stick, its manifest and documents verified, its weights not yet read.

    ``documents`` holds the bytes of the small blobs by digest, the manifest's own included.
    """

    signed: SignedRelease
    manifest: Manifest
    config: ModelConfig
    chunk_index: chunks.ChunkIndex | None
    documents: dict[str, bytes]

    @property
    def licence(self) -> str:
        """The SPDX expression."""
        return self.config.descriptor.licenses[0]


def vendors(stick: Stick) -> list[str]:
    """Return the vendors that the stick claims to carry, sorted."""
    return [name for name in stick.names(layout.TUF) if _is_vendor(name)]


def read_metadata(stick: Stick, vendor: str) -> dict[str, bytes]:
    """Return a vendor's metadata files, copied once; raises ``METADATA_MALFORMED`` at the caps."""
    folder = layout.metadata(vendor)
    files: dict[str, bytes] = {}
    total = 0
    for name in stick.names(folder):
        if not _is_metadata(name):
            continue
        data = stick.read(f"{folder}/{name}", TARGETS_BYTES)
        if data is None:
            continue
        files[name] = data
        total += len(data)
        if len(files) > METADATA_FILES or total > METADATA_TOTAL_BYTES:
            raise HoldfastError(
                Code.METADATA_MALFORMED, f"The metadata of {vendor} is too large.", file=folder
            )
    return files


def manifests(stick: Stick, vendor: str) -> list[str]:
    """Return the target names whose manifests lie on the stick for ``vendor``, signed or not."""
    found: list[str] = []
    for model in stick.names(layout.target(vendor, vendor)):
        for version in stick.names(layout.target(vendor, f"{vendor}/{model}")):
            name = f"{vendor}/{model}/{version}/manifest.json"
            if stick.size_bytes(layout.target(vendor, name)) is not None:
                found.append(name)
    return found


def read_manifest(stick: Stick, signed: SignedRelease) -> bytes | None:
    """Return the signed manifest, or None where this stick does not carry it.

    Raises ``BLOB_DIGEST`` where the file is not the one that was signed.
    """
    name = layout.target(signed.release.vendor, signed.release.target)
    data = stick.read(name, MANIFEST_BYTES)
    if data is None:
        return None
    if len(data) != signed.length or digest_of(data) != signed.digest:
        raise HoldfastError(
            Code.BLOB_DIGEST,
            f"{name} does not hold the bytes that were signed.",
            file=layout.on_stick(name),
        )
    return data


def read_model(stick: Stick, signed: SignedRelease, data: bytes) -> StickModel:
    """Return the model whose manifest is ``data``; raises what its documents deserve.

    ``MANIFEST_INVALID``, ``BOM_INVALID``, ``LICENSE_INVALID``, ``METADATA_MALFORMED``,
    ``BLOB_DIGEST`` or ``BLOB_MISSING``.
    """
    parsed = manifest.parse(data)
    documents = {signed.digest: data}
    for item in (parsed.config, parsed.bom, parsed.probes, parsed.chunk_index):
        if item is not None:
            documents[item.digest] = blobs.read_small(stick, item, DOCUMENT_BYTES)
    config = manifest.parse_config(documents[parsed.config.digest], parsed, signed.release)
    licence = config.descriptor.licenses[0]
    licences.normalise(licence)
    bom.check(documents[parsed.bom.digest], parsed, signed.release, licence)
    if parsed.probes is not None:
        probes.parse(documents[parsed.probes.digest], "probes.json")
    index = None
    if parsed.chunk_index is not None:
        index = chunks.parse(
            documents[parsed.chunk_index.digest], parsed.weights.size, "chunks.json"
        )
    return StickModel(signed, parsed, config, index, documents)


def _is_vendor(name: str) -> bool:
    return is_token(name) and _accepts(vendor_name, name)


def _is_metadata(name: str) -> bool:
    return _accepts(metadata_file, name)


def _accepts(check: object, name: str) -> bool:
    assert callable(check)
    try:
        check(name)
    except HoldfastError:
        return False
    return True
