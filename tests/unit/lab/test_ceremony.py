"""What a ceremony leaves behind: configurations that load, secrets nobody else can read."""

from __future__ import annotations

import stat

import pytest
from holdfast_bundles.importer.config import ImporterConfig
from holdfast_bundles.range.config import RangeConfig
from holdfast_bundles.site.frame import load_frame
from holdfast_lab import ceremony, site_file
from holdfast_lab.layout import Layout
from holdfast_lab.logic import nodes
from holdfast_protocol import configs
from holdfast_protocol.identity import credentials

EVERYTHING: dict[str, type] = {
    "controller": configs.ControllerConfig,
    "minter": configs.MinterConfig,
    "importer": ImporterConfig,
    "range": RangeConfig,
    "relay-de": configs.RelayConfig,
    "relay-fr": configs.RelayConfig,
    "agent-de-1": configs.AgentConfig,
    "agent-fr-1": configs.AgentConfig,
    "gateway-de-2": configs.GatewayConfig,
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    made = Layout(tmp_path_factory.mktemp("ceremony") / "site")
    ceremony.found(made, nodes.parse(nodes.DEFAULT), ("/media",))
    return made


@pytest.mark.parametrize("part", sorted(EVERYTHING))
def test_every_program_finds_its_configuration(layout: Layout, part: str) -> None:
    assert configs.load(layout.part(part) / "config.json", EVERYTHING[part])


def test_no_file_is_readable_by_others(layout: Layout) -> None:
    open_to_others = [
        path
        for path in layout.root.rglob("*")
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert not open_to_others


def test_the_frame_has_three_officers_of_whom_two_decide(layout: Layout) -> None:
    founding = configs.load(layout.part("controller") / "founding.json", configs.Founding)
    frame = load_frame(founding.files, founding.site)
    assert [officer.person for officer in frame.officers] == list(ceremony.OFFICERS)
    assert frame.threshold("ok-00000000", 1) == 2
    assert frame.threshold("no-00000000", 1) == 1


def test_every_identity_has_a_folder_and_a_key_of_its_own(layout: Layout) -> None:
    folders = sorted(path.parent for path in layout.root.rglob("nats.creds"))
    keys = [credentials.read(folder).key_pair().public for folder in folders]
    assert len(folders) == len(set(keys)) == 6 + 1 + 2 * 3 + 2 * 2 + 1


def test_only_the_minter_and_the_ceremony_hold_signing_keys(layout: Layout) -> None:
    holders = {
        path.relative_to(layout.root).parts[:2]
        for path in layout.root.rglob("*")
        if path.name in {"operator-signing.seed", "ca.key"} or path.name.endswith("-signing.seed")
    }
    assert {"/".join(parts) for parts in holders} <= {
        "parts/minter", "ceremony/sys-signing.seed", "ceremony/control-signing.seed",
        "ceremony/inference-signing.seed",
    }  # fmt: skip


def test_no_secret_stands_in_a_brokers_configuration(layout: Layout) -> None:
    for zone in ("de", "fr"):
        folder = layout.part(f"broker-{zone}")
        text = (folder / "nats.conf").read_text()
        assert (folder / "store.key").read_text() not in text
        assert "SU" not in {word[:2] for word in text.split('"') if len(word) == 58}


def test_a_site_is_founded_once(layout: Layout) -> None:
    saved = site_file.read(layout.site_file)
    assert saved.zone == "de"
    assert saved.zones == {"de": "DE", "fr": "FR"}
    ports = [port for one in saved.brokers.values() for port in (one.client, one.leaf)]
    assert len(set(ports)) == len(ports)
