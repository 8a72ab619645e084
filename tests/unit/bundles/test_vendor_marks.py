"""Versions that never go down, and the roots that people hand in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from holdfast_bundles.vendor import metadata
from holdfast_bundles.vendor.metadata import below
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import VendorVersions

from tests.unit.bundles.sticks import vendor

MARKS = VendorVersions(
    root=1, timestamp=7, snapshot=7, targets=3, roles={"acme": 3},
    timestamp_keys=["a"], snapshot_keys=["a"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        ({}, None),
        ({"timestamp": 6}, "timestamp"),
        ({"snapshot": 6}, "snapshot"),
        ({"targets": 2}, "targets"),
        ({"root": 0}, "root"),
        ({"roles": {"acme": 2}}, "acme"),
        ({"roles": {}}, None),
        # A root that names other online keys starts their marks anew, never the others'.
        ({"timestamp": 1, "timestamp_keys": ["b"]}, None),
        ({"timestamp": 1, "snapshot": 1, "timestamp_keys": ["b"]}, "snapshot"),
        ({"targets": 2, "timestamp_keys": ["b"], "snapshot_keys": ["b"]}, "targets"),
    ],
)
def test_marks(changes: dict[str, Any], role: str | None) -> None:
    values = {name: getattr(MARKS, name) for name in MARKS.__struct_fields__}
    assert below(VendorVersions(**{**values, **changes}), MARKS) == role


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"signed": []}', b'{"signed": {"version": "1"}}', b"\xff", b"1",
     b'{"signed": {"version": 0, "_type": "root"}, "signatures": []}'],
)  # fmt: skip
def test_a_file_that_is_no_root(data: bytes) -> None:
    with pytest.raises(HoldfastError) as caught:
        metadata.check_root(data)
    assert caught.value.code is Code.METADATA_MALFORMED


def test_a_real_root_is_told_by_its_version(tmp_path: Path) -> None:
    acme = vendor(tmp_path)
    assert metadata.check_root(acme.root) == 1
