"""Facts of imports and models."""

from __future__ import annotations

from holdfast_controller.logic.facts.base import Fact


class ImportStarted(Fact, frozen=True, kw_only=True, tag="import-started"):
    """Somebody asked for the bundle below ``path``; the same again resumes."""

    id: str
    path: str
    by: str


class ImportPaused(Fact, frozen=True, kw_only=True, tag="import-paused"):
    """The import waits for its medium; starting it again goes on."""

    id: str
    code: str
    message: str
    file: str | None = None


class ImportFailed(Fact, frozen=True, kw_only=True, tag="import-failed"):
    """The import ended without a model."""

    id: str
    code: str
    message: str
    file: str | None = None


class ModelQuarantined(Fact, frozen=True, kw_only=True, tag="model-quarantined"):
    """A verified model lies in quarantine; what the site needs to know of it."""

    import_id: str
    name: str
    version: str
    target: str
    digest: str
    manifest: bytes
    size_bytes: int
    license: str
    format: str
    architecture: str
    parents: tuple[str, ...]
    bom_digest: str
    weights_digest: str
    weights_bytes: int
    digests: tuple[str, ...]
    operations: tuple[str, ...]
    context_length: int
    embedding_length: int
    kv_bytes_per_token: int
    vendor_root_version: int
    vendor_targets_version: int
    signers: tuple[str, ...]


class ImportWaiting(Fact, frozen=True, kw_only=True, tag="import-waiting"):
    """All is verified; ``requests`` wait for officers (none where all is approved already)."""

    id: str
    requests: tuple[str, ...]


class ModelAllowed(Fact, frozen=True, kw_only=True, tag="model-allowed"):
    """Officers approved a version with this digest."""

    name: str
    version: str
    digest: str


class ModelCommitted(Fact, frozen=True, kw_only=True, tag="model-committed"):
    """The importer confirmed that an approved model lies in the store."""

    digest: str


class ModelDiscarded(Fact, frozen=True, kw_only=True, tag="model-discarded"):
    """The importer confirmed that nothing of a rejected import stays in quarantine."""

    import_id: str
