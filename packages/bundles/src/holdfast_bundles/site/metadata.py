"""The choke point: bytes of one role file to TUF metadata, or a refusal. No I/O, no clock.

Every byte passes here before python-tuf stores it and again before it is believed from a cache,
because python-tuf checks none of this: duplicate keys, extra top-level keys, the role and site
(TUF signs neither), the version in the name, one key under two ids, a threshold above the keys.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from holdfast_protocol import codec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import TARGETS_BYTES
from tuf.api.exceptions import RepositoryError
from tuf.api.serialization import SerializationError
from tuf.api.serialization.json import JSONSerializer

from holdfast_bundles.site import names
from holdfast_bundles.site.keys import spki
from holdfast_bundles.site.tufapi import Key, Metadata, Root, Signed, Targets

_TYPES: Final = {"root": "root", "timestamp": "timestamp", "snapshot": "snapshot"}
FIELD: Final = "x-hf"


def when(now_s: float) -> datetime.datetime:
    """Return Unix time ``now_s`` as TUF takes it: whole seconds, in UTC."""
    return datetime.datetime.fromtimestamp(int(now_s), datetime.UTC)


def expires_s(signed: Signed) -> int:
    """Return the expiry of ``signed`` as Unix time."""
    return int(signed.expires.timestamp())


def binding(role: str, site: str) -> dict[str, Any]:
    """Return the fields that bind signed bytes to one role of one site."""
    return {FIELD: {"role": role, "site": site}}


def read(name: str, data: bytes, site: str) -> Metadata[Any]:
    """Return the metadata in ``data``, served as ``name``, for ``site``; signatures unchecked.

    Raises ``METADATA_MALFORMED``, ``SITE_BINDING`` (another role or site),
    ``METADATA_ROLLBACK`` (the version inside is not the one in the name) or ``PATH_REFUSED``.
    """
    role, version = names.parse_file(name)
    metadata = read_role(role, data, site)
    if version is not None and metadata.signed.version != version:
        raise HoldfastError(
            Code.METADATA_ROLLBACK,
            f"{name} holds version {metadata.signed.version}.",
            file=name,
        )
    return metadata


def read_role(role: str, data: bytes, site: str) -> Metadata[Any]:
    """Return the metadata in ``data`` as ``role`` of ``site``, whatever its version."""
    top = codec.strict_json(data, cap_bytes=names.cap_bytes(role), name=role)
    if not isinstance(top, dict) or set(top) != {"signatures", "signed"}:
        raise malformed(role, "it is not signatures and a signed part")
    return _bound(role, site, _parsed(role, data))


def read_payload(payload: bytes) -> Metadata[Any]:
    """Return unsigned metadata of the canonical ``payload`` that officers sign.

    Raises ``METADATA_MALFORMED`` if the bytes are not canonical: what is shown to a person must
    be exactly what is signed.
    """
    name = "the request"
    codec.strict_json(payload, cap_bytes=TARGETS_BYTES, name=name)
    metadata = _parsed(name, b'{"signatures":[],"signed":' + payload + b"}")
    if canonical(metadata) != payload:
        raise malformed(name, "it is not canonical")
    role, site = role_and_site(metadata.signed)
    return _bound(role, site, metadata)


def role_and_site(signed: Signed) -> tuple[str, str]:
    """Return the role and site that signed bytes are bound to; raises ``SITE_BINDING``."""
    bound = signed.unrecognized_fields.get(FIELD)
    if isinstance(bound, dict):
        role, site = bound.get("role"), bound.get("site")
        if isinstance(role, str) and isinstance(site, str) and names.is_role(role):
            return role, site
    raise HoldfastError(Code.SITE_BINDING, "The file names no role and site that it is for.")


def site_of(data: bytes) -> str:
    """Return the site that a role file names; raises ``SITE_BINDING`` or malformed."""
    return role_and_site(_parsed("A role file", data).signed)[1]


def role_of(data: bytes) -> str:
    """Return the role that a file names, for a file that came without a name."""
    codec.strict_json(data, cap_bytes=names.cap_bytes("no-"), name="A role file")
    return role_and_site(_parsed("A role file", data).signed)[0]


def unsigned(signed: Signed) -> Metadata[Any]:
    """Return ``signed`` without signatures yet."""
    # Metadata is generic over the four closed kinds; Signed is their common parent.
    return Metadata(cast(Any, signed))


def canonical(metadata: Metadata[Any]) -> bytes:
    """Return the bytes that signatures are over; raises ``METADATA_MALFORMED`` if none exist."""
    try:
        return metadata.signed_bytes
    except SerializationError as error:
        raise malformed("A role file", "it has no canonical form") from error


def file_bytes(metadata: Metadata[Any]) -> bytes:
    """Return a role file; made once, then stored and served verbatim."""
    return metadata.to_bytes(JSONSerializer(compact=True))


def check_keys(keys: Mapping[str, Key], file: str) -> None:
    """Raise ``METADATA_MALFORMED`` if one public key stands under two ids."""
    seen = {spki(key) for key in keys.values()}
    if len(seen) != len(keys):
        raise malformed(file, "one key stands under two ids")


def check_threshold(keyids: Iterable[str], threshold: int, keys: Mapping[str, Key]) -> None:
    """Raise ``METADATA_MALFORMED`` if ``threshold`` exceeds the keys that exist."""
    if not 0 < threshold <= len(set(keyids) & set(keys)):
        raise malformed("A role", "its threshold exceeds its keys")


def malformed(file: str, why: str) -> HoldfastError:
    """Return the refusal of ``file``."""
    return HoldfastError(Code.METADATA_MALFORMED, f"{file} is not acceptable: {why}.", file=file)


def _parsed(role: str, data: bytes) -> Metadata[Any]:
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except RepositoryError as error:
        raise malformed(role, "it is not TUF metadata") from error
    return metadata


def _bound(role: str, site: str, metadata: Metadata[Any]) -> Metadata[Any]:
    signed = metadata.signed
    if signed.type != _TYPES.get(role, "targets"):
        raise HoldfastError(Code.SITE_BINDING, f"{role} holds {signed.type} metadata.", file=role)
    if role_and_site(signed) != (role, site):
        raise HoldfastError(
            Code.SITE_BINDING, f"{role} was signed for another role or site.", file=role
        )
    if isinstance(signed, Root):
        check_keys(signed.keys, role)
        for entry in signed.roles.values():
            check_threshold(entry.keyids, entry.threshold, signed.keys)
    if isinstance(signed, Targets) and signed.delegations is not None:
        _check_delegations(role, signed)
    return metadata


def _check_delegations(role: str, signed: Targets) -> None:
    delegations = signed.delegations
    if delegations is None or names.bin_prefix(role) is not None:
        raise malformed(role, "a bin delegates nothing")
    check_keys(delegations.keys, role)
    if delegations.succinct_roles is not None:
        bins = delegations.succinct_roles
        check_threshold(bins.keyids, bins.threshold, delegations.keys)
    for entry in (delegations.roles or {}).values():
        check_threshold(entry.keyids, entry.threshold, delegations.keys)
