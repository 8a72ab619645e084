"""Names of things, checked before they become a key, a subject token, a label or a log line.

The shapes are the design's contract: ids and aliases ``[a-z0-9-]{1,63}``, versions
``[a-z0-9][a-z0-9.-]{0,62}``, digests ``sha256:<64 hex>``, jurisdictions exact and never folded.
"""

from __future__ import annotations

import re
from typing import Final, NewType

from holdfast_protocol.errors import Code, HoldfastError

Who = NewType("Who", str)
NodeId = NewType("NodeId", str)
AppId = NewType("AppId", str)
Alias = NewType("Alias", str)
Zone = NewType("Zone", str)
Jurisdiction = NewType("Jurisdiction", str)
Digest = NewType("Digest", str)
RequestId = NewType("RequestId", str)
"""A request that waits for officers, ``r-<n>``."""

_TOKEN: Final = re.compile(r"[a-z0-9-]{1,63}")
_VERSION: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_JURISDICTION: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?|BLOC-[A-Z0-9]{2,8}")
_MODEL: Final = re.compile(r"[a-z0-9-]{1,63}/[a-z0-9-]{1,63}")


def token(text: str, what: str = "name") -> str:
    """Return ``text`` if it is one subject token of ours; else raise ``BAD_NAME``."""
    if not _TOKEN.fullmatch(text):
        raise HoldfastError(Code.BAD_NAME, f"{what} {text[:80]!a} is not [a-z0-9-]{{1,63}}.")
    return text


def is_token(text: str) -> bool:
    """Tell whether ``text`` is one subject token of ours."""
    return _TOKEN.fullmatch(text) is not None


def version(text: str) -> str:
    """Return ``text`` if it is a version; else raise ``BAD_NAME``."""
    if not _VERSION.fullmatch(text):
        raise HoldfastError(
            Code.BAD_NAME, f"version {text[:80]!a} is not [a-z0-9][a-z0-9.-]{{0,62}}."
        )
    return text


def digest(text: str) -> Digest:
    """Return ``text`` as a digest; else raise ``BAD_NAME``."""
    if not _DIGEST.fullmatch(text):
        raise HoldfastError(Code.BAD_NAME, f"{text[:80]!a} is not sha256:<64 hex digits>.")
    return Digest(text)


def jurisdiction(text: str) -> Jurisdiction:
    """Return ``text`` as a jurisdiction id, exact, never folded; else raise ``BAD_NAME``."""
    if not _JURISDICTION.fullmatch(text):
        raise HoldfastError(
            Code.BAD_NAME, f"{text[:80]!a} is not a jurisdiction like DE, DE-BY or BLOC-EU."
        )
    return Jurisdiction(text)


def model_name(text: str) -> str:
    """Return ``text`` if it is ``vendor/model``; else raise ``BAD_NAME``."""
    if not _MODEL.fullmatch(text):
        raise HoldfastError(Code.BAD_NAME, f"model {text[:130]!a} is not VENDOR/MODEL.")
    return text


def model_reference(text: str) -> tuple[str, str]:
    """Return (``vendor/model``, version) of ``V/MODEL@N``; else raise ``BAD_NAME``."""
    name, at, number = text.partition("@")
    if not at:
        raise HoldfastError(Code.BAD_NAME, f"{text[:130]!a} is not VENDOR/MODEL@VERSION.")
    return model_name(name), version(number)
