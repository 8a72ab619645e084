"""The bill of materials: CycloneDX 1.6 with lineage, made at build and compared at import.

``build`` is validated by the CycloneDX library's own schema, which refuses unknown keys. ``check``
compares a bill with the manifest it travels with: hashes, licence and ancestors must agree,
because a bill that speaks of other files is worse than none. The model card stays with the
document layers; lineage is ``pedigree.ancestors`` by the digest of the parent's manifest, as the
format's maintainers advise.
"""

from __future__ import annotations

import msgspec
from holdfast_protocol.codec import encode, strict_json
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import MANIFEST_BYTES

from holdfast_bundles.logic.names import Release
from holdfast_bundles.manifest import FILEPATH, Descriptor, Manifest


class _Hash(msgspec.Struct, frozen=True):
    alg: str
    content: str


class _License(msgspec.Struct, frozen=True, omit_defaults=True):
    expression: str


class _Ancestor(msgspec.Struct, frozen=True):
    type: str
    name: str
    hashes: list[_Hash]


class _Pedigree(msgspec.Struct, frozen=True):
    ancestors: list[_Ancestor] = []


class _Component(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    name: str
    hashes: list[_Hash]
    group: str = ""
    version: str = ""
    licenses: list[_License] = []
    pedigree: _Pedigree | None = None


class _Metadata(msgspec.Struct, frozen=True):
    component: _Component


class _Bom(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a CycloneDX document that we write and compare."""

    format: str = msgspec.field(name="bomFormat")
    spec_version: str = msgspec.field(name="specVersion")
    version: int
    metadata: _Metadata
    components: list[_Component]


def build(
    release: Release, licence: str, files: list[Descriptor], weights: str, parents: list[str]
) -> bytes:
    """Return the bill for ``files`` (layers with a path); ``weights`` is the weights' digest.

    Raises ``BOM_INVALID`` if the library's schema refuses it, which would be our defect.
    """
    component = _Component(
        type="machine-learning-model",
        group=release.vendor,
        name=release.name.partition("/")[2],
        version=release.version,
        hashes=[_hash(weights)],
        licenses=[_License(licence)],
        pedigree=_Pedigree(
            [_Ancestor("machine-learning-model", parent, [_hash(parent)]) for parent in parents]
        ),
    )
    data = encode(
        _Bom(
            format="CycloneDX",
            spec_version="1.6",
            version=1,
            metadata=_Metadata(component),
            components=[
                _Component("file", item.annotations[FILEPATH], [_hash(item.digest)])
                for item in files
            ],
        )
    )
    validate_schema(data)
    return data


def validate_schema(data: bytes) -> None:
    """Raise ``BOM_INVALID`` unless CycloneDX's strict schema for 1.6 accepts ``data``."""
    # The validator pulls in the whole schema library; only the builder needs it.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode("utf-8"))
    if fault is not None:
        raise _invalid(f"the CycloneDX schema refuses it ({str(fault.data)[:120]})")


def check(data: bytes, manifest: Manifest, release: Release, licence: str) -> None:
    """Raise ``BOM_INVALID`` unless the bill speaks of exactly this manifest's model."""
    value = strict_json(data, cap_bytes=MANIFEST_BYTES, name="bom.json", floats=True)
    try:
        bom = msgspec.convert(value, _Bom)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    if (bom.format, bom.spec_version) != ("CycloneDX", "1.6"):
        raise _invalid("it is not CycloneDX 1.6")
    main = bom.metadata.component
    if (f"{main.group}/{main.name}", main.version) != tuple(release):
        raise _invalid("it speaks of another model")
    if main.hashes != [_hash(manifest.weights.digest)]:
        raise _invalid("its hash is not that of the weights")
    if [item.expression for item in main.licenses] != [licence]:
        raise _invalid("its licence is not the manifest's")
    said = [_sha256(item.hashes) for item in main.pedigree.ancestors] if main.pedigree else []
    if said != manifest.parents:
        raise _invalid("its ancestors are not the manifest's parents")
    listed = {item.name: _sha256(item.hashes) for item in bom.components}
    files = {
        layer.annotations[FILEPATH]: layer.digest
        for layer in manifest.layers
        if FILEPATH in layer.annotations
    }
    if listed != files:
        raise _invalid("its files are not the manifest's")


def _hash(digest: str) -> _Hash:
    return _Hash("SHA-256", digest.removeprefix("sha256:"))


def _sha256(hashes: list[_Hash]) -> str:
    found = [item.content for item in hashes if item.alg == "SHA-256"]
    return f"sha256:{found[0]}" if len(found) == 1 else ""


def _invalid(why: str) -> HoldfastError:
    return HoldfastError(
        Code.BOM_INVALID, f"The bill of materials is not usable: {why[:200]}.", file="bom.json"
    )
