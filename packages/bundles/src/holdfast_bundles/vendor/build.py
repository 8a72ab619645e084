"""Putting a model on a stick: blobs, bill of materials, chunk index, manifest. Nothing is signed.

The same input gives the same manifest digest, whenever and wherever it is built: no dates, sorted
names, content only. Each file is read once; it is hashed while it is copied.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import digest as check_digest
from holdfast_protocol.limits import DOCUMENT_BYTES, GGUF_HEADER_BYTES, MODEL_FILES

from holdfast_bundles import bom, licences, manifest
from holdfast_bundles.blobs import Progress, quiet, shifted
from holdfast_bundles.logic import chunks, gguf_header, probes
from holdfast_bundles.logic.gguf_header import GgufFacts
from holdfast_bundles.logic.names import Release, distinct, model_file, vendor_name
from holdfast_bundles.manifest import Descriptor, Manifest
from holdfast_bundles.media import FOLDER
from holdfast_bundles.vendor.stick_writer import Cut, StickWriter

_DOCS: Final = (".md", ".txt")
_DOC_NAMES: Final = ("readme", "license", "licence", "notice", "copying")


class Source(NamedTuple):
    """What to build: a folder with one GGUF file, and what the vendor says about it."""

    folder: Path
    release: Release
    licence: str
    parents: tuple[str, ...] = ()
    probe_files: tuple[Path, ...] = ()


class Built(NamedTuple):
    """A model on the stick; ``skipped`` are hidden files that were left out."""

    release: Release
    manifest_digest: str
    size_bytes: int
    skipped: list[str]


class _File(NamedTuple):
    path: Path
    name: str
    media_type: str


def build(source: Source, stick: Path, cut: Cut | None = None, tell: Progress = quiet) -> Built:
    """Add the model to ``stick`` and return what was built.

    Raises ``FORMAT_REFUSED`` for files that have no place in a bundle, ``LICENSE_INVALID``,
    ``BAD_NAME``, ``METADATA_MALFORMED`` for a probe file, and ``DISK_FULL``.
    """
    cut = cut or Cut()
    vendor_name(source.release.vendor)
    licence = licences.normalise(source.licence)
    parents = [str(check_digest(parent)) for parent in source.parents]
    files, skipped = _classify(source.folder)
    facts = _facts(next(file.path for file in files if _is_weights(file)))
    probe_list = _probes(source.probe_files, facts)
    writer = StickWriter(stick / FOLDER, cut)
    total = sum(file.path.stat().st_size for file in files)
    layers: list[Descriptor] = []
    done = 0
    for file in files:
        layer = _copy(writer, file, shifted(tell, done, total))
        layers += layer
        done += layer[0].size
    named = [layer for layer in layers if manifest.FILEPATH in layer.annotations]
    weights = next(layer for layer in layers if layer.media_type == manifest.WEIGHTS_TYPE)
    bill = bom.build(source.release, licence, named, weights.digest, parents)
    layers.append(writer.add_bytes(bill, manifest.BOM_TYPE))
    if probe_list:
        layers.append(writer.add_bytes(probes.to_bytes(probe_list), probes.MEDIA_TYPE))
    config = writer.add_bytes(_config(source.release, licence, facts, layers), manifest.CONFIG_TYPE)
    data = manifest.to_bytes(_manifest(config, layers, parents))
    manifest.parse(data)
    writer.publish(source.release, data)
    size = sum(item.size for item in [config, *layers]) + len(data)
    return Built(source.release, manifest.digest_of(data), size, skipped)


def _classify(folder: Path) -> tuple[list[_File], list[str]]:
    """Return (files with their layer type, hidden names left out); only known kinds are taken."""
    if not folder.is_dir():
        raise HoldfastError(Code.NOT_FOUND, f"There is no folder {folder}.")
    files: list[_File] = []
    skipped: list[str] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in name.split("/")):
            skipped.append(name)
        elif path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise _refuse(name, "is a link or a device")
        elif path.is_file():
            files.append(_File(path, model_file(name), _media_type(name)))
    if len(files) > MODEL_FILES:
        raise _refuse(folder.name, f"holds more than {MODEL_FILES} files")
    distinct([file.name for file in files])
    weights = [file.name for file in files if _is_weights(file)]
    if len(weights) != 1:
        raise _refuse(folder.name, f"holds {len(weights)} GGUF files, not one")
    return files, skipped


def _media_type(name: str) -> str:
    last = name.rpartition("/")[2].lower()
    if last.endswith(".gguf"):
        return manifest.WEIGHTS_TYPE
    if last.endswith(_DOCS) or last.partition(".")[0] in _DOC_NAMES:
        return manifest.DOC_TYPE
    if last.endswith(".json"):
        return manifest.WEIGHTS_CONFIG_TYPE
    raise _refuse(name, "is of a kind that bundles do not carry")


def _is_weights(file: _File) -> bool:
    return file.media_type == manifest.WEIGHTS_TYPE


def _facts(path: Path) -> GgufFacts:
    with path.open("rb") as file:
        try:
            return gguf_header.parse(file.read(GGUF_HEADER_BYTES), os.fstat(file.fileno()).st_size)
        except HoldfastError as error:
            raise HoldfastError(error.code, error.message, file=path.name) from error


def _probes(files: tuple[Path, ...], facts: GgufFacts) -> list[probes.Probe]:
    found: list[probes.Probe] = []
    for path in files:
        try:
            data = path.read_bytes()[: DOCUMENT_BYTES + 1]
        except OSError as error:
            raise HoldfastError(Code.NOT_FOUND, f"The probe file {path} cannot be read.") from error
        found += probes.parse(data, path.name)
    if found:
        # Read again as one list: the bounds and the names hold for all files together.
        probes.parse(probes.to_bytes(found), "probes")
    for probe in found:
        if probe.op not in facts.operations:
            raise HoldfastError(
                Code.METADATA_MALFORMED,
                f"Probe {probe.name} asks for {probe.op}, which this model does not do.",
            )
    return found


def _copy(writer: StickWriter, file: _File, tell: Progress) -> list[Descriptor]:
    """Return the layer of ``file`` and, for weights, the layer of its chunk index."""
    copied = writer.add_file(file.path, tell)
    annotations = {manifest.FILEPATH: file.name}
    extra: list[Descriptor] = []
    if _is_weights(file):
        extra = [writer.add_bytes(chunks.to_bytes(copied.chunks), chunks.MEDIA_TYPE)]
        annotations[manifest.CHUNKS] = extra[0].digest
    return [
        Descriptor(
            media_type=file.media_type,
            digest=copied.digest,
            size=copied.size_bytes,
            annotations=annotations,
        ),
        *extra,
    ]


def _config(release: Release, licence: str, facts: GgufFacts, layers: list[Descriptor]) -> bytes:
    vendor, _, name = release.name.partition("/")
    return encode(
        manifest.ModelConfig(
            descriptor=manifest.ModelDescriptor(
                vendor=vendor, name=name, version=release.version, licenses=[licence]
            ),
            config=manifest.ModelProperties(
                architecture=facts.architecture,
                format="gguf",
                precision=facts.precision,
                param_size=str(facts.parameter_count),
            ),
            modelfs=manifest.ModelFs(type="layers", diff_ids=[item.digest for item in layers]),
        )
    )


def _manifest(config: Descriptor, layers: list[Descriptor], parents: list[str]) -> Manifest:
    return Manifest(
        schema_version=2,
        media_type=manifest.MANIFEST_TYPE,
        artifact_type=manifest.ARTIFACT_TYPE,
        config=config,
        layers=layers,
        annotations={manifest.PARENTS: ",".join(parents)} if parents else {},
    )


def _refuse(name: str, why: str) -> HoldfastError:
    return HoldfastError(Code.FORMAT_REFUSED, f"{name} {why}.", file=name)
