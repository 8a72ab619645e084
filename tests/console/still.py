"""A console that holds still: a fixed look at the site, clocks that do not run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast_tui.console.app import Console
from holdfast_tui.console.profile import FULL, PLAIN, Profile
from holdfast_tui.logic.console.known import Known, Picture, heard

from tests.console.demo import furnished
from tests.console.demo_site import DemoSite

NOW_S = 1000.0
CLOCK = "14:03:22Z"


class Still:
    """A source that never changes by itself; a test sets ``known``."""

    def __init__(self, known: Known) -> None:
        self.known = known

    async def run(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()


def picture(site: DemoSite) -> Picture:
    """Return one look at a demo site, without a bus."""
    return Picture(
        status=site.status(),
        nodes=tuple(site.nodes),
        gpus=tuple(site.gpus),
        models=tuple(site.models),
        deployments=tuple(site.deployments),
        requests=tuple(site.requests.values()),
        events=tuple(site.events),
    )


def known(site: DemoSite | None = None, *, ago_s: float = 0.4) -> Known:
    """Return what is known of a site that was looked at ``ago_s`` ago."""
    return heard(Known(), picture(site or furnished()), NOW_S - ago_s)


def console(source: Still, profile: Profile, now: Callable[[], float] | None = None) -> Console:
    """Return a console over ``source`` whose clocks stand still unless ``now`` is given."""
    return Console(source, "operator-1", profile, now or (lambda: NOW_S), lambda: CLOCK)


def shown(app: Console) -> list[str]:
    """Return the lines that the console's widget paints, without trailing blanks."""
    return [app.canvas.render_line(y).text.rstrip() for y in range(app.size.height)]


PROFILES = {"80x24": (PLAIN, (80, 24)), "160x48": (FULL, (160, 48))}
