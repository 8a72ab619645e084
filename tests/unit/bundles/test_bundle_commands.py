"""``holdfast bundle`` as people type it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from holdfast_bundles.commands import app
from holdfast_protocol.errors import Code, HoldfastError
from typer.testing import CliRunner

from tests.unit.bundles.sticks import PAST, Vendor
from tools.demo.models import tiny_llama

PROBES = [
    {
        "name": "first",
        "op": "complete",
        "input": "the",
        "parameters": {"temperature": 0},
        "expect": {"kind": "token_prefix", "text": "x"},
    }
]


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == code, (result.output, result.exception)
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def failing(*arguments: object) -> Code:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert isinstance(result.exception, HoldfastError)
    return result.exception.code


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    tiny_llama(folder / "tiny.gguf", 1)
    (folder / "README.md").write_text("Random weights.\n")
    (folder / ".gitattributes").write_text("*\n")
    (tmp_path / "probes.json").write_text(json.dumps(PROBES))
    return folder


def build(model: Path, stick: Path, *more: object) -> list[object]:
    options = ["--name", "acme/tiny", "--version", "1.0", "--license", "Apache-2.0"]
    return ["build", model, *options, "--out", stick, *more]


def test_the_whole_way(tmp_path: Path, model: Path) -> None:
    keys, stick = tmp_path / "keys", tmp_path / "stick"
    made = run("keys", "--vendor", "acme", "--out", keys)
    root = keys / "root.json"
    assert made == {"vendor": "acme", "root": str(root)}
    built = run(*build(model, stick, "--probe", tmp_path / "probes.json"))
    assert (built["name"], built["skipped"]) == ("acme/tiny", [".gitattributes"])
    verdict = run("verify", stick, "--root", root, code=4)
    assert (verdict["ok"], verdict["code"]) == (False, "UNSIGNED")
    assert run("sign", stick, "--keys", keys)["targets"] == ["acme/tiny/1.0/manifest.json"]
    verdict = run("verify", stick, "--root", root)
    assert (verdict["ok"], verdict["code"], verdict["file"]) == (True, None, None)
    assert any(line.startswith("acme ") for line in verdict["signers"])
    (shown,) = run("inspect", stick)["models"]
    assert (shown["digest"], shown["probes"]) == (built["digest"], 1)
    assert shown["license"] == "Apache-2.0"
    assert run("inspect", stick, "--root", root)["verified"] is True
    text = CliRunner().invoke(app, ["inspect", str(stick)]).stdout
    assert text.startswith("UNVERIFIED")

    weights = max(
        (stick / "modelbundle/oci/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size
    )
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(bytes(data))
    verdict = run("verify", stick, "--root", root, code=4)
    assert (verdict["code"], verdict["file"]) == ("BLOB_DIGEST", str(weights.relative_to(stick)))
    weights.unlink()
    verdict = run("verify", stick, "--root", root, code=4)
    assert (verdict["code"], verdict["file"]) == ("BLOB_MISSING", str(weights.relative_to(stick)))
    Vendor("acme", keys, stick).sign(PAST)
    verdict = run("verify", stick, "--root", root, code=4)
    assert (verdict["code"], verdict["file"]) == ("METADATA_EXPIRED", "timestamp.json")
    run("keys", "--vendor", "other", "--out", tmp_path / "other")
    verdict = run("verify", stick, "--root", tmp_path / "other/root.json", code=4)
    assert (verdict["code"], verdict["signers"]) == ("BAD_SIGNATURE", [])


def test_mistakes_are_told_by_code(tmp_path: Path, model: Path) -> None:
    stick = tmp_path / "stick"
    assert failing("keys", "--vendor", "Root!", "--out", tmp_path / "k") is Code.BAD_NAME
    assert failing("verify", stick, "--root", tmp_path / "no.json") is Code.NOT_FOUND
    assert failing("inspect", stick) is Code.BUNDLE_MISSING
    assert failing(*build(tmp_path / "nothing", stick)) is Code.NOT_FOUND
    assert failing(*build(model, stick, "--parent", "x")) is Code.BAD_NAME
    assert failing(*build(model, stick, "--probe", tmp_path / "no")) is Code.NOT_FOUND
    embed = [
        {
            **PROBES[0],
            "op": "embed",
            "expect": {"kind": "embedding_cosine", "vector": [1.0], "min": 0.9},
        }
    ]
    (tmp_path / "probes.json").write_text(json.dumps(embed))
    probe = tmp_path / "probes.json"
    assert failing(*build(model, stick, "--probe", probe)) is Code.METADATA_MALFORMED
    run(*build(model, stick))
    assert failing("sign", stick, "--keys", tmp_path / "none") is Code.CONFIG_INVALID
    run("keys", "--vendor", "beta", "--out", tmp_path / "beta")
    assert failing("sign", stick, "--keys", tmp_path / "beta") is Code.NOT_FOUND
