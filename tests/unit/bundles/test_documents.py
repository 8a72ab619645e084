"""The small documents of a bundle: manifest, configuration, bill, probes, chunk index, names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from holdfast_bundles import bom, licences, manifest
from holdfast_bundles.logic import chunks, names, probes, tickets
from holdfast_bundles.logic.names import Release
from holdfast_bundles.manifest import Descriptor, Manifest, digest_of
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import CHUNK_BYTES, PROBES_MAX
from hypothesis import given
from hypothesis import strategies as st

Change = Callable[[dict[str, Any]], None]
RELEASE = Release("acme/tiny", "1.0")


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def layer(number: int, media_type: str, path: str = "", size: int = 5000) -> Descriptor:
    annotations = {manifest.FILEPATH: path} if path else {}
    if media_type == manifest.WEIGHTS_TYPE:
        annotations[manifest.CHUNKS] = digest(5)
    return Descriptor(
        media_type=media_type, digest=digest(number), size=size, annotations=annotations
    )


GOOD = Manifest(
    schema_version=2,
    media_type=manifest.MANIFEST_TYPE,
    artifact_type=manifest.ARTIFACT_TYPE,
    config=layer(1, manifest.CONFIG_TYPE),
    layers=[
        layer(2, manifest.WEIGHTS_TYPE, "model.gguf"),
        layer(3, manifest.DOC_TYPE, "docs/README.md"),
        layer(4, manifest.BOM_TYPE),
        layer(5, chunks.MEDIA_TYPE),
        layer(6, probes.MEDIA_TYPE),
    ],
    annotations={manifest.PARENTS: digest(9)},
)


def test_a_manifest_reads_as_it_was_written() -> None:
    read = manifest.parse(manifest.to_bytes(GOOD))
    assert read == GOOD
    assert read.parents == [digest(9)]
    assert read.probes is not None
    assert read.chunk_index is not None
    assert len(read.blobs) == 6


def layers(number: int, **values: Any) -> Change:
    return lambda value: value["layers"][number].update(values)


def more(*items: dict[str, Any]) -> Change:
    return lambda value: value["layers"].extend(items)


def doc(path: str, number: int = 20) -> dict[str, Any]:
    return {
        "mediaType": manifest.DOC_TYPE,
        "digest": digest(number),
        "size": 1,
        "annotations": {manifest.FILEPATH: path},
    }


BAD_MANIFESTS: dict[str, Change] = {
    "version": lambda value: value.update(schemaVersion=1),
    "type": lambda value: value.update(mediaType="x"),
    "artifact": lambda value: value.update(artifactType="x"),
    "unknown field": lambda value: value.update(subject={}),
    "config type": lambda value: value["config"].update(mediaType="x"),
    "no layers": lambda value: value.update(layers=[]),
    "archive": layers(1, mediaType="application/vnd.cncf.model.weight.v1.tar"),
    "unknown layer": layers(1, mediaType="application/octet-stream"),
    "two weights": lambda value: value["layers"].append(
        {**value["layers"][0], "digest": digest(8)}
    ),
    "no bill": lambda value: value["layers"].pop(2),
    "digest short": layers(1, digest="sha256:ab"),
    "digest capitals": layers(1, digest="sha256:" + "A" * 64),
    "digest kind": layers(1, digest="md5:" + "a" * 32),
    "size negative": layers(1, size=-1),
    "size huge": layers(1, size=2**52),
    "size fraction": layers(1, size=1.5),
    "weights empty": layers(0, size=0),
    "weights nameless": layers(0, annotations={}),
    "same name": more(doc("docs/README.md")),
    "same name by case": more(doc("docs/readme.MD")),
    "name below a file": more(doc("model.gguf/x")),
    "name upwards": more(doc("../x")),
    "name absolute": more(doc("/etc/passwd")),
    "name dot": more(doc("./x")),
    "name backslash": more(doc("a\\b")),
    "name of a device": more(doc("aux.txt")),
    "name with end dot": more(doc("a.")),
    "name control": more(doc("a\nb")),
    "name odd letter": more(doc("r\u0435adme.md")),
    "name long": more(doc("a" * 101)),
    "name deep": more(doc("/".join("abcdefghi"))),
    "one digest two sizes": more(doc("x.md", 3)),
    "chunk index absent": lambda value: value["layers"].pop(3),
    "bill too large": layers(2, size=2 << 20),
    "probes too large": layers(4, size=2 << 20),
    "parent": lambda value: value["annotations"].update({manifest.PARENTS: "x"}),
    "parents": lambda value: value["annotations"].update(
        {manifest.PARENTS: ",".join([digest(9)] * 17)}
    ),
}


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_bad_manifests(name: str) -> None:
    value = json.loads(manifest.to_bytes(GOOD))
    BAD_MANIFESTS[name](value)
    with pytest.raises(HoldfastError) as caught:
        manifest.parse(json.dumps(value).encode())
    assert caught.value.code in (Code.MANIFEST_INVALID, Code.METADATA_MALFORMED)


def config(**changes: Any) -> bytes:
    value: dict[str, dict[str, Any]] = {
        "descriptor": {"vendor": "acme", "name": "tiny", "version": "1.0", "licenses": ["MIT"]},
        "config": {"architecture": "llama", "format": "gguf"},
        "modelfs": {"type": "layers", "diffIds": [item.digest for item in GOOD.layers]},
    }
    for path, new in changes.items():
        part, _, key = path.partition("__")
        value[part] = {**value[part], key: new}
    return json.dumps(value).encode()


def test_configurations_speak_of_their_manifest() -> None:
    read = manifest.parse_config(config(), GOOD, RELEASE)
    assert read.config.architecture == "llama"


@pytest.mark.parametrize(
    "changes",
    [
        {"descriptor__version": "2.0"},
        {"descriptor__vendor": "evil"},
        {"descriptor__licenses": []},
        {"descriptor__licenses": ["MIT", "Apache-2.0"]},
        {"modelfs__diffIds": []},
        {"config__architecture": 1},
    ],
)
def test_bad_configurations(changes: dict[str, Any]) -> None:
    with pytest.raises(HoldfastError) as caught:
        manifest.parse_config(config(**changes), GOOD, RELEASE)
    assert caught.value.code is Code.MANIFEST_INVALID


NAMED = [item for item in GOOD.layers if manifest.FILEPATH in item.annotations]
BILL = bom.build(RELEASE, "MIT", NAMED, digest(2), [digest(9)])


def test_bills_agree_with_their_manifest() -> None:
    bom.check(BILL, GOOD, RELEASE, "MIT")
    assert bom.build(RELEASE, "MIT", NAMED, digest(2), [digest(9)]) == BILL


BAD_BILLS: dict[str, Change] = {
    "format": lambda value: value.update(bomFormat="SPDX"),
    "spec": lambda value: value.update(specVersion="1.5"),
    "model": lambda value: value["metadata"]["component"].update(name="other"),
    "weights": lambda value: value["metadata"]["component"]["hashes"][0].update(content="00"),
    "licence": lambda value: value["metadata"]["component"].update(
        licenses=[{"expression": "Apache-2.0"}]
    ),
    "ancestor": lambda value: value["metadata"]["component"].pop("pedigree"),
    "file missing": lambda value: value["components"].pop(),
    "file hash": lambda value: value["components"][0]["hashes"][0].update(content="00"),
    "no hashes": lambda value: value["components"][0].update(hashes=[]),
    "no metadata": lambda value: value.pop("metadata"),
}


@pytest.mark.parametrize("name", BAD_BILLS)
def test_bad_bills(name: str) -> None:
    value = json.loads(BILL)
    BAD_BILLS[name](value)
    with pytest.raises(HoldfastError) as caught:
        bom.check(json.dumps(value).encode(), GOOD, RELEASE, "MIT")
    assert caught.value.code is Code.BOM_INVALID


def test_the_schema_refuses_unknown_keys() -> None:
    value = json.loads(BILL)
    value["invented"] = True
    with pytest.raises(HoldfastError) as caught:
        bom.validate_schema(json.dumps(value).encode())
    assert caught.value.code is Code.BOM_INVALID


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("mit", "MIT"),
        ("Apache-2.0 OR MIT", "Apache-2.0 OR MIT"),
        ("LicenseRef-Llama-3", "LicenseRef-Llama-3"),
        ("MIT  AND LicenseRef-x", "MIT AND LicenseRef-x"),
    ],
)
def test_licences(text: str, usual: str) -> None:
    assert licences.normalise(text) == usual


PROBE: dict[str, Any] = {
    "name": "login",
    "op": "embed",
    "input": "reset my password",
    "expect": {"kind": "embedding_cosine", "vector": [0.6, 0.8], "min": 0.99},
}
CHAT: dict[str, Any] = {
    "name": "hello",
    "op": "chat",
    "input": "Hello",
    "parameters": {"temperature": 0, "max_tokens": 4},
    "expect": {"kind": "exact", "text": "Hi"},
}


def test_probes_read_as_they_were_written() -> None:
    read = probes.parse(json.dumps([PROBE, CHAT]).encode(), "p.json")
    assert probes.parse(probes.to_bytes(read), "layer") == read


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        [PROBE] * 2,
        [{**PROBE, "name": f"p-{number}"} for number in range(PROBES_MAX + 1)],
        [{**PROBE, "op": "chat"}],
        [{**CHAT, "op": "embed"}],
        [{**CHAT, "op": "rerank"}],
        [{**CHAT, "name": "Not A Token"}],
        [{**CHAT, "expect": {"kind": "exact", "text": ""}}],
        [{**CHAT, "expect": {"kind": "similar", "text": "x"}}],
        [{**CHAT, "unknown": 1}],
        [{**CHAT, "parameters": {"a": [1]}}],
        [{**PROBE, "expect": {"kind": "embedding_cosine", "vector": [], "min": 0.9}}],
        [{**PROBE, "expect": {"kind": "embedding_cosine", "vector": [0.0], "min": 0.9}}],
        [{**PROBE, "expect": {"kind": "embedding_cosine", "vector": [1.0], "min": 2}}],
        [{**PROBE, "expect": {"kind": "embedding_cosine", "vector": [1e308, 1e308], "min": 0}}],
    ],
)
def test_bad_probes(value: Any) -> None:
    with pytest.raises(HoldfastError) as caught:
        probes.parse(json.dumps(value).encode(), "p.json")
    assert (caught.value.code, caught.value.file) == (Code.METADATA_MALFORMED, "p.json")


@pytest.mark.parametrize(
    ("value", "total"),
    [
        ({"size": 0, "sha256": []}, 5000),
        ({"size": 4095, "sha256": ["0" * 64] * 2}, 5000),
        ({"size": CHUNK_BYTES + 1, "sha256": ["0" * 64]}, 5000),
        ({"size": 4096, "sha256": ["0" * 64]}, 5000),
        ({"size": 4096, "sha256": ["0" * 64] * 3}, 5000),
        ({"size": 4096, "sha256": ["0" * 63, "0" * 64]}, 5000),
        ({"size": 4096, "sha256": ["0" * 64] * 2, "more": 1}, 5000),
        ({"size": -4096, "sha256": []}, 5000),
    ],
)
def test_bad_chunk_indices(value: dict[str, Any], total: int) -> None:
    with pytest.raises(HoldfastError) as caught:
        chunks.parse(json.dumps(value).encode(), total, "chunks.json")
    assert caught.value.code is Code.MANIFEST_INVALID


@pytest.mark.parametrize(
    "vendor", ["root", "targets", "snapshot", "timestamp", "1a", "-a", "A", ""]
)
def test_vendor_names(vendor: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        names.vendor_name(vendor)
    assert caught.value.code is Code.BAD_NAME


@given(st.binary(max_size=300))
def test_no_document_raises_anything_else(data: bytes) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: manifest.parse(data),
        lambda: manifest.parse_config(data, GOOD, RELEASE),
        lambda: bom.check(data, GOOD, RELEASE, "MIT"),
        lambda: probes.parse(data, "p.json"),
        lambda: chunks.parse(data, 5000, "c.json"),
    ]
    for attempt in attempts:
        with pytest.raises(HoldfastError):
            attempt()


def test_a_ticket_without_a_node_is_refused() -> None:
    for uris in ([], ["holdfast:node:a", "holdfast:node:b"], ["spiffe://x"]):
        with pytest.raises(HoldfastError) as caught:
            tickets.node_of_uris(uris)
        assert caught.value.code is Code.TICKET_REFUSED


def test_equal_manifests_have_equal_digests() -> None:
    again = manifest.parse(encode(GOOD))
    assert digest_of(manifest.to_bytes(again)) == digest_of(manifest.to_bytes(GOOD))
