"""From quarantine into the store, or out without a trace; repeatable at any point."""

from __future__ import annotations

from pathlib import Path

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import ImportedModel, Importing, ImportState
from holdfast_protocol.limits import DOCUMENT_BYTES

from holdfast_bundles.importer.quarantine import Quarantine
from holdfast_bundles.importer.trust_store import TrustStore
from holdfast_bundles.store import Store, read_verified


def promote(store_dir: Path, import_id: str, manifest_digest: str) -> Importing:
    """Return the import after its model (all models for an empty digest) entered the store.

    The manifest comes last: once it is in the store, all it names is. Then the vendor's trust is
    accepted, then the state says so. Raises ``NOT_FOUND`` for an import or model that is not
    here, ``NOT_APPROVED`` for one that has not passed every gate, and ``STORE_FAILED``.
    """
    quarantine = Quarantine(store_dir, import_id)
    state = quarantine.load()
    if state.state not in (ImportState.QUARANTINED, ImportState.PROMOTED):
        raise HoldfastError(
            Code.NOT_APPROVED, f"Import {import_id} is {state.state}, not quarantined."
        )
    wanted = [item for item in state.models if manifest_digest in ("", item.manifest_digest)]
    if not wanted:
        raise HoldfastError(
            Code.NOT_FOUND, f"Import {import_id} holds no model {manifest_digest[:80]}."
        )
    store, trust = Store(store_dir), TrustStore(store_dir)
    for model in wanted:
        _admit(store, quarantine, model)
        vendor = model.name.partition("/")[0]
        trust.accept(vendor, model.vendor_versions, quarantine.trust(vendor))
    done = {model.manifest_digest for model in wanted}
    after = _after(state, done)
    if after != state:
        quarantine.save(after)
    if after.state is ImportState.PROMOTED:
        quarantine.drop_blobs()
    return after


def discard(store_dir: Path, import_id: str) -> Importing:
    """Remove the import; what was promoted stays in the store. Twice is as good as once."""
    quarantine = Quarantine(store_dir, import_id)
    quarantine.remove()
    return Importing(import_id=import_id, state=ImportState.FAILED)


def read_document(store_dir: Path, digest: str) -> bytes:
    """Return a small blob of the store or of a quarantined import, its digest verified.

    Raises ``NOT_FOUND``, ``TOO_LARGE`` or ``BLOB_DIGEST``.
    """
    store = Store(store_dir)
    name = store.path(digest).name
    if store.has(digest):
        return store.read(digest, DOCUMENT_BYTES)
    for path in sorted((store_dir / "imports").glob(f"*/blobs/{name}")):
        return read_verified(path, digest, DOCUMENT_BYTES)
    raise HoldfastError(Code.NOT_FOUND, f"There is no blob {digest} here.")


def _admit(store: Store, quarantine: Quarantine, model: ImportedModel) -> None:
    manifest, *blobs = model.digests
    for digest in [*blobs, manifest]:
        source = quarantine.blob(digest)
        if source.exists():
            store.admit(source, digest)
        elif not store.has(digest):
            raise HoldfastError(
                Code.IMPORT_FAILED, f"{digest} is neither in quarantine nor in the store."
            )


def _after(state: Importing, done: set[str]) -> Importing:
    models = [
        msgspec.structs.replace(item, promoted=item.promoted or item.manifest_digest in done)
        for item in state.models
    ]
    promoted = all(item.promoted for item in models)
    return msgspec.structs.replace(
        state,
        models=models,
        state=ImportState.PROMOTED if promoted else ImportState.QUARANTINED,
    )
