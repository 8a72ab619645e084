"""The choke point: what python-tuf would let pass and we do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from holdfast_bundles.site import Outcome, generate_key, load_frame
from holdfast_bundles.site.metadata import binding, read, read_role
from holdfast_bundles.site.names import bin_prefix, parse_file, parse_target
from holdfast_bundles.site.tufapi import Metadata, Root, Signature, SSlibKey
from holdfast_protocol.errors import Code, HoldfastError

from tests.unit.bundles.site_world import NOW, SITE, Site, new_site, signed_file

TIMESTAMP = "timestamp.json"


def _code(name: str, data: bytes) -> Code:
    with pytest.raises(HoldfastError) as refused:
        read(name, data, SITE)
    return refused.value.code


def _timestamp(**changes: Any) -> bytes:
    top = json.loads(new_site().repository.files[TIMESTAMP])
    top["signed"].update(changes)
    return json.dumps(top).encode()


def test_bytes_that_are_not_strict_json() -> None:
    good = new_site().repository.files[TIMESTAMP]
    assert read(TIMESTAMP, good, SITE).signed.version == 1
    extra = json.loads(good)
    extra["more"] = 1
    bad = {
        "empty": b"",
        "not json": b"x",
        "truncated": good[:-1],
        "a key twice": good.replace(b'"version":1}', b'"version":1,"version":1}'),
        "more beside signed": json.dumps(extra).encode(),
        "a fraction": good.replace(b'"version":1}', b'"version":1.0}'),
        "a huge number": good.replace(b'"version":1}', b'"version":' + b"9" * 40 + b"}"),
        "depth": b"[" * 33 + b"]" * 33,
        "too large": good + b" " * 16 * 1024,
        "latin-1": good.replace(b"alpha", b"alph\xe4"),
        "a signature twice": _twice(good),
        "a list": b"[]",
    }
    assert b'"version":1,"version":1' in bad["a key twice"]
    for why, data in bad.items():
        assert _code(TIMESTAMP, data) is Code.METADATA_MALFORMED, why


def _twice(good: bytes) -> bytes:
    top = json.loads(good)
    top["signatures"] *= 2
    return json.dumps(top).encode()


def test_binding_to_role_site_type_and_version() -> None:
    files = new_site().repository.files
    assert _code(TIMESTAMP, _timestamp(**binding("snapshot", SITE))) is Code.SITE_BINDING
    assert _code(TIMESTAMP, _timestamp(**binding("timestamp", "beta"))) is Code.SITE_BINDING
    assert _code(TIMESTAMP, _timestamp(**{"x-hf": 1})) is Code.SITE_BINDING
    assert _code(TIMESTAMP, files["1.snapshot.json"]) is Code.SITE_BINDING
    assert _code("1.approvals.json", files["1.revoked.json"]) is Code.SITE_BINDING
    assert _code("2.approvals.json", files["1.approvals.json"]) is Code.METADATA_ROLLBACK


@pytest.mark.parametrize(
    "name",
    ["1.timestamp.json", "targets.json", "0.targets.json", "01.targets.json", "1.policy.json",
     "1.ok-1234.json", "1.ok-ABCDEF01.json", "../1.targets.json", "1.targets.json\n",
     "-1.targets.json", "1.ok-+1234567.json", "1.ok-12345678.json.json", ""],
)  # fmt: skip
def test_names_that_are_never_asked_for(name: str) -> None:
    with pytest.raises(HoldfastError) as refused:
        parse_file(name)
    assert refused.value.code is Code.PATH_REFUSED


def test_names_of_bins_are_exact() -> None:
    assert bin_prefix("ok-0a1b2c3d") == "ok"
    for name in ("ok-+1234567", "ok- 1234567", "ok-1_234567", "ok-ABCDEF01", "ok-0x123456",
                 "ok-1234567", "ok-123456789", "xx-12345678", "ok-1234567\n"):  # fmt: skip
        assert bin_prefix(name) is None


@pytest.mark.parametrize(
    "path",
    ["allow/acme/llm/1.0/manifest.json/", "allow/acme/llm/../manifest.json", "vendors/.json",
     "allow/acme/llm/1.0/other.json", "vendors/a/b.json", "nodes/A.json", "deny/sha256/" + "A" * 64,
     "deny/sha256/" + "0" * 63, "deny/other/x", "deny/app/..", "/nodes/a.json", ""],
)  # fmt: skip
def test_paths_that_are_no_targets(path: str) -> None:
    assert parse_target(path) is None


def _root(site: Site) -> Root:
    root: Root = read_role("root", site.pinned, SITE).signed
    return root


def _resigned(site: Site, root: Root) -> bytes:
    return signed_file(root, *[p.root for p in site.people])


def test_one_key_under_two_ids_is_one_key() -> None:
    site = new_site()
    root = _root(site)
    first = site.people[0]
    key = root.keys[first.officer.root_keyid]
    twin = SSlibKey("0" * 64, key.keytype, key.scheme, dict(key.keyval))
    root.add_key(twin, "root")
    # python-tuf by itself counts one signature, copied under the second id, as two.
    file: Metadata[Root] = Metadata(root)
    text = first.root.sign(file.signed_bytes)
    for keyid in (first.officer.root_keyid, twin.keyid):
        file.signatures[keyid] = Signature(keyid, text)
    assert root.get_verification_result("root", file.signed_bytes, file.signatures).verified
    with pytest.raises(HoldfastError) as refused:
        read_role("root", _resigned(site, root), SITE)
    assert refused.value.code is Code.METADATA_MALFORMED


def test_a_threshold_above_the_keys_is_refused() -> None:
    site = new_site()
    root = _root(site)
    root.roles["root"].threshold = 4
    with pytest.raises(HoldfastError) as refused:
        read_role("root", _resigned(site, root), SITE)
    assert refused.value.code is Code.METADATA_MALFORMED


def _change(root: Root, what: str) -> None:
    officers: list[dict[str, str]] = root.unrecognized_fields["x-hf"]["officers"]
    match what:
        case "a person twice":
            officers[1]["person"] = "ＯＦＦＩＣＥＲ-1"  # NFKC folds it to officer-1
        case "no register":
            del root.unrecognized_fields["x-hf"]["officers"]
        case "a key nobody holds":
            root.add_key(generate_key().public, "root")
        case "another key than registered":
            officers[0]["root_public"] = generate_key().public_hex
        case "one suffices":
            root.roles["root"].threshold = 1
        case "one suffices for targets":
            root.roles["targets"].threshold = 1
        case _:  # an officer stamps
            keyid = officers[0]["root_keyid"]
            root.roles["timestamp"].keyids.append(keyid)


@pytest.mark.parametrize(
    "what",
    ["a person twice", "no register", "a key nobody holds", "another key than registered",
     "one suffices", "one suffices for targets", "an officer stamps"],
)  # fmt: skip
def test_readers_hold_root_to_its_register(tmp_path: Path, what: str) -> None:
    site = new_site()
    root = _root(site)
    _change(root, what)
    data = _resigned(site, root)
    with pytest.raises(HoldfastError) as refused:
        load_frame({**site.repository.in_force(), "root": data}, SITE)
    assert refused.value.code is Code.METADATA_MALFORMED
    # The same as a second root, signed by every officer: refused, and the first one stands.
    root.version = 2
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    second = {**site.repository.files, "2.root.json": _resigned(site, root)}.get
    assert trust.refresh(second, NOW).outcome is Outcome.REFUSED
    assert len(trust.view(NOW).officers) == 3


@pytest.mark.parametrize("role", ["targets", "approvals", "apps", "revoked"])
@pytest.mark.parametrize("what", ["targets", "keys", "threshold", "bits"])
def test_readers_hold_the_frame_to_its_shape(role: str, what: str) -> None:
    site = new_site()
    files = site.repository.in_force()
    signed = read_role(role, files[role], SITE).signed
    delegations = signed.delegations
    match what, role:
        case "targets", _:
            approval = site.allow("acme/llm")
            assert approval
            bin_role = next(r for r in site.repository.in_force() if r.startswith("ok-"))
            held = read_role(bin_role, site.repository.in_force()[bin_role], SITE).signed
            signed.targets = held.targets
        case "threshold", "targets":
            delegations.roles["approvals"].threshold = 1
        case "threshold", "approvals":
            delegations.succinct_roles.threshold = 1
        case "threshold", _:
            delegations.succinct_roles.threshold = 4
        case _, "targets":
            del delegations.roles["revoked"]
        case "keys", _:
            signed.add_key(generate_key().public)
        case _:
            delegations.succinct_roles.name_prefix = "xx"
    data = signed_file(signed, *[p.root for p in site.people])
    with pytest.raises(HoldfastError) as refused:
        load_frame({**files, role: data}, SITE)
    assert refused.value.code is Code.METADATA_MALFORMED
