"""The attack list against a vendor's metadata: every row is refused, with the file's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_bundles.logic.metadata import gate
from holdfast_bundles.vendor import metadata
from holdfast_bundles.vendor.metadata import VendorMetadata
from holdfast_protocol.errors import Code, HoldfastError
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from tests.unit.bundles.sticks import NOW, Vendor, forge, signed_stick

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def acme(tmp_path: Path) -> Vendor:
    return signed_stick(tmp_path)


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    folder = tmp_path / "trust"
    folder.mkdir()
    return folder


def check(acme: Vendor, files: dict[str, bytes], trust: Path) -> VendorMetadata:
    return metadata.verify("acme", files, acme.root, trust, NOW)


def refused(acme: Vendor, files: dict[str, bytes], trust: Path) -> tuple[Code, str | None]:
    with pytest.raises(HoldfastError) as caught:
        check(acme, files, trust)
    return caught.value.code, caught.value.file


def raised(files: dict[str, bytes], name: str, signer: CryptoSigner) -> bytes:
    return forge(files[name], [signer], lambda signed: signed.update(version=signed["version"] + 1))


def test_an_older_bundle_is_refused(acme: Vendor, trust: Path) -> None:
    old = acme.files()
    acme.sign()
    assert check(acme, acme.files(), trust).versions.timestamp == 2
    assert refused(acme, old, trust) == (Code.METADATA_ROLLBACK, "timestamp.json")


def test_mixed_versions_are_refused(acme: Vendor, trust: Path) -> None:
    old = acme.files()
    acme.sign()
    new = acme.files()
    mixed = {**new, "2.snapshot.json": old["1.snapshot.json"]}
    # Already the number inside is not the one in the name; the gate says so before python-tuf.
    assert refused(acme, mixed, trust) == (Code.METADATA_MALFORMED, "2.snapshot.json")
    mixed = {**new, "2.acme.json": old["1.acme.json"]}
    assert refused(acme, mixed, trust) == (Code.METADATA_MALFORMED, "2.acme.json")


@pytest.mark.parametrize(
    "name", ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.acme.json"]
)
def test_metadata_of_an_unknown_key_is_refused(acme: Vendor, trust: Path, name: str) -> None:
    files = acme.files()
    stranger = CryptoSigner(Ed25519PrivateKey.generate())
    files[name] = forge(files[name], [stranger], lambda signed: None)
    assert refused(acme, files, trust) == (Code.BAD_SIGNATURE, name)


@pytest.mark.parametrize(
    "name", ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.acme.json"]
)
def test_missing_metadata_is_named(acme: Vendor, trust: Path, name: str) -> None:
    files = acme.files()
    del files[name]
    code = Code.UNSIGNED if name == "timestamp.json" else Code.METADATA_MISSING
    if name == "1.acme.json":
        # Nothing names a release any more, so nothing is signed; nothing is accepted either.
        assert check(acme, files, trust).releases == []
    else:
        assert refused(acme, files, trust) == (code, name)


def rotated(acme: Vendor, signers: list[str], new: CryptoSigner) -> bytes:
    """A second root in which ``new`` replaces the first root key."""
    root: Metadata[Root] = Metadata.from_bytes(acme.root)
    root.signed.version = 2
    root.signed.revoke_key(acme.signer("root-1").public_key.keyid, "root")
    root.signed.add_key(new.public_key, "root")
    root.signatures.clear()
    for signer in [*(acme.signer(name) for name in signers), new]:
        root.sign(signer, append=True)
    return root.to_bytes(JSONSerializer())


def test_roots_rotate_with_old_and_new_keys(acme: Vendor, trust: Path) -> None:
    files = acme.files()
    new = CryptoSigner(Ed25519PrivateKey.generate())
    files["2.root.json"] = rotated(acme, ["root-2", "root-3"], new)
    assert check(acme, files, trust).versions.root == 2


def test_a_root_of_one_old_key_is_refused(acme: Vendor, trust: Path) -> None:
    files = acme.files()
    new = CryptoSigner(Ed25519PrivateKey.generate())
    files["2.root.json"] = rotated(acme, ["root-2"], new)
    assert refused(acme, files, trust) == (Code.BAD_SIGNATURE, "2.root.json")


def test_a_gap_in_the_roots_does_not_carry_trust(acme: Vendor, trust: Path) -> None:
    """Metadata of a timestamp key that only the missing second root names."""
    new_root = CryptoSigner(Ed25519PrivateKey.generate())
    new_timestamp = CryptoSigner(Ed25519PrivateKey.generate())
    root: Metadata[Root] = Metadata.from_bytes(rotated(acme, ["root-2", "root-3"], new_root))
    root.signed.revoke_key(acme.signer("timestamp").public_key.keyid, "timestamp")
    root.signed.add_key(new_timestamp.public_key, "timestamp")
    root.signatures.clear()
    for signer in (acme.signer("root-2"), acme.signer("root-3"), new_root):
        root.sign(signer, append=True)
    files = acme.files()
    files["timestamp.json"] = raised(files, "timestamp.json", new_timestamp)
    assert refused(acme, files, trust) == (Code.BAD_SIGNATURE, "timestamp.json")
    files["2.root.json"] = root.to_bytes(JSONSerializer())
    assert check(acme, files, trust).versions.root == 2


def release_change(acme: Vendor, change: Change) -> dict[str, bytes]:
    files = acme.files()
    files["1.acme.json"] = forge(files["1.acme.json"], [acme.signer("release")], change)
    return files


def renamed(target: str) -> Change:
    def change(signed: dict[str, Any]) -> None:
        signed["targets"] = {target: next(iter(signed["targets"].values()))}

    return change


@pytest.mark.parametrize(
    "target",
    [
        "acme/../x/manifest.json",
        "acme/tiny/../manifest.json",
        "acme//1.0/manifest.json",
        "/acme/tiny/1.0/manifest.json",
        "acme/tiny/1.0/../manifest.json",
        "acme/tiny/1.0/other.json",
        "acme/tiny/manifest.json",
        "acme/Tiny/1.0/manifest.json",
        "acme/t\u0456ny/1.0/manifest.json",
        "acme/tiny%2f/1.0/manifest.json",
        "acme/tiny\\x/1.0/manifest.json",
        "acme/tiny/1.0\0/manifest.json",
        "acme/tiny/-1/manifest.json",
        f"acme/{'a' * 300}/1.0/manifest.json",
    ],
)
def test_target_names_that_mean_something_else(acme: Vendor, trust: Path, target: str) -> None:
    files = release_change(acme, renamed(target))
    assert refused(acme, files, trust)[0] is Code.METADATA_MALFORMED


def test_a_target_outside_the_vendors_paths_is_not_authorised(acme: Vendor, trust: Path) -> None:
    files = release_change(acme, renamed("other/tiny/1.0/manifest.json"))
    assert check(acme, files, trust).releases == []


def test_a_target_of_another_vendor_in_top_targets(acme: Vendor, trust: Path) -> None:
    files = acme.files()
    entry = next(
        iter(Metadata.from_bytes(files["1.acme.json"]).to_dict()["signed"]["targets"].values())
    )
    files["1.targets.json"] = forge(
        files["1.targets.json"],
        [acme.signer("targets")],
        lambda signed: signed.update(targets={"other/tiny/1.0/manifest.json": entry}),
    )
    assert refused(acme, files, trust)[0] is Code.METADATA_MALFORMED


def in_target(**values: Any) -> Change:
    def change(signed: dict[str, Any]) -> None:
        next(iter(signed["targets"].values())).update(values)

    return change


@pytest.mark.parametrize(
    "values",
    [
        {"length": 0},
        {"length": -1},
        {"length": 2 << 20},
        {"hashes": {"md5": "00"}},
        {"hashes": {"sha256": "AB"}},
        {"custom": {}},
        {"custom": []},
        {"custom": {"schema": 2, "kind": "model-release", "release_seq": 1}},
        {"custom": {"schema": 1, "kind": "model-release", "release_seq": 0}},
    ],
)
def test_targets_that_are_no_release(acme: Vendor, trust: Path, values: dict[str, Any]) -> None:
    files = release_change(acme, in_target(**values))
    assert refused(acme, files, trust)[0] is Code.METADATA_MALFORMED


def test_a_revoked_release_is_gone(acme: Vendor, trust: Path) -> None:
    acme.sign()
    files = acme.files()
    files["2.acme.json"] = forge(
        files["2.acme.json"], [acme.signer("release")], lambda signed: signed.update(targets={})
    )
    assert check(acme, files, trust).releases == []


def in_text(before: str, after: str) -> Callable[[bytes], bytes]:
    return lambda data: data.decode().replace(before, after).encode()


def compact(data: bytes) -> bytes:
    return json.dumps(json.loads(data)).encode()


TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "duplicate key": in_text('"version": 1', '"version": 9, "version": 1'),
    "unknown top-level key": in_text('{"signatures"', '{"extra": 1, "signatures"'),
    "float version": in_text('"version": 1', '"version": 1.0'),
    "not a number": in_text('"version": 1', '"version": NaN'),
    "infinite": in_text('"version": 1', '"version": Infinity'),
    "large number": in_text('"version": 1', f'"version": {10**400}'),
    "fast forward": in_text('"version": 1', f'"version": {2**53}'),
    "negative": in_text('"version": 1', '"version": -1'),
    "text version": in_text('"version": 1', '"version": "1"'),
    "deep": lambda data: b"[" * 5000 + b"]" * 5000,
    "deep inside": in_text('"version": 1', '"x": ' + "[" * 60 + "]" * 60 + ', "version": 1'),
    "truncated": lambda data: data[:-10],
    "empty": lambda data: b"",
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "list": lambda data: b"[]",
    "other type": in_text('"_type": "timestamp"', '"_type": "snapshot"'),
    "too large": lambda data: data + b" " * 20_000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_python_tuf_would_read(acme: Vendor, trust: Path, name: str) -> None:
    files = acme.files()
    before = compact(files["timestamp.json"])
    files["timestamp.json"] = TEXTS[name](before)
    assert files["timestamp.json"] != before
    assert refused(acme, files, trust) == (Code.METADATA_MALFORMED, "timestamp.json")


def with_root(acme: Vendor, change: Change) -> bytes:
    return forge(acme.root, [acme.signer(f"root-{n}") for n in (1, 2, 3)], change)


def one_key_twice(signed: dict[str, Any]) -> None:
    first, second, _ = signed["roles"]["root"]["keyids"]
    signed["keys"]["f" * 64] = signed["keys"][first]
    signed["roles"]["root"]["keyids"] = [first, "f" * 64, second]


def threshold(value: int) -> Change:
    return lambda signed: signed["roles"]["timestamp"].update(threshold=value)


def unknown_keyid(signed: dict[str, Any]) -> None:
    signed["roles"]["timestamp"]["keyids"].append("e" * 64)


def odd_key(signed: dict[str, Any]) -> None:
    keyid = signed["roles"]["timestamp"]["keyids"][0]
    signed["keys"][keyid]["keyval"]["public"] = "00"


def unknown_type(signed: dict[str, Any]) -> None:
    keyid = signed["roles"]["timestamp"]["keyids"][0]
    signed["keys"][keyid].update(keytype="rot13")


@pytest.mark.parametrize(
    "change",
    [one_key_twice, threshold(2), unknown_keyid, odd_key, unknown_type],
    ids=["one key twice", "threshold", "unknown keyid", "odd key", "unknown key type"],
)
def test_roots_that_python_tuf_would_take(acme: Vendor, trust: Path, change: Change) -> None:
    root = with_root(acme, change)
    with pytest.raises(HoldfastError) as caught:
        metadata.verify("acme", {**acme.files(), "1.root.json": root}, root, trust, NOW)
    assert caught.value.code is Code.METADATA_MALFORMED


def test_threshold_zero_is_refused(acme: Vendor) -> None:
    document = json.loads(acme.root)
    document["signed"]["roles"]["root"]["threshold"] = 0
    with pytest.raises(HoldfastError) as caught:
        gate("1.root.json", json.dumps(document).encode())
    assert caught.value.code is Code.METADATA_MALFORMED


def test_signatures_stand_once(acme: Vendor) -> None:
    document = json.loads(acme.root)
    document["signatures"].append(document["signatures"][0])
    with pytest.raises(HoldfastError):
        gate("1.root.json", json.dumps(document).encode())


def test_delegations_are_bounded(acme: Vendor) -> None:
    document = json.loads(acme.files()["1.targets.json"])
    role = document["signed"]["delegations"]["roles"][0]
    document["signed"]["delegations"]["roles"] = [role] * 33
    with pytest.raises(HoldfastError):
        gate("1.targets.json", json.dumps(document).encode())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_flipped_metadata_raises_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    acme, files = _shared(tmp_path_factory)
    name = data.draw(st.sampled_from(sorted(files)))
    text = bytearray(files[name])
    text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    trust = tmp_path_factory.mktemp("trust")
    try:
        found = check(acme, {**files, name: bytes(text)}, trust)
    except HoldfastError as error:
        assert error.exit_code == 4  # noqa: PT017  the point is that nothing else rises
    else:
        # White space, and signatures beyond the threshold, may differ; what was signed may not.
        assert [release.release_seq for release in found.releases] == [1]


_SHARED: list[tuple[Vendor, dict[str, bytes]]] = []


def _shared(factory: pytest.TempPathFactory) -> tuple[Vendor, dict[str, bytes]]:
    if not _SHARED:
        acme = signed_stick(factory.mktemp("shared"))
        _SHARED.append((acme, acme.files()))
    return _SHARED[0]


def test_keys_written_in_another_way_are_the_same_key(acme: Vendor) -> None:
    """An ed25519 key as hex in capitals is still that key."""
    document = json.loads(acme.root)
    first, second, _ = document["signed"]["roles"]["root"]["keyids"]
    twin = json.loads(json.dumps(document["signed"]["keys"][first]))
    twin["keyval"]["public"] = twin["keyval"]["public"].upper()
    document["signed"]["keys"]["d" * 64] = twin
    document["signed"]["roles"]["root"]["keyids"] = [first, "d" * 64, second]
    with pytest.raises(HoldfastError):
        gate("1.root.json", json.dumps(document).encode())
