"""Officers' acts at the gateways: what runs ends at once, and a revoked node has no peers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from holdfast_protocol.bus.port import Message

from tests.unit.agent.gateway_site import DIGEST, Node, Site, error_of, running, text_of, until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """``de-1`` takes requests; all three execute."""
    async with running(tmp_path, "de-1", "de-2", "de-3", entry=("de-1",)) as started:
        yield started


def deny(node: Node) -> None:
    """Let ``node`` read that the model is denied."""
    node.trust.denied.add(DIGEST)
    node.world.take_trust(node.trust)


def revoke(name: str, *readers: Node) -> None:
    """Let ``readers`` read that ``name`` is revoked."""
    for reader in readers:
        del reader.trust.nodes[name]
        del reader.trust.keys[name]
        reader.world.take_trust(reader.trust)


@pytest.mark.parametrize("accept", ["final", "stream"])
async def test_what_runs_on_a_denied_model_ends_at_once_with_its_code(
    site: Site, accept: str
) -> None:
    one = site.nodes["de-1"]
    one.engine.gate.clear()
    asked = asyncio.create_task(site.ask() if accept == "final" else _last(site))
    await until(lambda: one.engine.open == 1)
    deny(one)
    async with asyncio.timeout(2):
        assert error_of(await asked) == "DENIED_MODEL"
    await until(lambda: one.engine.aborted == 1)
    assert error_of(await site.ask()) == "DENIED_MODEL"


async def test_an_engine_that_was_stopped_before_the_gateway_read_of_it(site: Site) -> None:
    one = site.nodes["de-1"]

    async def read() -> None:
        deny(one)

    one.world.look_again = read
    one.engine.dies_after = 1
    assert error_of(await _last(site)) == "DENIED_MODEL"


async def test_an_engine_that_died_by_itself_is_said_to_have_failed(site: Site) -> None:
    site.nodes["de-1"].engine.dies_after = 1
    assert error_of(await _last(site)) == "ENGINE_FAILED"


async def test_nothing_is_forwarded_to_a_revoked_node(site: Site) -> None:
    one, two, three = site.nodes.values()
    one.accept(False)
    revoke("de-2", one, three)
    assert {text_of(await site.ask()) for _ in range(6)} == {"from de-3"}
    assert two.engine.bodies == []


async def test_peers_refuse_the_tickets_of_a_revoked_node(site: Site) -> None:
    one, two, three = site.nodes.values()
    one.accept(False)
    revoke("de-1", two, three)
    said = await site.ask({"Hf-Deadline-Ms": "700"})
    assert error_of(said) in ("NO_LEGAL_PLACEMENT", "DEADLINE", "NODE_DIED", "BUSY")
    assert two.engine.bodies == three.engine.bodies == []
    assert two.service.tally.tickets_refused + three.service.tally.tickets_refused > 0


async def test_a_revoked_node_ends_what_it_runs_and_takes_nothing(site: Site) -> None:
    one = site.nodes["de-1"]
    one.engine.gate.clear()
    asked = asyncio.create_task(_last(site))
    await until(lambda: one.engine.open == 1)
    revoke("de-1", one)
    async with asyncio.timeout(2):
        assert error_of(await asked) == "NODE_DIED"
    assert error_of(await site.ask()) == "NODE_DIED"


async def test_a_gateway_that_left_may_come_back(site: Site) -> None:
    one = site.nodes["de-1"]
    await one.service.leave()
    await one.service.open(["de"])
    assert text_of(await site.ask())


async def _last(site: Site) -> Message:
    return (await site.stream())[-1]
