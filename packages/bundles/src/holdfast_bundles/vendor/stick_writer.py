"""Writing blobs, manifests and hints onto a stick so that a pulled stick is never half believed.

Blobs get their final name only when they are whole and on the medium; the manifest comes after its
blobs, the hints last.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from holdfast_protocol.codec import encode, strict_json
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import CHUNK_BYTES, COPY_BUFFER_BYTES, PART_BYTES, TARGETS_BYTES

from holdfast_bundles import layout, manifest
from holdfast_bundles.blobs import Progress
from holdfast_bundles.logic.chunks import ChunkIndex
from holdfast_bundles.logic.names import Release
from holdfast_bundles.manifest import Descriptor


class Cut(NamedTuple):
    """How blobs are cut: parts are framing, chunks are signed. Parts hold whole chunks."""

    part_bytes: int = PART_BYTES
    chunk_bytes: int = CHUNK_BYTES


class Copied(NamedTuple):
    """A file that lies on the stick as a blob."""

    digest: str
    size_bytes: int
    chunks: ChunkIndex


class StickWriter:
    """The one writer of a stick's ``modelbundle`` folder while a model is built."""

    def __init__(self, root: Path, cut: Cut) -> None:
        assert cut.part_bytes % cut.chunk_bytes == 0  # a chunk lies in one part
        self._root = root
        self._cut = cut
        with writing(root):
            (root / layout.BLOBS).mkdir(parents=True, exist_ok=True)
            write_atomically(root / "oci/oci-layout", encode({"imageLayoutVersion": "1.0.0"}))

    def add_bytes(self, data: bytes, media_type: str) -> Descriptor:
        """Write a small blob and return its descriptor."""
        digest = manifest.digest_of(data)
        path = self._root / layout.blob(digest)
        with writing(path):
            if not path.exists() or path.stat().st_size != len(data):
                write_atomically(path, data)
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    def add_file(self, source: Path, tell: Progress) -> Copied:
        """Copy ``source`` as a blob, cut into parts where it is larger than one."""
        whole = hashlib.sha256()
        chunk = hashlib.sha256()
        digests: list[str] = []
        size = source.stat().st_size
        done = 0
        with writing(source), source.open("rb") as file, _Parts(self._root, self._cut) as parts:
            while data := file.read(min(COPY_BUFFER_BYTES, self._cut.chunk_bytes)):
                whole.update(data)
                for piece in _split_at(data, done, self._cut.chunk_bytes):
                    chunk.update(piece)
                    done += len(piece)
                    if done % self._cut.chunk_bytes == 0:
                        digests.append(chunk.hexdigest())
                        chunk = hashlib.sha256()
                parts.write(data)
                tell(done, size)
            if done % self._cut.chunk_bytes:
                digests.append(chunk.hexdigest())
            digest = f"sha256:{whole.hexdigest()}"
            parts.name(digest)
        return Copied(digest, done, ChunkIndex(size=self._cut.chunk_bytes, sha256=digests))

    def publish(self, release: Release, data: bytes) -> None:
        """Write the manifest where TUF and OCI look for it, then the index and the hints."""
        descriptor = self.add_bytes(data, manifest.MANIFEST_TYPE)
        target = self._root / layout.target(release.vendor, release.target)
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data)
            self._index(release, descriptor)
            self._hints()
            _sync_folder(self._root)

    def _index(self, release: Release, descriptor: Descriptor) -> None:
        path = self._root / "oci/index.json"
        reference = f"{release.name}/{release.version}"
        key = "org.opencontainers.image.ref.name"
        kept: list[Any] = []
        if path.exists():
            value = strict_json(path.read_bytes(), cap_bytes=TARGETS_BYTES, name="index.json")
            listed = value.get("manifests", []) if isinstance(value, dict) else []
            kept = [
                item
                for item in listed
                if isinstance(item, dict) and item.get("annotations", {}).get(key) != reference
            ]
        entry = {
            "mediaType": descriptor.media_type,
            "artifactType": manifest.ARTIFACT_TYPE,
            "digest": descriptor.digest,
            "size": descriptor.size,
            "annotations": {key: reference},
        }
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [*kept, entry],
        }
        write_atomically(path, encode(index))

    def _hints(self) -> None:
        """Write what a person may be shown before anything is verified; nobody trusts it."""
        blobs = self._root / layout.BLOBS
        size = sum(item.stat().st_size for item in blobs.iterdir())
        vendors = sorted(item.name for item in (self._root / layout.TUF).iterdir())
        hints = {"format": 1, "volume": 1, "volumes": 1, "bytes": size, "vendors": vendors}
        write_atomically(self._root / layout.HINTS, encode(hints))


class _Parts:
    """The parts of one blob while its digest is not known yet; they lose their work on errors."""

    def __init__(self, root: Path, cut: Cut) -> None:
        self._folder = root / layout.BLOBS
        self._root = root
        self._cut = cut
        self._written: list[Path] = []
        self._descriptor = -1
        self._left = 0

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        for path in self._written:
            path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append ``data``, beginning a new part where one is full."""
        view = memoryview(data)
        while view:
            if self._left == 0:
                self._next()
            count = min(len(view), self._left)
            self._left -= count
            _write_all(self._descriptor, view[:count])
            view = view[count:]

    def name(self, digest: str) -> None:
        """Give the parts their final names, now that everything is on the medium."""
        if not self._written:
            self._next()
        self._close()
        names = [layout.blob(digest)]
        if len(self._written) > 1:
            names = [layout.part(digest, index) for index in range(len(self._written))]
        for path, name in zip(self._written, names, strict=True):
            os.replace(path, self._root / name)
        self._written = []
        _sync_folder(self._folder)

    def _next(self) -> None:
        self._close()
        path = self._folder / f"incoming.p{len(self._written):04d}"
        self._written.append(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        self._left = self._cut.part_bytes

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failing disk into ``DISK_FULL`` or ``MEDIA_LOST``, naming ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise HoldfastError(
                Code.DISK_FULL, f"There is no space left while writing {path.name}."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR):
            raise HoldfastError(
                Code.CONFIG_INVALID, f"{path} cannot be written: {error.strerror}."
            ) from error
        raise HoldfastError(
            Code.MEDIA_LOST, f"{path.name} cannot be read or written: {error.strerror}."
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` so that a reader finds the old or the new, never a mixture."""
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        _write_all(descriptor, memoryview(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    _sync_folder(path.parent)


def _split_at(data: bytes, offset: int, step: int) -> Iterator[bytes]:
    """Yield ``data``, which lies at ``offset``, cut where a multiple of ``step`` falls."""
    at = 0
    while at < len(data):
        count = min(len(data) - at, step - (offset + at) % step)
        yield data[at : at + count]
        at += count


def _write_all(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
