"""The sticks, models and vendors of simulated sites."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Final

from holdfast_protocol.importer import ImportedModel, VendorVersions, WeightsBlob
from holdfast_protocol.limits import GIB

from tests.vendor_roots import vendor_root

VENDOR: Final = "acme"
UNTRUSTED: Final = "mallory"
VENDOR_ROOT: Final = vendor_root()
BROKEN: Final = "acme/broken"
"""A model whose engine never passes its probes."""


def digest_of(data: bytes) -> str:
    """Return the digest of ``data`` as subjects of trust name it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Weights:
    """A model on a stick; ``size_gib`` decides how many of it fit on a device."""

    name: str
    version: str
    size_gib: int

    @property
    def reference(self) -> str:
        """``vendor/model@version``."""
        return f"{self.name}@{self.version}"

    @property
    def manifest(self) -> bytes:
        """The manifest's bytes."""
        return f'{{"model":"{self.reference}"}}'.encode()

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return digest_of(self.manifest)


STICKS: Final[dict[str, tuple[Weights, ...]]] = {
    "/media/one": (Weights("acme/small", "1", 2),),
    "/media/two": (Weights("acme/large", "1", 12), Weights(BROKEN, "1", 1)),
    "/media/three": (Weights("acme/small", "2", 5),),
    "/media/evil": (Weights("mallory/trojan", "1", 1),),
}
MODELS: Final = {one.digest: one for stick in STICKS.values() for one in stick}


@cache
def imported(weights: Weights, promoted: bool) -> ImportedModel:
    """Return what the importer says of a verified model."""
    blob = digest_of(weights.reference.encode())
    return ImportedModel(
        name=weights.name,
        version=weights.version,
        target=f"{weights.name}/{weights.version}/manifest.json",
        manifest_digest=weights.digest,
        manifest_length=len(weights.manifest),
        size_bytes=weights.size_gib * GIB,
        license="Apache-2.0",
        format="gguf",
        architecture="llama",
        parents=[],
        bom_digest=digest_of(b"bom"),
        probes_digest=None,
        manifest=weights.manifest,
        weights=WeightsBlob(digest=blob, size_bytes=weights.size_gib * GIB),
        digests=[weights.digest, blob],
        operations=["chat", "complete"],
        context_length=4096,
        embedding_length=64,
        kv_bytes_per_token=1024,
        release_seq=1,
        vendor_versions=VendorVersions(root=1, timestamp=1, snapshot=1, targets=1),
        signers=["aa", "bb"],
        promoted=promoted,
    )
