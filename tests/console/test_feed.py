"""What feeds the console: looks at a site over a bus, and what it says when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from holdfast_tui.console import feed as feeding
from holdfast_tui.console.feed import Feed
from holdfast_tui.invocation import Invocation

from tests.console.demo import furnished
from tests.console.demo_site import DemoSite


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the feed has no event to wait for
            await asyncio.sleep(0.01)


def numbers(feed: Feed) -> list[int]:
    picture = feed.known.picture
    return [] if picture is None else [event.seq for event in picture.events]


def problem(feed: Feed) -> str | None:
    return feed.known.problem


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoSite:
    (tmp_path / "creds" / "operator-1").mkdir(parents=True)
    monkeypatch.delenv("HOLDFAST_AS", raising=False)
    monkeypatch.setattr(feeding, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(feeding, "LOOK_ANSWER_S", 0.2)
    return furnished()


async def test_it_looks_again_and_keeps_events_once(site: DemoSite, tmp_path: Path) -> None:
    feed = Feed(Invocation(connect=site.connect, site_folder=tmp_path))
    running = asyncio.create_task(feed.run())
    await until(lambda: feed.known.picture is not None)
    site.event("NodeLost", "fr-1", "fr-1 is not heard.")
    await until(lambda: numbers(feed)[-1:] == [40])
    assert numbers(feed) == list(range(1, 41))
    running.cancel()


async def test_silence_and_absence_are_said_and_pass(site: DemoSite, tmp_path: Path) -> None:
    site.reachable = False
    feed = Feed(Invocation(connect=site.connect, site_folder=tmp_path))
    running = asyncio.create_task(feed.run())
    await until(lambda: problem(feed) is not None)
    assert numbers(feed) == []
    site.reachable = True
    await until(lambda: numbers(feed) != [] and problem(feed) is None)
    site.silent = True
    await until(lambda: problem(feed) is not None)
    assert str(problem(feed)).startswith("CONTROLLER_DOWN")
    assert numbers(feed) != []
    site.silent = False
    await until(lambda: problem(feed) is None)
    running.cancel()


async def test_it_asks_and_never_tells(site: DemoSite, tmp_path: Path) -> None:
    feed = Feed(Invocation(connect=site.connect, site_folder=tmp_path))
    running = asyncio.create_task(feed.run())
    await until(lambda: feed.known.picture is not None)
    running.cancel()
    assert {name.split(".")[1] for _, name in site.asked} <= {"list", "status"}
