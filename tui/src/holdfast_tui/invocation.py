"""One run of the command: who asks, which site, in what form, and how the bus is reached."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from holdfast_protocol.codec import encode

from holdfast_tui.client import Client
from holdfast_tui.logic.text import json_safe
from holdfast_tui.site import DEFAULT_SITE, DEFAULT_WHO, Site

if TYPE_CHECKING:
    from holdfast_protocol.bus.port import Core
    from typer._click.core import Context

T = TypeVar("T")

Connect = Callable[[Path, str, float], Awaitable["Core"]]
"""From a credentials folder, a name for the broker's log and seconds to try, to a bus."""

CONNECT_S = 3.0


@dataclass(kw_only=True)
class Invocation:
    """Filled by the shared options as they are read; see ``options.py``."""

    connect: Connect
    who: str | None = None
    site_folder: Path | None = None
    as_json: bool = False

    @property
    def site(self) -> Site:
        """The site's folder: the option, else the environment, else the lab's default."""
        named = self.site_folder or os.environ.get("HOLDFAST_SITE") or DEFAULT_SITE
        return Site(Path(named).absolute())

    @property
    def person(self) -> str:
        """Who asks the controller: the option, else the environment, else the lab's operator."""
        return self.who or os.environ.get("HOLDFAST_AS") or DEFAULT_WHO

    @property
    def interactive(self) -> bool:
        """Whether a person watches: progress is for terminals only."""
        return not self.as_json and sys.stdout.isatty() and sys.stderr.isatty()

    def ask(self, question: Callable[[Client], Awaitable[T]]) -> T:
        """Return what ``question`` finds out from the controller, over one connection."""
        site, who = self.site, self.person
        site.check()
        folder = site.identity(who)

        async def asking() -> T:
            bus = await self.connect(folder, f"holdfast {who}", CONNECT_S)
            try:
                return await question(Client(bus, folder.name))
            finally:
                await bus.close()

        return asyncio.run(asking())

    def show(self, value: object, lines: Sequence[str]) -> None:
        """Print ``value`` as one JSON object or ``lines`` for people."""
        if self.as_json:
            print(json_safe(encode(value).decode()))
        else:
            print("\n".join(lines))

    def say(self, text: str) -> None:
        """Print a sentence about what goes on, for people, beside the answer."""
        if not self.as_json:
            print(text, file=sys.stderr, flush=True)


def of(ctx: Context) -> Invocation:
    """Return the invocation that ``ctx`` belongs to."""
    found = ctx.find_object(Invocation)
    assert found is not None, "main hands one in"
    return found
