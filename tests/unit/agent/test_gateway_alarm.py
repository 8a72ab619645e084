"""A gateway that cannot decide refuses, counts it, and says it once."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest
from holdfast_policy.port import ENGINE_ERROR

from tests.unit.agent.gateway_site import error_of, running


async def test_an_unregistered_jurisdiction_is_refused_counted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, "de-1") as site:
        node = site.nodes["de-1"]
        facts = node.trust.nodes["de-1"]
        node.trust.nodes["de-1"] = msgspec.structs.replace(facts, jurisdiction="XX")
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                assert error_of(await site.ask()) == "NO_LEGAL_PLACEMENT"
    assert node.alarm.counts == {ENGINE_ERROR: 3}
    (said,) = [line for line in caplog.messages if "Policy alarm" in line]
    assert "jurisdiction 'XX' is not registered" in said
    assert "hello" not in said


async def test_what_is_denied_in_order_raises_no_alarm(tmp_path: Path) -> None:
    async with running(tmp_path, "de-1") as site:
        node = site.nodes["de-1"]
        facts = node.trust.nodes["de-1"]
        node.trust.nodes["de-1"] = msgspec.structs.replace(facts, jurisdiction="FR")
        assert error_of(await site.ask()) == "NO_LEGAL_PLACEMENT"
    assert node.alarm.counts == {}
