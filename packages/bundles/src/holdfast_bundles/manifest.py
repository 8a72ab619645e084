"""The manifest of a model: an OCI image manifest with CNCF ModelPack media types, raw layers.

Written when a bundle is built and read again by everyone who verifies one. Reading refuses what
this version does not know: archives, unknown layer types, a second weights file, paths that two
file systems read differently. Bytes in, values out.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from holdfast_protocol.codec import encode, strict_json
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import digest as check_digest
from holdfast_protocol.limits import MANIFEST_BYTES, MODEL_FILES

from holdfast_bundles.logic import chunks, probes
from holdfast_bundles.logic.names import Release, distinct, model_file

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE: Final = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.cncf.model.config.v1+json"
WEIGHTS_TYPE: Final = "application/vnd.cncf.model.weight.v1.raw"
WEIGHTS_CONFIG_TYPE: Final = "application/vnd.cncf.model.weight.config.v1.raw"
DOC_TYPE: Final = "application/vnd.cncf.model.doc.v1.raw"
BOM_TYPE: Final = "application/vnd.cyclonedx+json"
OMS_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
FILEPATH: Final = "org.cncf.model.filepath"
CHUNKS: Final = "org.holdfast.chunks"
PARENTS: Final = "org.holdfast.parents"
_LAYER_TYPES: Final = frozenset(
    {
        WEIGHTS_TYPE,
        WEIGHTS_CONFIG_TYPE,
        DOC_TYPE,
        BOM_TYPE,
        OMS_TYPE,
        chunks.MEDIA_TYPE,
        probes.MEDIA_TYPE,
    }
)
_PARENTS_MAX: Final = 16
_BLOB_BYTES_MAX: Final = 1 << 50


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A blob: its media type, digest, size in bytes and annotations."""

    media_type: str = msgspec.field(name="mediaType")
    digest: str
    size: int
    annotations: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OCI image manifest, as far as a model needs it."""

    schema_version: int = msgspec.field(name="schemaVersion")
    media_type: str = msgspec.field(name="mediaType")
    artifact_type: str = msgspec.field(name="artifactType")
    config: Descriptor
    layers: list[Descriptor]
    annotations: dict[str, str] = {}

    @property
    def weights(self) -> Descriptor:
        """The one layer that an engine loads."""
        return self._only(WEIGHTS_TYPE)

    @property
    def bom(self) -> Descriptor:
        """The bill of materials."""
        return self._only(BOM_TYPE)

    @property
    def probes(self) -> Descriptor | None:
        """The golden probes, where the vendor signed some."""
        found = [layer for layer in self.layers if layer.media_type == probes.MEDIA_TYPE]
        return found[0] if found else None

    @property
    def chunk_index(self) -> Descriptor | None:
        """The chunk index of the weights, where there is one."""
        named = self.weights.annotations.get(CHUNKS)
        found = [layer for layer in self.layers if layer.digest == named]
        return found[0] if found else None

    @property
    def parents(self) -> list[str]:
        """Digests of the manifests this model was made from."""
        text = self.annotations.get(PARENTS, "")
        return text.split(",") if text else []

    @property
    def blobs(self) -> list[Descriptor]:
        """Every blob once, small ones first: the order in which they are read."""
        unique = {item.digest: item for item in [self.config, *self.layers]}
        return sorted(unique.values(), key=lambda item: (item.size, item.digest))

    def _only(self, media_type: str) -> Descriptor:
        found = [layer for layer in self.layers if layer.media_type == media_type]
        if len(found) != 1:
            raise _invalid(f"it has {len(found)} layers of type {media_type}, not one")
        return found[0]


class ModelDescriptor(msgspec.Struct, frozen=True, kw_only=True):
    """Who made what under which licence (ModelPack ``descriptor``)."""

    vendor: str
    name: str
    version: str
    licenses: list[str]


class ModelProperties(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine must know beforehand (ModelPack ``config``)."""

    architecture: str
    format: str
    precision: str = ""
    param_size: str = msgspec.field(name="paramSize", default="")


class ModelFs(msgspec.Struct, frozen=True, kw_only=True):
    """Digests of the uncompressed layers, in order."""

    type: str
    diff_ids: list[str] = msgspec.field(name="diffIds")


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The ModelPack configuration blob."""

    descriptor: ModelDescriptor
    config: ModelProperties
    modelfs: ModelFs


def digest_of(data: bytes) -> str:
    """Return ``sha256:<hex>`` of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def to_bytes(manifest: Manifest) -> bytes:
    """Return the manifest's bytes: equal manifests give equal bytes."""
    return encode(manifest)


def parse(data: bytes, name: str = "manifest.json") -> Manifest:
    """Return the checked manifest; raises ``MANIFEST_INVALID`` or ``METADATA_MALFORMED``."""
    value = strict_json(data, cap_bytes=MANIFEST_BYTES, name=name)
    try:
        manifest = msgspec.convert(value, Manifest)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    if (manifest.schema_version, manifest.media_type, manifest.artifact_type) != (
        2,
        MANIFEST_TYPE,
        ARTIFACT_TYPE,
    ):
        raise _invalid("it is not a model manifest of a known version")
    if manifest.config.media_type != CONFIG_TYPE:
        raise _invalid("its configuration is of an unknown type")
    if not 0 < len(manifest.layers) <= MODEL_FILES:
        raise _invalid(f"it has {len(manifest.layers)} layers")
    for item in [manifest.config, *manifest.layers]:
        _check_descriptor(item)
    _check_layers(manifest)
    return manifest


def parse_config(data: bytes, manifest: Manifest, release: Release) -> ModelConfig:
    """Return the configuration if it speaks of ``release`` and of the manifest's layers."""
    value = strict_json(data, cap_bytes=MANIFEST_BYTES, name="config.json")
    try:
        config = msgspec.convert(value, ModelConfig)
    except msgspec.ValidationError as error:
        raise _invalid(f"its configuration does not fit: {error}") from error
    said = config.descriptor
    if Release(f"{said.vendor}/{said.name}", said.version) != release:
        raise _invalid(f"its configuration speaks of another model than {release.target}")
    if len(said.licenses) != 1:
        raise _invalid("it names no single licence expression")
    if config.modelfs.diff_ids != [layer.digest for layer in manifest.layers]:
        raise _invalid("its configuration lists other layers")
    return config


def _check_descriptor(item: Descriptor) -> None:
    try:
        check_digest(item.digest)
    except HoldfastError as error:
        raise _invalid(error.message) from error
    if not 0 <= item.size <= _BLOB_BYTES_MAX:
        raise _invalid(f"a blob of {item.size} bytes")


def _check_layers(manifest: Manifest) -> None:
    for layer in manifest.layers:
        if layer.media_type not in _LAYER_TYPES:
            raise _invalid(f"layers of type {layer.media_type[:80]!a} are not accepted")
    paths = [layer.annotations[FILEPATH] for layer in manifest.layers if _has_path(layer)]
    distinct([model_file(path) for path in paths])
    for layer in manifest.layers:
        if not _has_path(layer) and layer.media_type in (WEIGHTS_TYPE, WEIGHTS_CONFIG_TYPE):
            raise _invalid("a model file has no name")
    sizes: dict[str, int] = {}
    for item in [manifest.config, *manifest.layers]:
        if sizes.setdefault(item.digest, item.size) != item.size:
            raise _invalid("one digest stands with two sizes")
    if manifest.weights.size == 0 or manifest.bom.size > MANIFEST_BYTES:
        raise _invalid("its weights are empty or its bill of materials is too large")
    if CHUNKS in manifest.weights.annotations and manifest.chunk_index is None:
        raise _invalid("its chunk index is not among the layers")
    if len(manifest.parents) > _PARENTS_MAX:
        raise _invalid("it names too many parents")
    for parent in manifest.parents:
        _check_descriptor(Descriptor(media_type="", digest=parent, size=0))
    for small in (manifest.config, manifest.probes, manifest.chunk_index):
        if small is not None and small.size > MANIFEST_BYTES:
            raise _invalid("one of its documents is too large")


def _has_path(layer: Descriptor) -> bool:
    return FILEPATH in layer.annotations


def _invalid(why: str) -> HoldfastError:
    return HoldfastError(
        Code.MANIFEST_INVALID, f"The manifest is not usable: {why[:200]}.", file="manifest.json"
    )
