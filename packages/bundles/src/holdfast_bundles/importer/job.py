"""One import, step by step: verify, reserve, copy, judge; then it waits in quarantine.

Synchronous on purpose: it runs in a thread of its own and may be killed after any instruction.
Whatever it has to repeat afterwards, it repeats; what it had proven, it keeps. The stick's
metadata is copied to memory once and never read again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import (
    ImportedModel,
    ImportFault,
    Importing,
    ImportState,
    StartImport,
    WeightsBlob,
)

from holdfast_bundles import blobs
from holdfast_bundles.importer import sandbox
from holdfast_bundles.importer.copying import copy_blob, held_bytes, write_document
from holdfast_bundles.importer.quarantine import Quarantine
from holdfast_bundles.importer.trust_store import TrustStore
from holdfast_bundles.logic.gguf_header import GgufFacts
from holdfast_bundles.manifest import Descriptor
from holdfast_bundles.media import Stick
from holdfast_bundles.store import Store, local_disk
from holdfast_bundles.vendor import metadata, models
from holdfast_bundles.vendor.metadata import VendorMetadata
from holdfast_bundles.vendor.models import StickModel
from holdfast_bundles.vendor.verify import signed_models

_GOES_ON = frozenset({Code.MEDIA_LOST, Code.BLOB_MISSING, Code.DISK_FULL, Code.CANCELLED})
"""After these the import waits and goes on when it is started again; all others end it."""


class Home(NamedTuple):
    """Where this importer works and how much room it leaves."""

    store_dir: Path
    media_roots: tuple[Path, ...]
    reserve_bytes: int


class _Found(NamedTuple):
    """A verified model with the vendor's metadata that vouches for it."""

    model: StickModel
    vendor: VendorMetadata


class _Progress:
    """The state others see while the job runs, and the way to stop it."""

    def __init__(self, import_id: str, publish: Callable[[Importing], None]) -> None:
        self._publish = publish
        self._state = Importing(import_id=import_id, state=ImportState.VERIFYING)
        self._before = 0
        self.stop = False

    def enter(self, state: ImportState, bytes_total: int = 0) -> None:
        """Begin the next step."""
        self._state = Importing(
            import_id=self._state.import_id,
            state=state,
            bytes_done=self._state.bytes_done,
            bytes_total=bytes_total or self._state.bytes_total,
        )
        self._publish(self._state)

    def finished_blob(self, size_bytes: int) -> None:
        """Count a blob that lies in quarantine."""
        self._before += size_bytes

    def tell(self, done: int, file: str) -> None:
        """Publish the progress of the current blob; raises ``CANCELLED`` when asked to stop."""
        if self.stop:
            raise HoldfastError(Code.CANCELLED, "The importer is going down; the import waits.")
        self._state = Importing(
            import_id=self._state.import_id,
            state=ImportState.COPYING,
            bytes_done=self._before + done,
            bytes_total=self._state.bytes_total,
            file=file or self._state.file,
        )
        self._publish(self._state)

    def ended(self, error: HoldfastError) -> Importing:
        """Return the state in which ``error`` leaves the import."""
        state = ImportState.PAUSED if error.code in _GOES_ON else ImportState.FAILED
        return Importing(
            import_id=self._state.import_id,
            state=state,
            bytes_done=self._state.bytes_done,
            bytes_total=self._state.bytes_total,
            error=ImportFault(code=error.code.value, message=error.message, file=error.file),
        )


class ImportJob:
    """One run of one import."""

    def __init__(
        self, home: Home, request: StartImport, publish: Callable[[Importing], None]
    ) -> None:
        self._home = home
        self._request = request
        self._quarantine = Quarantine(home.store_dir, request.import_id)
        self._store = Store(home.store_dir)
        self._trust = TrustStore(home.store_dir)
        self._progress = _Progress(request.import_id, publish)

    def stop(self) -> None:
        """Ask the run to end soon; callable from another thread."""
        self._progress.stop = True

    def run(self) -> Importing:
        """Return the state in which the import ends or waits; it is on disk by then.

        Expected failures are states with an error; only defects raise.
        """
        try:
            self._quarantine.prepare()
            final = self._steps()
        except HoldfastError as error:
            final = self._progress.ended(error)
        try:
            self._quarantine.save(final)
        except HoldfastError as error:
            final = self._progress.ended(error)
        return final

    def _steps(self) -> Importing:
        self._progress.enter(ImportState.VERIFYING)
        with open_media(self._home.media_roots, self._request.path) as stick:
            found, skipped = self._verify(stick)
            self._copy(stick, found)
        self._progress.enter(ImportState.CHECKING)
        imported = [_imported(item, self._judge(item.model)) for item in found]
        return Importing(
            import_id=self._request.import_id,
            state=ImportState.QUARANTINED,
            bytes_done=sum(model.size_bytes for model in imported),
            bytes_total=sum(model.size_bytes for model in imported),
            models=imported,
            skipped_vendors=skipped,
            isolation=sandbox.isolation(),
        )

    def _verify(self, stick: Stick) -> tuple[list[_Found], list[str]]:
        """Return (verified models, vendors on the stick whom this site does not trust)."""
        names = models.vendors(stick)
        known = [name for name in names if name in self._request.vendor_roots]
        skipped = [name for name in names if name not in known]
        if not known:
            raise HoldfastError(
                Code.VENDOR_UNKNOWN if names else Code.BUNDLE_MISSING,
                f"No vendor on this medium is trusted here ({', '.join(names) or 'none'}).",
            )
        found: list[_Found] = []
        for vendor in known:
            signed = self._verify_vendor(stick, vendor)
            found += [_Found(model, signed) for model in signed_models(stick, signed)[0]]
        return found, skipped

    def _verify_vendor(self, stick: Stick, vendor: str) -> VendorMetadata:
        files = models.read_metadata(stick, vendor)
        scratch = self._quarantine.trust(vendor)
        self._trust.copy_live(vendor, scratch)
        with local_disk():
            signed = metadata.verify(
                vendor, files, self._request.vendor_roots[vendor], scratch, datetime.now(UTC)
            )
        self._trust.require_not_below(vendor, signed.versions, self._request.marks.get(vendor))
        return signed

    def _copy(self, stick: Stick, found: list[_Found]) -> None:
        todo: dict[str, tuple[Descriptor, StickModel]] = {}
        for item in found:
            for digest, data in item.model.documents.items():
                write_document(self._quarantine.blob(digest), data)
            for blob in item.model.manifest.blobs:
                if blob.digest not in item.model.documents and not self._store.has(blob.digest):
                    todo.setdefault(blob.digest, (blob, item.model))
        self._progress.enter(ImportState.COPYING, sum(blob.size for blob, _ in todo.values()))
        waiting = [blob for blob, _ in todo.values() if not self._here(blob)]
        self._reserve(waiting)
        for blob in waiting:
            blobs.pieces(stick, blob)
        for blob, model in todo.values():
            index = model.chunk_index if blob == model.manifest.weights else None
            target = self._quarantine.blob(blob.digest)
            copy_blob(stick, blob, index, target, self._progress.tell)
            self._progress.finished_blob(blob.size)

    def _here(self, blob: Descriptor) -> bool:
        return self._quarantine.blob(blob.digest).exists()

    def _reserve(self, waiting: list[Descriptor]) -> None:
        """Raise ``DISK_FULL`` unless everything that is still to come fits beside the reserve."""
        needed = 0
        for blob in waiting:
            with local_disk():
                needed += max(0, blob.size - held_bytes(self._quarantine.blob(blob.digest)))
        with local_disk():
            free = shutil.disk_usage(self._home.store_dir).free
        if needed > free - self._home.reserve_bytes:
            raise HoldfastError(
                Code.DISK_FULL,
                f"The import needs {needed} bytes, {max(0, free - self._home.reserve_bytes)} "
                "are free beside the reserve.",
            )

    def _judge(self, model: StickModel) -> GgufFacts:
        digest = model.manifest.weights.digest
        quarantined = self._quarantine.blob(digest)
        path = quarantined if quarantined.exists() else self._store.path(digest)
        facts = sandbox.judge(path)
        if facts.architecture != model.config.config.architecture:
            raise HoldfastError(
                Code.MANIFEST_INVALID,
                f"{model.signed.release.name} is signed as {model.config.config.architecture[:40]} "
                f"but its weights are {facts.architecture}.",
            )
        return facts


def open_media(roots: tuple[Path, ...], path: str) -> Stick:
    """Return the stick at ``path``, which lies below one of ``roots``.

    Links are resolved first and the result is walked without following any. Raises
    ``PATH_REFUSED`` or ``BUNDLE_MISSING``.
    """
    if not os.path.isabs(path) or "\0" in path:
        raise HoldfastError(Code.PATH_REFUSED, "The path of a medium must be absolute.")
    real = Path(os.path.realpath(path))
    for root in roots:
        base = Path(os.path.realpath(root))
        if real.is_relative_to(base):
            return Stick.open_below(base, real.relative_to(base).parts)
    raise HoldfastError(Code.PATH_REFUSED, f"{path[:200]} is not below a media root of this site.")


def _imported(item: _Found, facts: GgufFacts) -> ImportedModel:
    model, signed = item.model, item.model.signed
    manifest = model.manifest
    probes = manifest.probes
    chunk_index = manifest.chunk_index
    return ImportedModel(
        name=signed.release.name,
        version=signed.release.version,
        target=signed.release.target,
        manifest_digest=signed.digest,
        manifest_length=signed.length,
        size_bytes=sum(blob.size for blob in manifest.blobs) + signed.length,
        license=model.licence,
        format=model.config.config.format,
        architecture=facts.architecture,
        parents=manifest.parents,
        bom_digest=manifest.bom.digest,
        probes_digest=probes.digest if probes is not None else None,
        manifest=model.documents[signed.digest],
        weights=WeightsBlob(
            digest=manifest.weights.digest,
            size_bytes=manifest.weights.size,
            chunks_digest=chunk_index.digest if chunk_index is not None else None,
        ),
        digests=[signed.digest, *(blob.digest for blob in manifest.blobs)],
        operations=facts.operations,
        context_length=facts.context_length,
        embedding_length=facts.embedding_length,
        kv_bytes_per_token=facts.kv_bytes_per_token,
        release_seq=signed.release_seq,
        vendor_versions=item.vendor.versions,
        signers=item.vendor.signers,
    )
