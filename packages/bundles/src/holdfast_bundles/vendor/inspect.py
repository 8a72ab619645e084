"""What a stick says it holds. Without a root nothing of it is proven, and the answer says so."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import MANIFEST_BYTES

from holdfast_bundles import layout, manifest
from holdfast_bundles.logic.names import release_of_target
from holdfast_bundles.manifest import digest_of
from holdfast_bundles.media import Stick
from holdfast_bundles.vendor import models
from holdfast_bundles.vendor.metadata import SignedRelease
from holdfast_bundles.vendor.models import StickModel
from holdfast_bundles.vendor.verify import verify_stick


class FileLine(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model."""

    name: str
    digest: str
    size_bytes: int


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a stick; ``probes`` counts its golden probes."""

    name: str
    version: str
    digest: str
    size_bytes: int
    license: str
    architecture: str
    format: str
    parents: list[str]
    probes: int
    files: list[FileLine]


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a stick holds; ``verified`` only where a root was given and everything matched it."""

    verified: bool
    models: list[ModelLine]


def inspect_stick(path: Path, root: bytes | None, now: datetime) -> Inspection:
    """Return the stick's contents; with a ``root`` everything is verified first.

    Raises as :func:`verify_stick` does, and ``BUNDLE_MISSING`` for a stick without any model.
    """
    if root is not None:
        verified = verify_stick(path, root, now)
        return Inspection(verified=True, models=[_line(model) for model in verified.models])
    with Stick.open(path) as stick:
        found = [_line(model) for model in _unproven(stick)]
    if not found:
        raise HoldfastError(Code.BUNDLE_MISSING, f"No model lies in {path}.")
    return Inspection(verified=False, models=found)


def _unproven(stick: Stick) -> list[StickModel]:
    found: list[StickModel] = []
    for vendor in models.vendors(stick):
        for name in models.manifests(stick, vendor):
            data = stick.read(layout.target(vendor, name), MANIFEST_BYTES)
            assert data is not None
            claimed = SignedRelease(release_of_target(name), digest_of(data), len(data), 0)
            found.append(models.read_model(stick, claimed, data))
    return found


def _line(model: StickModel) -> ModelLine:
    probes = model.manifest.probes
    count = 0
    if probes is not None:
        count = len(msgspec.json.decode(model.documents[probes.digest], type=list[msgspec.Raw]))
    return ModelLine(
        name=model.signed.release.name,
        version=model.signed.release.version,
        digest=model.signed.digest,
        size_bytes=sum(blob.size for blob in model.manifest.blobs) + model.signed.length,
        license=model.licence,
        architecture=model.config.config.architecture,
        format=model.config.config.format,
        parents=model.manifest.parents,
        probes=count,
        files=[
            FileLine(
                name=layer.annotations[manifest.FILEPATH],
                digest=layer.digest,
                size_bytes=layer.size,
            )
            for layer in model.manifest.layers
            if manifest.FILEPATH in layer.annotations
        ],
    )
