"""What an import keeps on disk while people decide: ``imports/<id>``, surviving any crash.

``state.json`` is the last word that was said about the import, ``blobs/<hex>`` are complete and
verified, ``blobs/<hex>.partial`` with ``.journal`` are on their way and ``.room`` holds space for
the rest, ``trust/<vendor>`` is the scratch copy of the vendor's trust that becomes live when a
model is promoted.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import token
from holdfast_protocol.importer import Importing, ImportState

from holdfast_bundles.store import local_disk, replace_file


class Quarantine:
    """The folder of one import."""

    def __init__(self, store_dir: Path, import_id: str) -> None:
        self.import_id = token(import_id, "import id")
        self._folder = store_dir / "imports" / self.import_id
        self._blobs = self._folder / "blobs"

    def exists(self) -> bool:
        """Tell whether this import was ever begun here and not discarded."""
        return self._folder.is_dir()

    def prepare(self) -> None:
        """Make the folders; raises ``STORE_FAILED`` or ``DISK_FULL``."""
        with local_disk():
            self._blobs.mkdir(parents=True, exist_ok=True)
            (self._folder / "trust").mkdir(exist_ok=True)

    def blob(self, digest: str) -> Path:
        """Return where a complete blob lies or would lie."""
        return self._blobs / digest.removeprefix("sha256:")

    def trust(self, vendor: str) -> Path:
        """Return the scratch trust folder of ``vendor``."""
        return self._folder / "trust" / vendor

    def save(self, state: Importing) -> None:
        """Keep ``state`` as the last word."""
        with local_disk():
            replace_file(self._folder / "state.json", encode(state))

    def load(self) -> Importing:
        """Return the last word; an import that was cut off is ``paused``.

        Raises ``NOT_FOUND`` for an import that is not here.
        """
        if not self.exists():
            raise HoldfastError(Code.NOT_FOUND, f"There is no import {self.import_id}.")
        try:
            data = (self._folder / "state.json").read_bytes()
            return msgspec.json.decode(data, type=Importing)
        except (OSError, msgspec.MsgspecError):
            return Importing(import_id=self.import_id, state=ImportState.PAUSED)

    def drop_blobs(self) -> None:
        """Remove the blobs and the scratch trust, keep the last word."""
        shutil.rmtree(self._blobs, ignore_errors=True)
        shutil.rmtree(self._folder / "trust", ignore_errors=True)

    def remove(self) -> None:
        """Remove everything; nothing happens where nothing is."""
        shutil.rmtree(self._folder, ignore_errors=True)
