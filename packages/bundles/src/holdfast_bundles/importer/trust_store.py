"""Each vendor's trust as this machine has accepted it, and the marks below which nothing goes.

``trust/<vendor>/live`` is what python-tuf starts from. The marks lie elsewhere, in
``marks/<vendor>.json``, because deleting python-tuf's cached timestamp re-opens rollback; the
controller remembers a third copy. Both change only when a model is promoted: an import that
officers reject leaves no trace.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import VendorVersions

from holdfast_bundles.store import local_disk, replace_file, sync_file, sync_folder
from holdfast_bundles.vendor.metadata import below


class TrustStore:
    """The accepted trust of all vendors below one folder."""

    def __init__(self, store_dir: Path) -> None:
        self._live = store_dir / "trust"
        self._marks = store_dir / "marks"

    def copy_live(self, vendor: str, scratch: Path) -> None:
        """Make ``scratch`` a fresh copy of the accepted trust; empty for a new vendor."""
        with local_disk():
            shutil.rmtree(scratch, ignore_errors=True)
            live = self._live / vendor / "live"
            if live.is_dir():
                shutil.copytree(live, scratch, symlinks=True)
            else:
                scratch.mkdir(parents=True)

    def require_not_below(
        self, vendor: str, versions: VendorVersions, remembered: VendorVersions | None
    ) -> None:
        """Raise ``METADATA_ROLLBACK`` where ``versions`` are older than any copy of the marks."""
        for marks in (self._read_marks(vendor), remembered):
            role = below(versions, marks) if marks is not None else None
            if role is not None:
                raise HoldfastError(
                    Code.METADATA_ROLLBACK,
                    f"The {role} of {vendor} is older than what was accepted before.",
                    file="timestamp.json" if role == "timestamp" else f"{role}.json",
                )

    def accept(self, vendor: str, versions: VendorVersions, scratch: Path) -> None:
        """Make ``scratch`` the live trust, marks first; older or the same changes nothing.

        May be repeated after a crash at any point: with the marks raised and the folder not yet
        swapped, the same stick still counts.
        """
        marks = self._read_marks(vendor)
        if marks is not None and below(versions, marks) is not None:
            return
        if marks == versions and (self._live / vendor / "live").is_dir():
            return
        with local_disk():
            self._marks.mkdir(parents=True, exist_ok=True)
            replace_file(self._marks / f"{vendor}.json", encode(versions))
            if scratch.is_dir():
                self._swap(vendor, scratch)

    def _swap(self, vendor: str, scratch: Path) -> None:
        folder = self._live / vendor
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.name[2:]) for path in folder.glob("v-*") if path.name[2:].isdigit()]
        fresh = folder / f"v-{max(numbers, default=0) + 1}"
        shutil.copytree(scratch, fresh, symlinks=True)
        for path in fresh.rglob("*"):
            if path.is_file():
                sync_file(path)
        link = folder / ".live.new"
        link.unlink(missing_ok=True)
        link.symlink_to(fresh.name)
        os.replace(link, folder / "live")
        sync_folder(folder)
        for path in folder.glob("v-*"):
            if path != fresh:
                shutil.rmtree(path, ignore_errors=True)

    def _read_marks(self, vendor: str) -> VendorVersions | None:
        path = self._marks / f"{vendor}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=VendorVersions)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            # Damaged marks must not mean no marks: that would re-open rollback.
            raise HoldfastError(
                Code.STORE_FAILED, f"The marks of {vendor} cannot be read; restore them."
            ) from error
