"""A policy bundle: the manifest and the files it names, as one document that officers sign.

The document is canonical: it is read only where writing it again gives the same bytes, so a key
that stands twice, a blank or a field nobody knows is refused. Values only; nothing here parses
Cedar.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from holdfast_protocol.codec import decode, encode, strict_json
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import (
    COUNT_MAX,
    POLICY_BUNDLE_BYTES,
    POLICY_BYTES,
    POLICY_FILES,
    POLICY_LIFE_S,
)

from holdfast_policy.logic.policy_text import PolicyText, guarded, invalid

FORMAT: Final = 1
ENGINE: Final = "cedar-4.12"
MANIFEST: Final = "manifest.json"
SCHEMA: Final = "schema.cedarschema"
GOLDEN: Final = "golden.json"
_CEDAR: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.cedar")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file must be: its SHA-256 in hex and its length."""

    sha256: str
    size_bytes: Count


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle says of itself; dates are Unix time.

    ``serial`` only rises; ``prev_digest`` is the digest of the bundle it takes the place of, None
    where the product's own policy was in force.
    """

    format: Count
    serial: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
    prev_digest: str | None
    effective_from_s: Count
    not_after_s: Count
    engine: str
    files: dict[str, FileEntry]


class PolicyBundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A manifest with its files' texts, as :func:`read_bundle` and :func:`assemble` make them."""

    manifest: Manifest
    texts: dict[str, str]

    @property
    def text(self) -> PolicyText:
        """The policy: its schema, and every Cedar file in the order of their names."""
        cedar = [text for name, text in sorted(self.texts.items()) if _CEDAR.fullmatch(name)]
        return PolicyText(schema=self.texts[SCHEMA], policies="\n".join(cedar))

    @property
    def golden(self) -> bytes:
        """The golden decisions, JSON."""
        return self.texts[GOLDEN].encode()

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` of the document."""
        return "sha256:" + hashlib.sha256(document(self)).hexdigest()


def document(bundle: PolicyBundle) -> bytes:
    """Return the canonical bytes of ``bundle``."""
    return encode(bundle)


def read_bundle(data: bytes) -> PolicyBundle:
    """Return the bundle in the document ``data``; raises ``POLICY_INVALID``."""
    if len(data) > POLICY_BUNDLE_BYTES:
        raise invalid(f"it has more than {POLICY_BUNDLE_BYTES} bytes")
    try:
        bundle = decode(data, PolicyBundle)
    except HoldfastError as error:
        raise invalid(f"it is no bundle: {error.message.rstrip('.')}") from error
    _check(bundle)
    if document(bundle) != data:
        raise invalid("it is not written canonically")
    return bundle


def read_manifest(data: bytes) -> Manifest:
    """Return the manifest in a file that a person wrote; raises ``POLICY_INVALID``."""
    try:
        value = strict_json(data, cap_bytes=POLICY_BYTES, name=MANIFEST)
        return msgspec.convert(value, Manifest)
    except (HoldfastError, msgspec.ValidationError) as error:
        said = error.message if isinstance(error, HoldfastError) else str(error)
        raise invalid(f"{MANIFEST} does not fit: {said.rstrip('.')}") from error


def assemble(manifest: Manifest, files: Mapping[str, bytes]) -> PolicyBundle:
    """Return the bundle of ``files`` (by name, without the manifest); raises ``POLICY_INVALID``."""
    texts: dict[str, str] = {}
    for name, data in sorted(files.items()):
        try:
            texts[name] = data.decode("ascii")
        except UnicodeDecodeError as error:
            raise invalid(f"{name[:80]!a} is not plain ASCII") from error
    bundle = PolicyBundle(manifest=manifest, texts=texts)
    _check(bundle)
    if len(document(bundle)) > POLICY_BUNDLE_BYTES:
        raise invalid(f"it has more than {POLICY_BUNDLE_BYTES} bytes")
    return bundle


def entries_of(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Return what a manifest must say of ``files``."""
    return {
        name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        for name, data in sorted(files.items())
    }


def _check(bundle: PolicyBundle) -> None:
    manifest = bundle.manifest
    if manifest.format != FORMAT:
        raise invalid(f"its format is {manifest.format}, and {FORMAT} is known here")
    if manifest.engine != ENGINE:
        raise invalid(f"it is for the engine {manifest.engine[:80]!a}, and {ENGINE} is here")
    if manifest.prev_digest is not None and not _DIGEST.fullmatch(manifest.prev_digest):
        raise invalid("prev_digest is no digest")
    life_s = manifest.not_after_s - manifest.effective_from_s
    if not 0 < life_s <= POLICY_LIFE_S:
        raise invalid(f"it ends before it begins, or lives for more than {POLICY_LIFE_S} s")
    _check_files(bundle)


def _check_files(bundle: PolicyBundle) -> None:
    named, texts = bundle.manifest.files, bundle.texts
    if len(texts) > POLICY_FILES:
        raise invalid(f"it has more than {POLICY_FILES} files")
    if named.keys() != texts.keys():
        odd = sorted(named.keys() ^ texts.keys())[0]
        raise invalid(f"manifest and files differ in {odd[:80]!a}")
    for name in sorted(texts):
        if name not in (SCHEMA, GOLDEN) and not _CEDAR.fullmatch(name):
            raise invalid(f"{name[:80]!a} is no file of a policy")
        guarded(texts[name], name) if name != GOLDEN else _plain(texts[name])
    if entries_of({name: text.encode() for name, text in texts.items()}) != named:
        raise invalid("a file is not what the manifest says")
    for name in (SCHEMA, GOLDEN):
        if name not in texts:
            raise invalid(f"{name} is missing")
    guarded(bundle.text.policies, "its policies together")


def _plain(text: str) -> None:
    if not text.isascii():
        raise invalid(f"{GOLDEN} is not plain ASCII")
