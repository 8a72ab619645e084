"""Imports as the controller sees them: what ends in quarantine, what waits, what is refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from holdfast_bundles import bom, manifest
from holdfast_bundles.importer import promotion, sandbox
from holdfast_bundles.importer.copying import held_bytes
from holdfast_bundles.importer.job import Home, ImportJob
from holdfast_bundles.logic.names import Release
from holdfast_bundles.media import FOLDER
from holdfast_bundles.store import Store
from holdfast_bundles.vendor.stick_writer import Cut, StickWriter
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import Importing, ImportState, StartImport, VendorVersions

from tests.unit.bundles.gguf_bytes import F32, KEYS, File, build, model_of, u32
from tests.unit.bundles.sticks import CHUNK, PART, Vendor, signed_stick, vendor


class Site:
    """A store that trusts one vendor, with the vendor's stick as its medium."""

    def __init__(self, folder: Path, acme: Vendor) -> None:
        self.store_dir = folder / "store"
        self.store_dir.mkdir()
        self.acme = acme
        self.reserve_bytes = 0
        self.seen: list[Importing] = []

    def start(
        self, import_id: str = "i-1", path: Path | None = None, marks: VendorVersions | None = None
    ) -> Importing:
        home = Home(self.store_dir, (self.acme.stick.parent,), self.reserve_bytes)
        request = StartImport(
            import_id=import_id,
            path=str(path or self.acme.stick),
            vendor_roots={"acme": self.acme.root},
            marks={"acme": marks} if marks else {},
        )
        return ImportJob(home, request, self.seen.append).run()

    def promote(self, import_id: str = "i-1", digest: str = "") -> Importing:
        return promotion.promote(self.store_dir, import_id, digest)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    media = tmp_path / "media"
    media.mkdir()
    return Site(tmp_path, signed_stick(media))


def fault(state: Importing) -> str:
    assert state.error is not None
    return state.error.code


def test_an_import_waits_in_quarantine_and_is_promoted(site: Site) -> None:
    state = site.start()
    assert state.state is ImportState.QUARANTINED, state
    (model,) = state.models
    assert (model.name, model.version, model.license) == ("acme/tiny", "1.0", "MIT")
    assert (model.operations, model.context_length) == (["complete"], 512)
    assert model.kv_bytes_per_token == 256
    assert model.manifest == promotion.read_document(site.store_dir, model.manifest_digest)
    assert state.isolation == ("bwrap" if shutil.which("bwrap") else "limits")
    store = Store(site.store_dir)
    assert not any(store.has(digest) for digest in model.digests)
    assert not (site.store_dir / "marks").exists()

    after = site.promote()
    assert after.state is ImportState.PROMOTED
    for digest in model.digests:
        assert stat.S_IMODE(store.path(digest).stat().st_mode) == 0o444
    assert site.promote() == after
    assert site.start() is not None
    promotion.discard(site.store_dir, "i-1")
    promotion.discard(site.store_dir, "i-1")
    assert all(store.has(digest) for digest in model.digests)


def test_progress_rises_to_the_whole(site: Site) -> None:
    site.start()
    copied = [state.bytes_done for state in site.seen if state.state is ImportState.COPYING]
    assert copied == sorted(copied)
    assert copied[-1] == site.seen[-1].bytes_total > 0


def test_promotion_goes_on_after_a_crash_in_the_middle(site: Site) -> None:
    (model,) = site.start().models
    blob = model.digests[2]
    hexadecimal = blob.removeprefix("sha256:")
    Store(site.store_dir).admit(site.store_dir / "imports/i-1/blobs" / hexadecimal, blob)
    assert site.promote().state is ImportState.PROMOTED


def test_models_are_promoted_one_by_one(site: Site) -> None:
    site.acme.add("other", "1.0", model_of(3 * CHUNK))
    site.acme.sign()
    first, second = site.start().models
    state = site.promote(digest=first.manifest_digest)
    assert state.state is ImportState.QUARANTINED
    assert [model.promoted for model in state.models] == [True, False]
    assert not Store(site.store_dir).has(second.manifest_digest)
    assert site.promote(digest=second.manifest_digest).state is ImportState.PROMOTED


def test_what_is_not_quarantined_is_not_promoted(site: Site) -> None:
    next(site.acme.blobs.glob("*.p0001")).unlink()
    assert site.start().state is ImportState.PAUSED
    with pytest.raises(HoldfastError) as caught:
        site.promote()
    assert caught.value.code is Code.NOT_APPROVED
    with pytest.raises(HoldfastError) as caught:
        site.promote("i-2")
    assert caught.value.code is Code.NOT_FOUND


def outside(site: Site) -> Path:
    shutil.copytree(site.acme.stick, site.store_dir.parent / "outside")
    return site.store_dir.parent / "outside"


def link_out(site: Site) -> Path:
    link = site.acme.stick.parent / "link"
    link.symlink_to(outside(site))
    return link


def dotted(site: Site) -> Path:
    outside(site)
    return Path(f"{site.acme.stick}/../../outside")


@pytest.mark.parametrize("where", [outside, link_out, dotted])
def test_paths_outside_the_media_roots(site: Site, where: object) -> None:
    assert callable(where)
    state = site.start(path=where(site))
    assert (state.state, fault(state)) == (ImportState.FAILED, "PATH_REFUSED")


def test_a_path_without_a_bundle(site: Site) -> None:
    assert fault(site.start(path=site.acme.keys)) == "BUNDLE_MISSING"


def test_a_vendor_whom_the_site_does_not_trust(site: Site, tmp_path: Path) -> None:
    other = signed_stick(tmp_path / "media" / "other", "beta")
    state = site.start(path=other.stick)
    assert (state.state, fault(state)) == (ImportState.FAILED, "VENDOR_UNKNOWN")


def test_trusted_and_other_vendors_on_one_stick(site: Site, tmp_path: Path) -> None:
    other = signed_stick(tmp_path / "other", "beta")
    shutil.copytree(other.bundle, site.acme.bundle, dirs_exist_ok=True)
    state = site.start()
    assert state.state is ImportState.QUARANTINED
    assert (state.skipped_vendors, len(state.models)) == (["beta"], 1)


def test_an_older_stick_after_a_newer_one(site: Site) -> None:
    old = site.acme.stick.parent / "old"
    shutil.copytree(site.acme.stick, old)
    site.acme.add("tiny", "2.0", model_of(2 * CHUNK))
    site.acme.sign()
    newer = site.start("i-1")
    # Nobody has approved the newer one yet: the older still counts.
    assert site.start("i-2", old).state is ImportState.QUARANTINED
    site.promote("i-1")
    assert fault(site.start("i-3", old)) == "METADATA_ROLLBACK"
    shutil.rmtree(site.store_dir / "trust")
    state = site.start("i-4", old)
    assert (state.state, fault(state)) == (ImportState.FAILED, "METADATA_ROLLBACK")
    shutil.rmtree(site.store_dir / "marks")
    marks = newer.models[0].vendor_versions
    assert fault(site.start("i-5", old, marks)) == "METADATA_ROLLBACK"
    assert site.start("i-6").state is ImportState.QUARANTINED


def test_promoting_an_older_import_later_lowers_nothing(site: Site) -> None:
    site.start("i-1")
    site.acme.add("tiny", "2.0", model_of(2 * CHUNK))
    site.acme.sign()
    site.start("i-2")
    site.promote("i-2")
    marks = (site.store_dir / "marks/acme.json").read_bytes()
    site.promote("i-1")
    assert (site.store_dir / "marks/acme.json").read_bytes() == marks


def test_damaged_marks_do_not_mean_no_marks(site: Site) -> None:
    site.start()
    site.promote()
    (site.store_dir / "marks/acme.json").write_bytes(b"")
    assert fault(site.start("i-2")) == "STORE_FAILED"


def test_a_refused_stick_leaves_the_live_trust_alone(site: Site) -> None:
    site.start()
    site.promote()
    live = site.store_dir / "trust/acme/live"
    before = {path.name: path.read_bytes() for path in live.iterdir() if path.is_file()}
    site.acme.sign()
    (site.acme.metadata / "2.snapshot.json").unlink()
    assert site.start("i-2").state is ImportState.FAILED
    assert before == {path.name: path.read_bytes() for path in live.iterdir() if path.is_file()}


def test_a_flipped_byte_ends_the_import_and_a_good_copy_goes_on(site: Site) -> None:
    path = next(site.acme.blobs.glob("*.p0001"))
    good = path.read_bytes()
    path.write_bytes(b"\xff" + good[1:])
    state = site.start()
    assert (state.state, fault(state)) == (ImportState.FAILED, "BLOB_DIGEST")
    assert state.error is not None
    assert state.error.file == str(path.relative_to(site.acme.stick))
    path.write_bytes(good)
    assert site.start().state is ImportState.QUARANTINED


def test_a_missing_volume_pauses_and_what_was_copied_is_not_read_again(site: Site) -> None:
    parts = sorted(site.acme.blobs.glob("*.p*"))
    last = parts[2].read_bytes()
    # A stick pulled in the middle: its first bytes arrive, then a part is gone.
    stop = StopAt(site, 2 * CHUNK + PART)
    state = stop.run()
    assert (state.state, fault(state)) == (ImportState.PAUSED, "CANCELLED")
    parts[2].unlink()
    state = site.start()
    assert (state.state, fault(state)) == (ImportState.PAUSED, "BLOB_MISSING")
    parts[2].write_bytes(last)
    # What was proven lies on our own disk; the medium's copy of it may rot meanwhile.
    parts[0].write_bytes(b"\0" * PART)
    assert site.start().state is ImportState.QUARANTINED


class StopAt:
    """A run that is asked to stop once so many bytes were copied."""

    def __init__(self, site: Site, at_bytes: int) -> None:
        home = Home(site.store_dir, (site.acme.stick.parent,), 0)
        request = StartImport(
            import_id="i-1", path=str(site.acme.stick), vendor_roots={"acme": site.acme.root}
        )
        self._at = at_bytes
        self._job = ImportJob(home, request, self._note)

    def run(self) -> Importing:
        return self._job.run()

    def _note(self, state: Importing) -> None:
        if state.bytes_done >= self._at:
            self._job.stop()


def test_a_torn_journal_and_rotten_local_bytes_are_copied_again(site: Site) -> None:
    StopAt(site, 3 * CHUNK + 300).run()
    folder = site.store_dir / "imports/i-1/blobs"
    (partial,) = folder.glob("*.partial")
    (journal,) = folder.glob("*.journal")
    data = bytearray(partial.read_bytes())
    data[CHUNK + 5] ^= 1
    partial.write_bytes(bytes(data))
    journal.write_bytes(journal.read_bytes() + b"abc")
    assert site.start().state is ImportState.QUARANTINED


def test_room_is_held_for_what_is_to_come_and_given_back(site: Site) -> None:
    StopAt(site, CHUNK + 300).run()
    folder = site.store_dir / "imports/i-1/blobs"
    (room,) = folder.glob("*.room")
    (partial,) = folder.glob("*.partial")
    assert 0 < room.stat().st_size < 10 * CHUNK
    assert held_bytes(partial.with_suffix("")) >= room.stat().st_size + CHUNK
    assert site.start().state is ImportState.QUARANTINED
    assert {path.suffix for path in folder.iterdir()} == {""}


def test_no_space_pauses_and_loses_nothing(site: Site) -> None:
    StopAt(site, 3 * CHUNK + 300).run()
    site.reserve_bytes = 1 << 60
    state = site.start()
    assert (state.state, fault(state)) == (ImportState.PAUSED, "DISK_FULL")
    site.reserve_bytes = 0
    assert site.start().state is ImportState.QUARANTINED


def hostile(site: Site, weights: bytes, architecture: str) -> None:
    """Sign a model whose weights no builder of ours would take."""
    writer = StickWriter(site.acme.stick / FOLDER, Cut(PART, CHUNK))
    release = Release("acme/evil", "1.0")
    layer = manifest.Descriptor(
        media_type=manifest.WEIGHTS_TYPE,
        digest=manifest.digest_of(weights),
        size=len(weights),
        annotations={manifest.FILEPATH: "model.gguf"},
    )
    writer.add_bytes(weights, manifest.WEIGHTS_TYPE)
    bill = bom.build(release, "MIT", [layer], layer.digest, [])
    layers = [layer, writer.add_bytes(bill, manifest.BOM_TYPE)]
    config = manifest.ModelConfig(
        descriptor=manifest.ModelDescriptor(
            vendor="acme", name="evil", version="1.0", licenses=["MIT"]
        ),
        config=manifest.ModelProperties(architecture=architecture, format="gguf"),
        modelfs=manifest.ModelFs(type="layers", diff_ids=[item.digest for item in layers]),
    )
    descriptor = writer.add_bytes(encode(config), manifest.CONFIG_TYPE)
    data = manifest.to_bytes(
        manifest.Manifest(
            schema_version=2,
            media_type=manifest.MANIFEST_TYPE,
            artifact_type=manifest.ARTIFACT_TYPE,
            config=descriptor,
            layers=layers,
        )
    )
    writer.publish(release, data)
    site.acme.sign()


@pytest.mark.parametrize(
    ("weights", "architecture", "code"),
    [
        (b"\x80\x04\x95pickle" * 9, "llama", "FORMAT_REFUSED"),
        (build(File(keys=(*KEYS.values(), ("x.y", F32 + 7, u32(1))))), "llama", "FORMAT_REFUSED"),
        (model_of(300), "falcon", "MANIFEST_INVALID"),
        (model_of(300), "llama", None),
    ],
    ids=["pickle", "bad header", "declared as another", "good"],
)
def test_a_signature_does_not_excuse_the_weights(
    site: Site, weights: bytes, architecture: str, code: str | None
) -> None:
    hostile(site, weights, architecture)
    state = site.start()
    if code is None:
        assert state.state is ImportState.QUARANTINED
    else:
        assert (state.state, fault(state)) == (ImportState.FAILED, code)


PROBE = """
import os, socket, sys
for path in ("/etc/passwd", "/home", sys.argv[1]):
    assert not os.path.exists(path), path
try:
    socket.create_connection(("127.0.0.1", 9), 1)
except OSError as error:
    assert error.errno in (101, 111), error
assert {name for _, name in socket.if_nameindex()} == {"lo"}
assert not any(name.startswith("HOLDFAST") for name in os.environ)
print("shut in")
"""


def test_the_gate_is_shut_in(tmp_path: Path) -> None:
    if shutil.which("bwrap") is None:
        assert sandbox.isolation() == "limits"
        return
    done = subprocess.run(
        [*sandbox.wrap(), sys.executable, "-I", "-c", PROBE, str(tmp_path)],
        env={**os.environ, "HOLDFAST_X": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout == "shut in\n", done.stderr


def test_a_vendor_without_models(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    acme = vendor(tmp_path / "media")
    (acme.stick / FOLDER).mkdir(parents=True)
    assert fault(Site(tmp_path, acme).start()) == "BUNDLE_MISSING"
