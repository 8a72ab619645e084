"""A person at a terminal of a demo site: runs the command in this process, reads what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from holdfast_bundles.site import write_key
from holdfast_tui.shell import run

from tests.console.demo_site import DemoSite


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


class Desk:
    """A site's folder with its people, and the command line."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.site = DemoSite()
        self.root = root
        self._capture = capture
        people = [person.name for person in self.site.world.people]
        for who in ("operator-1", "auditor-1", *people):
            (root / "creds" / who).mkdir(parents=True)
        for person in self.site.world.people:
            folder = root / "officers" / person.name
            folder.mkdir(parents=True)
            write_key(folder / "daily.pem", person.daily)

    def run(self, *arguments: str) -> Said:
        """Run one command line against the site."""
        code = run(["--site", str(self.root), *arguments], self.site.connect)
        out, err = self._capture.readouterr()
        return Said(code, out, err)
