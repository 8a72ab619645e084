"""The programs of a lab's site, by the names of their scripts; the lab imports none of them."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from holdfast_protocol import brokers

from holdfast_lab.layout import Layout
from holdfast_lab.parts import CONFIG
from holdfast_lab.processes import Program
from holdfast_lab.site_file import SiteFile


def programs(layout: Layout, site: SiteFile) -> tuple[Program, ...]:
    """Return every program of ``site``; stage 0 ends last."""
    binary = str(brokers.server_binary())
    found = [_broker(layout, site, zone, binary) for zone in site.brokers]
    found += [_ours(layout, f"relay-{zone}", "holdfast-relay", 1) for zone in site.brokers]
    found += [
        _ours(layout, "minter", "holdfast-minter", 1),
        _ours(layout, "importer", "holdfast-importer", 1),
        _ours(layout, "range", "holdfast-range", 1),
        _ours(layout, "controller", "holdfast-controller", 2),
    ]
    found += [_ours(layout, f"agent-{one.node}", "holdfast-agent", 3) for one in site.nodes]
    found += [_ours(layout, f"gateway-{one.node}", "holdfast-gateway", 4) for one in site.nodes]
    return tuple(found)


def _broker(layout: Layout, site: SiteFile, zone: str, binary: str) -> Program:
    folder = layout.part(f"broker-{zone}")
    return Program(
        name=f"broker-{zone}",
        argv=(binary, "-c", str(folder / "nats.conf")),
        stage=0,
        # By the environment, so that the key stands in no file that the broker reads and in no
        # argument that others can list.
        environment={brokers.STORE_KEY_VARIABLE: (folder / "store.key").read_text().strip()},
        ready_port=site.brokers[zone].client,
    )


def _ours(layout: Layout, part: str, script: str, stage: int) -> Program:
    return Program(
        name=part,
        argv=(str(script_path(script)), "--config", str(layout.part(part) / CONFIG)),
        stage=stage,
    )


def script_path(name: str) -> Path:
    """Return where a script of this environment lies, whatever PATH says."""
    return Path(sysconfig.get_path("scripts")) / name
