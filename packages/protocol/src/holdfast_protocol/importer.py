"""What the controller and the importer say to each other over the local socket.

The controller asks, the importer answers each request with exactly one reply. Every request may
be sent again at any time: starting twice resumes, promoting or discarding twice changes nothing.
Unknown fields from a newer peer are ignored, unknown tags are refused.
"""

from __future__ import annotations

import enum

import msgspec


class ImportState(enum.StrEnum):
    """Where one import stands; ``paused`` goes on when it is started again."""

    VERIFYING = "verifying"
    COPYING = "copying"
    CHECKING = "checking"
    QUARANTINED = "quarantined"
    PAUSED = "paused"
    FAILED = "failed"
    PROMOTED = "promoted"


class VendorVersions(msgspec.Struct, frozen=True, kw_only=True):
    """Highest versions of a vendor's metadata seen, with the keys that signed the online roles.

    The marks of ``timestamp`` and ``snapshot`` hold for the named keys only: when the root names
    other keys, they start anew (fast-forward recovery). Those of ``root``, ``targets`` and
    ``roles`` never do.
    """

    root: int
    timestamp: int
    snapshot: int
    targets: int
    roles: dict[str, int] = {}
    timestamp_keys: list[str] = []
    snapshot_keys: list[str] = []


class WeightsBlob(msgspec.Struct, frozen=True, kw_only=True):
    """The blob that an engine loads."""

    digest: str
    size_bytes: int
    chunks_digest: str | None = None


class ImportedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One verified model in quarantine: everything the officers and the controller need of it.

    ``manifest`` holds the verified bytes of the manifest; ``digests`` names every blob of the
    model, the manifest's own first. ``kv_bytes_per_token`` is for 16-bit keys and values.
    """

    name: str
    version: str
    target: str
    manifest_digest: str
    manifest_length: int
    size_bytes: int
    license: str
    format: str
    architecture: str
    parents: list[str]
    bom_digest: str
    probes_digest: str | None
    manifest: bytes
    weights: WeightsBlob
    digests: list[str]
    operations: list[str]
    context_length: int
    embedding_length: int
    kv_bytes_per_token: int
    release_seq: int
    vendor_versions: VendorVersions
    signers: list[str]
    promoted: bool = False


class ImportFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why an import stopped, as in the table of codes."""

    code: str
    message: str
    file: str | None = None


class StartImport(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """Import the bundle below ``path``; resumes when ``import_id`` is known already.

    ``vendor_roots`` are the pinned roots of the vendors whom the site trusts, ``marks`` the
    versions the controller remembers for them (a copy of the importer's own).
    """

    import_id: str
    path: str
    vendor_roots: dict[str, bytes]
    marks: dict[str, VendorVersions] = {}


class ImportStatus(msgspec.Struct, frozen=True, kw_only=True, tag="status"):
    """Tell where ``import_id`` stands."""

    import_id: str


class Promote(msgspec.Struct, frozen=True, kw_only=True, tag="promote"):
    """Move a model (or with an empty digest all models of the import) into the store."""

    import_id: str
    manifest_digest: str = ""


class Discard(msgspec.Struct, frozen=True, kw_only=True, tag="discard"):
    """Remove what the import holds in quarantine; what was promoted stays."""

    import_id: str


class ReadDocument(msgspec.Struct, frozen=True, kw_only=True, tag="read"):
    """Return a small blob (manifest, probes, BOM) from the store or from quarantine."""

    digest: str


class Importing(msgspec.Struct, frozen=True, kw_only=True, tag="importing"):
    """Where an import stands; ``isolation`` says how the gate was shut in, once it ran."""

    import_id: str
    state: ImportState
    bytes_done: int = 0
    bytes_total: int = 0
    file: str | None = None
    models: list[ImportedModel] = []
    skipped_vendors: list[str] = []
    isolation: str | None = None
    error: ImportFault | None = None


class Document(msgspec.Struct, frozen=True, kw_only=True, tag="document"):
    """A small blob, its digest verified when read."""

    digest: str
    data: bytes


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The request itself was not carried out."""

    error: ImportFault


ImporterRequest = StartImport | ImportStatus | Promote | Discard | ReadDocument
ImporterReply = Importing | Document | Refused
