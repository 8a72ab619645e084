"""Models on a node: fetched by ranges against a ticket, verified, kept by digest.

What is to be fetched stands in the manifest that officers approved, read from the node's own
verified trust; the desired document only says from where. Every load hashes the weights again:
random bytes of the right length load and answer in llama.cpp (measured).
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from holdfast_bundles import manifest
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.logic.chunks import parse as parse_chunks
from holdfast_bundles.manifest import Descriptor
from holdfast_bundles.range import client
from holdfast_bundles.site.view import SiteView
from holdfast_protocol.codec import decode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import Placement
from holdfast_protocol.signed import SignedDocument, to_header

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ModelFiles:
    """A model on this node, every byte verified; ``probes`` is the signed file's content."""

    weights: Path
    probes: bytes | None


class Artifacts:
    """The node's own store below ``folder``, by digest."""

    def __init__(self, folder: Path, tls: ssl.SSLContext) -> None:
        self._folder = folder
        self._tls = tls
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def fetch(self, placement: Placement, view: SiteView, progress: Progress) -> ModelFiles:
        """Return the placement's files, fetching what is not here.

        Raises ``NOT_APPROVED`` where the node's own trust holds no such approval,
        ``REPOS_DISAGREE`` where it names other bytes, and what fetching raises.
        """
        approval = view.approval(placement.model, placement.version)
        if approval is None or approval.manifest is None:
            raise HoldfastError(
                Code.NOT_APPROVED, f"{placement.model}@{placement.version} is not approved here."
            )
        digest = manifest.digest_of(approval.manifest)
        if digest != placement.manifest_digest or digest != approval.digest:
            raise HoldfastError(
                Code.REPOS_DISAGREE, f"{placement.model}@{placement.version} has another digest."
            )
        listed = manifest.parse(approval.manifest)
        probe_file: bytes | None = None
        if listed.probes is not None:
            probe_file = (await self._get(placement, listed.probes, None, _quiet)).read_bytes()
        index: ChunkIndex | None = None
        if listed.chunk_index is not None:
            path = await self._get(placement, listed.chunk_index, None, _quiet)
            index = parse_chunks(path.read_bytes(), listed.weights.size, "chunk index")
        weights = await self._get(placement, listed.weights, index, progress)
        return ModelFiles(weights=weights, probes=probe_file)

    async def _get(
        self,
        placement: Placement,
        blob: Descriptor,
        index: ChunkIndex | None,
        progress: Progress,
    ) -> Path:
        """Return where ``blob`` lies on this node; every byte of it was hashed just now."""
        path = self._folder / blob.digest.removeprefix("sha256:")
        if path.exists() and await asyncio.to_thread(_sha256, path) == blob.digest:
            progress(blob.size, blob.size)
            return path
        path.unlink(missing_ok=True)
        source = client.Source(
            urls=placement.blobs_urls,
            ticket=to_header(decode(placement.ticket, SignedDocument)),
            tls=self._tls,
        )
        wanted = client.Wanted(digest=blob.digest, size_bytes=blob.size, chunks=index)
        await client.fetch(source, wanted, path, progress)
        return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _quiet(_done: int, _total: int) -> None:
    """Small files need no progress."""
