"""Building, signing and verifying sticks, and what happens to them on the way."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from holdfast_bundles.logic.names import Release
from holdfast_bundles.vendor import keys
from holdfast_bundles.vendor.build import Source, build
from holdfast_bundles.vendor.inspect import inspect_stick
from holdfast_bundles.vendor.sign import Lives
from holdfast_bundles.vendor.stick_writer import Cut
from holdfast_protocol.errors import Code, HoldfastError

from tests.unit.bundles.gguf_bytes import model_of
from tests.unit.bundles.sticks import CHUNK, NOW, PART, PAST, Vendor, signed_stick, vendor


@pytest.fixture
def acme(tmp_path: Path) -> Vendor:
    return signed_stick(tmp_path)


def refused(acme: Vendor) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        acme.verify()
    return caught.value


def part(acme: Vendor, number: int) -> Path:
    return next(acme.blobs.glob(f"*.p{number:04d}"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_a_signed_stick_verifies(acme: Vendor) -> None:
    found = acme.verify()
    assert [model.signed.release.target for model in found.models] == [
        "acme/tiny/1.0/manifest.json"
    ]
    roles = [line.split()[0] for line in found.signers]
    assert roles == ["root", "root", "root", "targets", "snapshot", "timestamp", "acme"]
    assert found.models[0].licence == "MIT"
    assert sorted(path.name[-5:] for path in acme.blobs.glob("*.p*")) == ["p0000", "p0001", "p0002"]


def test_keys_are_private_and_never_overwritten(acme: Vendor) -> None:
    assert stat.S_IMODE(acme.keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in acme.keys.glob("*.pem")} == {0o600}
    with pytest.raises(HoldfastError) as caught:
        keys.create(acme.keys, "acme", NOW)
    assert caught.value.code is Code.ALREADY_EXISTS
    (acme.keys / "timestamp.pem").chmod(0o644)
    with pytest.raises(HoldfastError) as caught:
        acme.sign()
    assert caught.value.code is Code.CONFIG_INVALID


def test_the_same_input_gives_the_same_manifest(tmp_path: Path) -> None:
    one, other = vendor(tmp_path / "a"), vendor(tmp_path / "b")
    digests = {item.add("tiny", "1.0").manifest_digest for item in (one, other)}
    assert len(digests) == 1


def test_names_on_the_stick_are_safe_for_fat(acme: Vendor) -> None:
    for path in acme.bundle.rglob("*"):
        name = path.relative_to(acme.bundle).as_posix()
        assert len(path.name) <= 100
        assert name.count("/") < 8
        assert set(path.name.lower()) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


@pytest.mark.parametrize(("number", "at"), [(0, 0), (0, PART - 1), (1, 1), (2, 100)])
def test_a_flipped_byte_names_its_part(acme: Vendor, number: int, at: int) -> None:
    path = part(acme, number)
    flip(path, at)
    error = refused(acme)
    assert (error.code, error.exit_code) == (Code.BLOB_DIGEST, 4)
    assert error.file == str(path.relative_to(acme.stick))


Damage = Callable[[Vendor], Path]


def remove_last(acme: Vendor) -> Path:
    part(acme, 2).unlink()
    return next(acme.blobs.glob("*.p0000")).with_suffix(".p0002")


def remove_first(acme: Vendor) -> Path:
    path = part(acme, 0)
    path.unlink()
    return path


def remove_middle(acme: Vendor) -> Path:
    path = part(acme, 1)
    path.unlink()
    return path


def become_link(acme: Vendor) -> Path:
    path = part(acme, 1)
    outside = acme.stick.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    return path


def become_folder(acme: Vendor) -> Path:
    path = part(acme, 1)
    path.unlink()
    path.mkdir()
    return path


def become_pipe(acme: Vendor) -> Path:
    path = part(acme, 1)
    path.unlink()
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    "damage",
    [remove_first, remove_middle, remove_last, become_link, become_folder, become_pipe],
)
def test_what_is_not_there_is_named(acme: Vendor, damage: Damage) -> None:
    path = damage(acme)
    error = refused(acme)
    assert (error.code, error.file) == (Code.BLOB_MISSING, str(path.relative_to(acme.stick)))


def cut_short(acme: Vendor) -> Path:
    path = part(acme, 0)
    os.truncate(path, PART - 1)
    return path


def grown(acme: Vendor) -> Path:
    path = part(acme, 2)
    path.write_bytes(path.read_bytes() + b"x")
    return path


def swapped(acme: Vendor) -> Path:
    first, second = part(acme, 0), part(acme, 1)
    spare = first.with_name("spare")
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    return first


def empty_part(acme: Vendor) -> Path:
    path = part(acme, 1)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("damage", [grown, swapped, empty_part])
def test_what_does_not_fit_is_named(acme: Vendor, damage: Damage) -> None:
    path = damage(acme)
    error = refused(acme)
    assert (error.code, error.file) == (Code.BLOB_DIGEST, str(path.relative_to(acme.stick)))


def test_a_part_cut_short_is_never_accepted(acme: Vendor) -> None:
    # One byte is missing in the middle: the sizes ask for a fourth part before a byte is read.
    cut_short(acme)
    assert refused(acme).code is Code.BLOB_MISSING


def test_parts_may_be_cut_anew_without_signing(acme: Vendor) -> None:
    paths = sorted(acme.blobs.glob("*.p*"))
    whole = b"".join(path.read_bytes() for path in paths)
    stem = paths[0].name.partition(".")[0]
    for path in paths:
        path.unlink()
    (acme.blobs / f"{stem}.p0000").write_bytes(whole[:777])
    (acme.blobs / f"{stem}.p0001").write_bytes(whole[777:])
    assert acme.verify().vendor == "acme"
    (acme.blobs / stem).write_bytes(whole)
    assert acme.verify().vendor == "acme"


@pytest.mark.parametrize("size", [0, 1, CHUNK, PART - 1, PART, PART + 1, 2 * PART])
def test_boundary_sizes(tmp_path: Path, size: int) -> None:
    acme = vendor(tmp_path)
    folder = tmp_path / "model-tiny-1.0"
    folder.mkdir()
    (folder / "notes.txt").write_bytes(b"n" * size)
    acme.add("tiny", "1.0")
    acme.sign()
    files = inspect_stick(acme.stick, None, NOW).models[0].files
    sizes = {item.name: item.size_bytes for item in files}
    assert sizes["notes.txt"] == size
    assert acme.verify().vendor == "acme"


def test_a_manifest_that_was_changed_is_named(acme: Vendor) -> None:
    path = acme.bundle / "tuf/acme/targets/acme/tiny/1.0/manifest.json"
    flip(path, 20)
    error = refused(acme)
    assert (error.code, error.file) == (Code.BLOB_DIGEST, str(path.relative_to(acme.stick)))


def test_a_second_model_must_be_signed_too(acme: Vendor) -> None:
    acme.add("other", "1.0")
    error = refused(acme)
    assert error.code is Code.UNSIGNED
    assert error.file is not None
    assert error.file.endswith("acme/other/1.0/manifest.json")
    assert acme.sign().version == 2
    assert [model.signed.release.name for model in acme.verify().models] == [
        "acme/other",
        "acme/tiny",
    ]


def test_signing_again_only_goes_up(acme: Vendor, tmp_path: Path) -> None:
    acme.sign()
    fresh = Vendor("acme", acme.keys, tmp_path / "second-stick")
    fresh.add("tiny", "2.0", model_of(5 * CHUNK))
    assert fresh.sign().version == 3
    found = fresh.verify()
    assert [model.signed.release_seq for model in found.models] == [2]
    assert found.absent == ["acme/tiny/1.0/manifest.json"]


def test_a_version_is_never_signed_with_other_bytes(acme: Vendor) -> None:
    acme.add("tiny", "1.0", model_of(3 * CHUNK))
    with pytest.raises(HoldfastError) as caught:
        acme.sign()
    assert caught.value.code is Code.VERSION_REUSED


def test_nobody_else_can_push_the_versions_up(acme: Vendor, tmp_path: Path) -> None:
    other = signed_stick(tmp_path / "other")
    timestamp = json.loads((other.metadata / "timestamp.json").read_bytes())
    timestamp["signed"]["version"] = 2**30
    (acme.metadata / "timestamp.json").write_text(json.dumps(timestamp))
    assert acme.sign().version == 2


def test_an_unsigned_stick_says_so(tmp_path: Path) -> None:
    acme = vendor(tmp_path)
    acme.add("tiny", "1.0")
    assert refused(acme).code is Code.UNSIGNED


def test_another_vendors_root_is_refused(acme: Vendor, tmp_path: Path) -> None:
    other = vendor(tmp_path / "other")
    with pytest.raises(HoldfastError) as caught:
        acme.verify(other.root)
    assert (caught.value.code, caught.value.file) == (Code.BAD_SIGNATURE, "1.root.json")
    (acme.metadata / "1.root.json").unlink()
    with pytest.raises(HoldfastError) as caught:
        acme.verify(other.root)
    assert (caught.value.code, caught.value.file) == (Code.BAD_SIGNATURE, "timestamp.json")


SHORT = timedelta(days=1)


@pytest.mark.parametrize(
    ("lives", "file"),
    [
        (Lives(timestamp=SHORT, snapshot=SHORT * 5000, targets=SHORT * 5000), "timestamp.json"),
        (Lives(timestamp=SHORT * 5000, snapshot=SHORT, targets=SHORT * 5000), "2.snapshot.json"),
        (Lives(timestamp=SHORT * 5000, snapshot=SHORT * 5000, targets=SHORT), "2.targets.json"),
        (Lives(timestamp=SHORT, snapshot=SHORT, targets=SHORT), "timestamp.json"),
    ],
)
def test_expired_metadata_is_named(acme: Vendor, lives: Lives, file: str) -> None:
    acme.sign(PAST, lives)
    error = refused(acme)
    assert (error.code, error.file, error.exit_code) == (Code.METADATA_EXPIRED, file, 4)


def test_two_vendors_on_one_stick(acme: Vendor, tmp_path: Path) -> None:
    keys.create(tmp_path / "beta-keys", "beta", NOW)
    beta = Vendor("beta", tmp_path / "beta-keys", acme.stick)
    beta.add("small", "1.0", model_of(2 * CHUNK))
    beta.sign()
    assert acme.verify().unchecked_vendors == ["beta"]
    assert beta.verify().vendor == "beta"


def test_inspection_says_what_is_not_proven(acme: Vendor) -> None:
    parent = "sha256:" + "ab" * 32
    acme.add("child", "1.0", parents=(parent,))
    found = inspect_stick(acme.stick, None, NOW)
    assert not found.verified
    assert [model.parents for model in found.models] == [[parent], []]
    acme.sign()
    assert inspect_stick(acme.stick, acme.root, NOW).verified


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("weights.bin", b"x"),
        ("model.py", b"print()"),
        ("weights.pkl", b"\x80\x04"),
        ("model.safetensors", b"{}"),
        ("second.gguf", model_of(300)),
        ("con.json", b"{}"),
        ("a b.json", b"{}"),
        ("license", b"twice, by case"),
    ],
)
def test_files_that_may_not_travel(tmp_path: Path, name: str, data: bytes) -> None:
    acme = vendor(tmp_path)
    folder = tmp_path / "model-tiny-1.0"
    folder.mkdir()
    (folder / name).write_bytes(data)
    with pytest.raises(HoldfastError) as caught:
        acme.add("tiny", "1.0")
    assert caught.value.code in (Code.FORMAT_REFUSED, Code.MANIFEST_INVALID)


@pytest.mark.parametrize("licence", ["", "Nope-1.0", "MIT AND", "x" * 400])
def test_licences_are_spdx(tmp_path: Path, licence: str) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model.gguf").write_bytes(model_of(300))
    source = Source(tmp_path / "m", Release("acme/tiny", "1"), licence)
    with pytest.raises(HoldfastError) as caught:
        build(source, tmp_path / "s", Cut(PART, CHUNK))
    assert caught.value.code is Code.LICENSE_INVALID


def test_a_stick_that_is_none(tmp_path: Path) -> None:
    acme = vendor(tmp_path)
    assert refused(acme).code is Code.BUNDLE_MISSING
    acme.stick.mkdir()
    (acme.stick / "modelbundle").symlink_to(tmp_path)
    assert refused(acme).code is Code.BUNDLE_MISSING
