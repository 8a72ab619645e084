"""Names inside bundles: targets, metadata files, and files of a model.

Checked before anything believes them: python-tuf lets ``acme/../x`` pass the glob ``acme/*/*``,
and a name that two file systems read differently is two files.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import is_token, model_name, version
from holdfast_protocol.limits import NAME_LENGTH, PATH_DEPTH

_METADATA: Final = re.compile(r"(?:([1-9][0-9]{0,9})\.)?([a-z][a-z0-9-]{0,62})\.json")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_DOS: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
TOP_ROLES: Final = frozenset({"root", "targets", "snapshot", "timestamp"})


class Release(NamedTuple):
    """One release of a model: ``name`` is ``vendor/model``."""

    name: str
    version: str

    @property
    def vendor(self) -> str:
        """The vendor's part of the name."""
        return self.name.partition("/")[0]

    @property
    def target(self) -> str:
        """The name of its TUF target."""
        return f"{self.name}/{self.version}/manifest.json"


def release_of_target(target: str) -> Release:
    """Return the release that a TUF target names; raises ``METADATA_MALFORMED``."""
    vendor, _, rest = target.partition("/")
    parts = rest.split("/")
    if len(parts) != 3 or parts[2] != "manifest.json":
        raise _malformed(target)
    try:
        return Release(model_name(f"{vendor}/{parts[0]}"), version(parts[1]))
    except HoldfastError as error:
        raise _malformed(target) from error


def vendor_name(text: str) -> str:
    """Return ``text`` if it may name a vendor (and so a TUF role); else ``BAD_NAME``."""
    if not is_token(text) or text in TOP_ROLES or not text[0].isalpha():
        raise HoldfastError(
            Code.BAD_NAME,
            f"vendor {text[:80]!a} is not a name of lower-case letters, digits and hyphens "
            "that begins with a letter.",
        )
    return text


def metadata_file(name: str) -> tuple[int | None, str]:
    """Return (version, role) of a metadata file's name; raises ``METADATA_MALFORMED``."""
    found = _METADATA.fullmatch(name)
    if not found:
        raise _malformed(name)
    number, role = found.groups()
    if (number is None) != (role == "timestamp"):
        raise _malformed(name)
    return (None if number is None else int(number)), role


def model_file(path: str) -> str:
    """Return ``path`` if every file system reads it alike; raises ``MANIFEST_INVALID``."""
    segments = path.split("/")
    fits = (
        0 < len(path) <= NAME_LENGTH * 2
        and len(segments) <= PATH_DEPTH
        and all(_SEGMENT.fullmatch(part) and len(part) <= NAME_LENGTH for part in segments)
        and not any(part.endswith(".") or _DOS.fullmatch(part.lower()) for part in segments)
    )
    if not fits:
        raise HoldfastError(
            Code.MANIFEST_INVALID, f"The file name {path[:120]!a} cannot travel safely."
        )
    return path


def distinct(paths: list[str]) -> None:
    """Raise ``MANIFEST_INVALID`` where two paths meet, by case or one as the other's folder."""
    folded = sorted(path.casefold() for path in paths)
    taken = set(folded)
    if len(taken) != len(folded):
        raise HoldfastError(Code.MANIFEST_INVALID, "Two files of the model have the same name.")
    for path in folded:
        parts = path.split("/")
        if any("/".join(parts[:depth]) in taken for depth in range(1, len(parts))):
            raise HoldfastError(
                Code.MANIFEST_INVALID, f"{path} lies below a name that is itself a file."
            )


def _malformed(name: str) -> HoldfastError:
    return HoldfastError(
        Code.METADATA_MALFORMED, f"The name {name[:120]!a} is not acceptable.", file=name[:120]
    )
