"""What an approved manifest is made of: its blobs and its ancestors, as digests."""

from __future__ import annotations

from functools import lru_cache

from holdfast_protocol.errors import HoldfastError

from holdfast_bundles import manifest


# Asked for every slot several times a second, of a manifest that never changes.
@lru_cache(maxsize=256)
def kin(document: bytes | None) -> frozenset[str]:
    """Return the digests of every blob and parent that the manifest ``document`` names.

    Empty where there is none or it cannot be read: nothing is ever fetched for such an approval.
    """
    if document is None:
        return frozenset()
    try:
        read = manifest.parse(document)
    except HoldfastError:
        return frozenset()
    return frozenset([*(blob.digest for blob in read.blobs), *read.parents])
