"""A gateway that starts anew: documents of long ago are refused; routes name what really runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from holdfast_agent.gateway.stamps import StampFile
from holdfast_agent.gateway.world import World
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code
from holdfast_protocol.messages import GatewayState

from tests.unit.agent.gateway_site import Node, Site, error_of, running


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path, "de-1") as started:
        yield started


def started(site: Site, node: Node, folder: Path) -> World:
    """The gateway's knowledge after a start, as ``main`` wires it."""
    world = World(node.name, site.controller.public_key().public_bytes_raw(), node.trust)
    stamps = StampFile(folder)
    world.floor, world.remember = stamps.read(), stamps.write
    return world


def state(site: Site, node: Node, generation: int) -> bytes:
    site.generation = generation
    document = site.document(node.name, site.targets())
    return encode(GatewayState(document=document, slots=(node.slot,)))


async def test_a_document_of_long_ago_is_refused_after_a_restart_too(
    site: Site, tmp_path: Path
) -> None:
    node, folder = site.nodes["de-1"], tmp_path / "segment"
    old, new = state(site, node, 5), state(site, node, 6)
    assert started(site, node, folder).take_state(old) is None
    assert started(site, node, folder).take_state(new) is None
    again = started(site, node, folder)
    refused = again.take_state(old)
    assert refused is not None
    assert refused.code == Code.METADATA_ROLLBACK
    assert not again.table.routes
    # The one it followed before is the one to serve from while nobody has a newer one.
    assert again.take_state(new) is None
    assert again.table.routes["chat"].epoch == 6


async def test_a_gateway_that_cannot_keep_its_stamp_serves(site: Site, tmp_path: Path) -> None:
    node, folder = site.nodes["de-1"], tmp_path / "segment"
    folder.write_bytes(b"in the way")
    world = started(site, node, folder)
    assert world.take_state(state(site, node, 5)) is None
    assert world.table.routes


async def test_a_route_that_calls_a_model_by_anothers_name_leads_nowhere(site: Site) -> None:
    """A denial is asked about the route's digest, so that must be the one that runs."""
    node = site.nodes["de-1"]
    assert (await site.ask()).headers["Hf-Status"] == "200"
    other = msgspec.structs.replace(node.slot, digest="sha256:" + "1" * 64)
    assert node.world.take_state(encode(GatewayState(document=None, slots=(other,)))) is None
    answer = await site.ask({"Hf-Deadline-Ms": "300"})
    assert error_of(answer) in ("DEADLINE", "BUSY", "NOT_LOADED")
    assert node.engine.open == 0
