"""What officers sign about a site, as values: no I/O, no signatures, no TUF.

Documents ride inside the role file that approves them (the target's ``custom``), so one file is
the whole approval. Unknown fields of newer writers are ignored, an unknown ``schema`` is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
from holdfast_protocol import codec, enrolment, ids
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import (
    ALIASES_PER_APP,
    BIN_BYTES,
    JURISDICTIONS_PER_LABEL,
    KIB,
    NAME_LENGTH,
)

T = TypeVar("T")

SCHEMA: Final = 1
MANIFEST_INLINE_BYTES: Final = 512 * KIB
TEXT_LENGTH: Final = 500
ZONES_PER_NODE: Final = 16
LIMITS_PER_NODE: Final = 32
LEVEL_MAX: Final = 100
_LEVEL: Final = re.compile(r"0|[1-9][0-9]{0,2}")


class Officer(msgspec.Struct, frozen=True, kw_only=True):
    """One person of the register: root key (in the safe) and daily key, raw Ed25519 in hex."""

    person: str
    root_keyid: str
    root_public: str
    daily_keyid: str
    daily_public: str


class SiteCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is, as officers signed it; ``not_after_s`` is Unix time."""

    node: str
    jurisdiction: str
    zones: tuple[str, ...]
    nats_public: str
    gateway_nats_public: str
    x25519_public: str
    tls_spki_sha256: str
    limits: dict[str, int]
    not_after_s: int
    gateway_tls_spki_sha256: str = ""

    @property
    def fingerprint(self) -> str:
        """What an officer compares with what the node shows of its keys."""
        keys = (
            self.nats_public,
            self.gateway_nats_public,
            self.x25519_public,
            self.tls_spki_sha256,
            self.gateway_tls_spki_sha256,
        )
        return enrolment.fingerprint(self.node, keys)


class AppRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What an application may, as officers signed it: the ceiling that a request only narrows.

    ``classification`` is a level, or ``scheme:level``. ``user_public`` is its NATS user key.
    """

    app: str
    zone: str
    residency: tuple[str, ...]
    classification: int | str
    purposes: tuple[str, ...]
    aliases: tuple[str, ...]
    user_public: str
    serial: int

    @property
    def level(self) -> int:
        """The classification's level, without its scheme."""
        return int(str(self.classification).rpartition(":")[2])


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """What an approval of a model rests on, beside the manifest's length and sha256."""

    vendor_root_version: int
    vendor_targets_version: int
    licence: str
    bom_sha256: str | None = None


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """What is denied (``sha256:<hex>``, ``key:<hex>``, ``app:<id>``, ``node:<id>``) and why."""

    what: str
    reason: str


class Custom(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The ``custom`` of a target: the document's exact bytes (base64), an approval's grounds.

    ``document`` is absent only where a manifest is too large to ride along.
    """

    schema: int
    document: bytes | None = None
    approval: Approval | None = None


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A request: the frozen canonical bytes of one role file that officers sign.

    ``threshold`` is what the frame asked for when it was proposed; readers ask the frame again.
    """

    role: str
    version: int
    payload: bytes
    sha256: str
    threshold: int
    target: str


class RequestSignature(msgspec.Struct, frozen=True, kw_only=True):
    """An officer's answer, small enough to carry by hand: all that ever travels back.

    ``sha256`` is that of the payload the officer saw; ``signature`` is in hex.
    """

    keyid: str
    sha256: str
    signature: str


def document_of(value: SiteCertificate | AppRecord | Denial) -> bytes:
    """Return the canonical bytes of a document: equal values give equal bytes."""
    return codec.encode(value)


def sha256_hex(data: bytes) -> str:
    """Return the sha256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()


def read_certificate(document: bytes) -> SiteCertificate:
    """Return the site certificate in ``document``; raises ``BAD_REQUEST`` or ``BAD_NAME``."""
    value = _read(document, SiteCertificate)
    ids.token(value.node, "node")
    ids.jurisdiction(value.jurisdiction)
    _tokens(value.zones, "zone", ZONES_PER_NODE)
    _tokens(tuple(value.limits), "limit", LIMITS_PER_NODE)
    for name in ("nats_public", "gateway_nats_public", "x25519_public", "tls_spki_sha256"):
        _short(getattr(value, name), name)
    if value.gateway_tls_spki_sha256:
        _short(value.gateway_tls_spki_sha256, "gateway_tls_spki_sha256")
    if value.not_after_s <= 0 or not value.zones:
        raise HoldfastError(
            Code.BAD_REQUEST, f"The certificate of {value.node} has no date or no zone."
        )
    return value


def read_app(document: bytes) -> AppRecord:
    """Return the application record in ``document``; raises ``BAD_REQUEST`` or ``BAD_NAME``."""
    value = _read(document, AppRecord)
    ids.token(value.app, "application")
    ids.token(value.zone, "zone")
    if not 0 < len(value.residency) <= JURISDICTIONS_PER_LABEL:
        raise HoldfastError(Code.BAD_REQUEST, f"The record of {value.app} has no residency.")
    for place in value.residency:
        ids.jurisdiction(place)
    _tokens(value.purposes, "purpose", JURISDICTIONS_PER_LABEL)
    _tokens(value.aliases, "alias", ALIASES_PER_APP)
    _short(value.user_public, "user_public")
    _classification(value)
    return value


def read_denial(document: bytes) -> Denial:
    """Return the denial in ``document``; raises ``BAD_REQUEST``."""
    return _read(document, Denial)


def within_defaults(record: AppRecord, zones: Mapping[str, str]) -> bool:
    """Tell whether one officer suffices for ``record``.

    ``zones`` maps zone to jurisdiction. Within the defaults: residency is exactly the zone's own
    jurisdiction, the classification is plain 0, no purpose. A scheme's zero and a part of a
    country count as wide, because only the registry could tell what they cover.
    """
    return (
        set(record.residency) == {zones.get(record.zone)}
        and record.classification == 0
        and not record.purposes
    )


def read_custom(value: object, target: str) -> Custom:
    """Return a target's ``custom``; raises ``METADATA_MALFORMED`` naming ``target``."""
    try:
        custom = msgspec.convert(value, Custom)
    except msgspec.ValidationError as error:
        raise HoldfastError(
            Code.METADATA_MALFORMED, f"What {target} carries does not fit: {error}.", file=target
        ) from error
    if custom.schema != SCHEMA:
        raise HoldfastError(
            Code.METADATA_MALFORMED,
            f"{target} is written in schema {custom.schema}, which is not known here.",
            file=target,
        )
    return custom


def short_text(text: str, what: str) -> str:
    """Return ``text`` if a person may sign it: short, printable, one line; else ``BAD_REQUEST``.

    Canonical JSON writes control characters raw, so they would also break every reader.
    """
    if len(text) > TEXT_LENGTH or not (text == "" or text.isprintable()):
        raise HoldfastError(
            Code.BAD_REQUEST, f"{what} is not one printable line of at most {TEXT_LENGTH}."
        )
    return text


def _read(document: bytes, kind: type[T]) -> T:
    value = codec.strict_json(document, cap_bytes=BIN_BYTES, name=kind.__name__)
    try:
        result = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise HoldfastError(
            Code.BAD_REQUEST, f"The {kind.__name__} does not fit: {error}."
        ) from error
    return result


def _tokens(names: tuple[str, ...], what: str, most: int) -> None:
    if len(names) > most or len(set(names)) != len(names):
        raise HoldfastError(Code.BAD_REQUEST, f"More than {most} of {what}, or one stands twice.")
    for name in names:
        ids.token(name, what)


def _short(text: str, what: str) -> None:
    if not 0 < len(text) <= NAME_LENGTH or not text.isalnum() or not text.isascii():
        raise HoldfastError(Code.BAD_REQUEST, f"{what} is not a key in letters and digits.")


def _classification(record: AppRecord) -> None:
    scheme, colon, level = str(record.classification).rpartition(":")
    if colon:
        ids.token(scheme, "scheme")
    if not _LEVEL.fullmatch(level) or int(level) > LEVEL_MAX:
        raise HoldfastError(
            Code.BAD_REQUEST, f"The classification of {record.app} is no level of 0 to {LEVEL_MAX}."
        )
