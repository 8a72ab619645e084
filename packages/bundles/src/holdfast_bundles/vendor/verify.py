"""Whether a stick is what its vendor signed: no site, no network, nothing kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import ROOT_BYTES

from holdfast_bundles import blobs, layout
from holdfast_bundles.blobs import Progress, quiet, shifted
from holdfast_bundles.media import Stick
from holdfast_bundles.vendor import metadata, models
from holdfast_bundles.vendor.metadata import VendorMetadata
from holdfast_bundles.vendor.models import StickModel


class Verified(NamedTuple):
    """A stick whose metadata, manifests and blobs are as ``vendor`` signed them.

    ``unchecked_vendors`` are others on the stick, about whom the given root says nothing;
    ``absent`` are releases that the vendor signed but that travel elsewhere.
    """

    vendor: str
    models: list[StickModel]
    signers: list[str]
    unchecked_vendors: list[str]
    absent: list[str]


def verify_stick(path: Path, root: bytes, now: datetime, tell: Progress = quiet) -> Verified:
    """Return what the stick at ``path`` proves from the pinned ``root`` at ``now``.

    Reads every blob. Raises a verification error of the table naming the file: ``BLOB_DIGEST``,
    ``BLOB_MISSING``, ``BAD_SIGNATURE``, ``METADATA_EXPIRED``, ``UNSIGNED`` and their kin.
    """
    with Stick.open(path) as stick, scratch() as trust:
        vendor = vendor_of_root(stick, root)
        files = models.read_metadata(stick, vendor)
        signed = metadata.verify(vendor, files, root, trust, now)
        present, absent = signed_models(stick, signed)
        _all_signed(stick, signed)
        _verify_blobs(stick, present, tell)
        others = [name for name in models.vendors(stick) if name != vendor]
        return Verified(vendor, present, signed.signers, others, absent)


def signed_models(stick: Stick, signed: VendorMetadata) -> tuple[list[StickModel], list[str]]:
    """Return (models on this stick, targets signed but not here); raises as their documents do."""
    present: list[StickModel] = []
    absent: list[str] = []
    for release in signed.releases:
        data = models.read_manifest(stick, release)
        if data is None:
            absent.append(release.release.target)
        else:
            present.append(models.read_model(stick, release, data))
    if not present:
        raise HoldfastError(
            Code.METADATA_MISSING,
            f"No model signed by {signed.vendor} lies on this medium.",
            file=layout.on_stick(layout.target(signed.vendor, signed.vendor)),
        )
    return present, absent


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield an empty folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        yield Path(folder)


def vendor_of_root(stick: Stick, root: bytes) -> str:
    """Return the vendor on the stick to whom ``root`` belongs.

    Raises ``BUNDLE_MISSING`` or ``UNSIGNED`` without any metadata, ``BAD_SIGNATURE`` where the
    root is nobody's here.
    """
    version = metadata.check_root(root)
    names = models.vendors(stick)
    if not names:
        raise HoldfastError(Code.BUNDLE_MISSING, "The medium holds no vendor's folder.")
    signed = [name for name in names if stick.size_bytes(f"{layout.metadata(name)}/timestamp.json")]
    if not signed:
        raise HoldfastError(
            Code.UNSIGNED, f"The bundle of {names[0]} is not signed.", file="timestamp.json"
        )
    for name in signed:
        carried = stick.read(f"{layout.metadata(name)}/{version}.root.json", ROOT_BYTES)
        if carried == root:
            return name
    if len(signed) > 1:
        raise HoldfastError(
            Code.BAD_SIGNATURE,
            f"None of the vendors here ({', '.join(signed)}) has this root.",
            file=f"{version}.root.json",
        )
    # One vendor: let the chain of roots and signatures speak, which names the file.
    return signed[0]


def _all_signed(stick: Stick, signed: VendorMetadata) -> None:
    """Raise ``UNSIGNED`` where a model was built onto the stick after it was signed."""
    known = {release.release.target for release in signed.releases}
    for name in models.manifests(stick, signed.vendor):
        if name not in known:
            raise HoldfastError(
                Code.UNSIGNED,
                f"{name} lies on the medium but is not signed.",
                file=layout.on_stick(layout.target(signed.vendor, name)),
            )


def _verify_blobs(stick: Stick, present: list[StickModel], tell: Progress) -> None:
    """Read every blob once, small ones first; missing files are found before the long reading."""
    todo = {
        blob.digest: (blob, model.chunk_index if blob == model.manifest.weights else None)
        for model in present
        for blob in model.manifest.blobs
        if blob.digest not in model.documents
    }
    for blob, _ in todo.values():
        blobs.pieces(stick, blob)
    total = sum(blob.size for blob, _ in todo.values())
    done = 0
    for blob, index in todo.values():
        blobs.verify(stick, blob, index, shifted(tell, done, total))
        done += blob.size
