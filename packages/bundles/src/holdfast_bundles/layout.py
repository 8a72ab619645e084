"""Where things lie on a stick, below ``modelbundle``: pure names, no I/O.

Whole blobs are ``oci/blobs/sha256/<hex>``; larger ones are cut into ``<hex>.p0000``,
``<hex>.p0001`` and so on. Parts are mere framing: nothing signs them and anyone may cut anew.
"""

from __future__ import annotations

from typing import Final

BLOBS: Final = "oci/blobs/sha256"
TUF: Final = "tuf"
HINTS: Final = "BUNDLE.json"
PARTS_MAX: Final = 10_000


def blob(digest: str) -> str:
    """Return the name of a whole blob."""
    return f"{BLOBS}/{digest.removeprefix('sha256:')}"


def part(digest: str, index: int) -> str:
    """Return the name of one part of a blob."""
    return f"{blob(digest)}.p{index:04d}"


def metadata(vendor: str) -> str:
    """Return the folder of a vendor's metadata."""
    return f"{TUF}/{vendor}/metadata"


def target(vendor: str, name: str) -> str:
    """Return the name of the file that holds a vendor's target."""
    return f"{TUF}/{vendor}/targets/{name}"


def on_stick(name: str) -> str:
    """Return ``name`` as seen from the stick's top folder, for people."""
    return f"modelbundle/{name}"
