"""A vendor with keys and a small signed stick, and ways to forge its metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from holdfast_bundles.logic.names import Release
from holdfast_bundles.vendor import keys, sign
from holdfast_bundles.vendor.build import Built, Source, build
from holdfast_bundles.vendor.stick_writer import Cut
from holdfast_bundles.vendor.verify import Verified, verify_stick
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner

from tests.unit.bundles.gguf_bytes import model_of

CHUNK = 4096
PART = 4 * CHUNK
NOW = datetime.now(UTC)


class Vendor(NamedTuple):
    """A vendor's keys and one stick."""

    name: str
    keys: Path
    stick: Path

    @property
    def root(self) -> bytes:
        return (self.keys / "root.json").read_bytes()

    @property
    def bundle(self) -> Path:
        return self.stick / "modelbundle"

    @property
    def metadata(self) -> Path:
        return self.bundle / "tuf" / self.name / "metadata"

    @property
    def blobs(self) -> Path:
        return self.bundle / "oci" / "blobs" / "sha256"

    def signer(self, role: str) -> CryptoSigner:
        return keys.load(self.keys, role)

    def sign(self, now: datetime = NOW, lives: sign.Lives | None = None) -> sign.Signed:
        return sign.sign(self.stick, self.keys, now, lives)

    def verify(self, root: bytes | None = None) -> Verified:
        return verify_stick(self.stick, root or self.root, NOW)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.metadata.iterdir()}

    def add(self, model: str, version: str, data: bytes | None = None, **more: Any) -> Built:
        """Build a model onto the stick; ``data`` is its GGUF file."""
        folder = self.keys.parent / f"model-{model}-{version}"
        folder.mkdir(exist_ok=True)
        (folder / "model.gguf").write_bytes(data or model_of(10 * CHUNK))
        (folder / "LICENSE").write_text("Do what you like.\n")
        source = Source(folder, Release(f"{self.name}/{model}", version), "MIT", **more)
        return build(source, self.stick, Cut(PART, CHUNK))


def vendor(folder: Path, name: str = "acme") -> Vendor:
    """A vendor without any model yet."""
    made = Vendor(name, folder / f"{name}-keys", folder / "stick")
    keys.create(made.keys, name, NOW)
    return made


def signed_stick(folder: Path, name: str = "acme") -> Vendor:
    """A vendor whose stick holds one signed model of eleven chunks in three parts."""
    made = vendor(folder, name)
    made.add("tiny", "1.0")
    made.sign()
    return made


def forge(
    data: bytes, signers: list[CryptoSigner], change: Callable[[dict[str, Any]], None]
) -> bytes:
    """The metadata ``data`` with its signed part changed, signed by ``signers``.

    Made from plain JSON, so that what python-tuf's own classes would never write can be signed.
    """
    signed = json.loads(data)["signed"]
    change(signed)
    payload = str(encode_canonical(signed)).encode()
    signatures = [signer.sign(payload).to_dict() for signer in signers]
    return json.dumps({"signatures": signatures, "signed": signed}).encode()


PAST = NOW - timedelta(days=4000)
