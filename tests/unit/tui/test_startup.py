"""What a plain verb loads, and what a broken member does to the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from holdfast_tui import extensions
from holdfast_tui.shell import run

from tests.unit.tui.desk import Desk

SLOW = ("textual", "nats", "tuf", "cryptography", "sqlite3", "holdfast_lab", "holdfast_bundles")
BROKEN = EntryPoint("broken", "no_such_module:app", extensions.GROUP)
NO_GROUP = EntryPoint("odd", "json:dumps", extensions.GROUP)


def test_help_of_a_plain_verb_loads_nothing_slow() -> None:
    script = (
        "import json, sys\n"
        "from holdfast_tui.main import connect\n"
        "from holdfast_tui.shell import run\n"
        "code = run(['nodes', '--help'], connect)\n"
        f"print(json.dumps([code, [m for m in {SLOW!r} if m in sys.modules]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {**extensions.found(), "broken": BROKEN, "odd": NO_GROUP}
    monkeypatch.setattr(extensions, "found", lambda: found)


@pytest.mark.usefixtures("broken")
def test_a_broken_member_is_named_and_breaks_nothing_else(desk: Desk) -> None:
    assert desk.run("nodes").code == 0
    listed = desk.run("--help").out
    assert "could not be loaded" in listed
    assert "bundle" in listed
    said = desk.run("broken", "anything", "--at", "all", "--json")
    assert said.code == 2
    assert said.json["error"]["code"] == "CONFIG_INVALID"
    assert "no_such_module" in said.json["error"]["message"]
    assert desk.run("odd").code == 2


def test_what_stands_before_a_members_verb_is_handed_on(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["--json", "--site", str(desk.root / "none"), "lab", "status"], desk.site.connect)
    said = json.loads(capsys.readouterr().out)
    assert (code, said["error"]["code"]) == (2, "SITE_UNKNOWN")
    assert str(desk.root / "none") in said["error"]["message"]


def test_a_members_verb_takes_the_shared_options_too(desk: Desk) -> None:
    said = desk.run("bundle", "inspect", "/nowhere", "--as", "officer-1", "--site", "/x", "--json")
    assert said.json["error"]["code"] != "BAD_REQUEST"
    assert desk.run("lab", "status", "--as", "officer-1", "--site", "/x").code == 2
    assert "--as WHO" in desk.run("lab", "status", "--help").out


def test_the_console_refuses_a_terminal_that_cannot_carry_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = desk.run("console")
    assert said.code == 2
    assert "holdfast status" in said.err
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    said = desk.run("console")
    assert (said.code, "cannot carry a console" in said.err) == (2, True)
