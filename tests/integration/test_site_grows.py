"""A fourth machine becomes a node of a running site: a code, its own keys, two officers."""

from __future__ import annotations

import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration import foreign
from tests.integration.site import SCRIPTS, Site, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("site"), pytest.mark.timeout(180)]

NODE = "de-9"


def code_file(site: Site, name: str, *more: str) -> Path:
    path = site.folder / f"{name}.code"
    made = site.ok("node", "code", name, "--zone", "de", "--out", str(path), *more, who="officer-1")
    assert (made["node"], made["zone"], made["file"]) == (name, "de", str(path))
    return path


def enroll(site: Site, code: Path, folder: Path, *more: str) -> Any:
    return site.ok("node", "enroll", str(code), "--dir", str(folder), "--devices", "sim1x24", *more)


def state_of(site: Site, node: str) -> str | None:
    found = {one["id"]: one["state"] for one in site.look("nodes")["nodes"]}
    return found.get(node)


@contextmanager
def running(site: Site, commands: list[str]) -> Iterator[None]:
    """Run the two commands that enrolment printed, from this environment's scripts."""
    started: list[subprocess.Popen[bytes]] = []
    with (site.folder / f"{NODE}.log").open("ab") as log:
        try:
            for command in commands:
                script, *words = command.split(" ")
                started.append(
                    subprocess.Popen([str(SCRIPTS / script), *words], stdout=log, stderr=log)
                )
            yield
        finally:
            for one in reversed(started):
                one.send_signal(signal.SIGTERM)
            ends = [one.wait(timeout=30) for one in reversed(started)]
    assert ends == [0, 0]


@pytest.fixture(scope="module")
def enrolled(site: Site) -> Iterator[list[str]]:
    """The commands of a node that officers let in; it is revoked in the end."""
    code, folder = code_file(site, NODE), site.folder / NODE
    waiting = enroll(site, code, folder, "--wait", "0")
    assert (waiting["state"], waiting["commands"]) == ("pending", [])
    shown = site.ok("requests", "show", waiting["request"], who="officer-1")
    [entry] = shown["review"]["entries"]
    fields = dict(entry["fields"])
    assert (entry["kind"], entry["subject"]) == ("node", NODE)
    assert fields["fingerprint"] == waiting["fingerprint"], "what the officer compares"
    assert (fields["jurisdiction"], fields["zones"]) == ("DE", "de")
    site.approve(waiting["request"], "officer-1")
    assert enroll(site, code, folder, "--wait", "0")["state"] == "pending", "one is not enough"
    site.approve(waiting["request"], "officer-2")
    done = enroll(site, code, folder, "--wait", "60")
    assert done["state"] == "ready"
    yield done["commands"]
    revoked = site.ok("node", "revoke", NODE, who="officer-1")
    site.approve(revoked["request"], "officer-1")
    assert state_of(site, NODE) == "retired"


async def both_ways(site: Site, app: str, *aliases: str) -> None:
    """Any gateway may take a request: the old ones forward to the new node, and it to them."""
    client = await foreign.connect(site.root / "creds" / app)
    body = b'{"messages":[{"role":"user","content":"hello"}],"max_tokens":2}'
    try:
        for alias in aliases * 8:
            answer = await client.request(f"infer.{alias}.chat", body, timeout=20)
            assert (answer.headers or {})["Hf-Status"] == "200", (alias, answer)
    finally:
        await client.close()


async def test_the_node_serves_and_asks_its_peers(site: Site, enrolled: list[str]) -> None:
    with running(site, enrolled):
        until("the node is ok", lambda: state_of(site, NODE) == "ok")
        for old in ("de-1", "de-2"):
            site.ok("node", "cordon", old)
        site.ok("deploy", "acme/tiny@1", "--alias", "ninth", "--zone", "de", "--wait", "60")
        assert [one["node"] for one in site.replicas("ninth")] == [NODE]
        for old in ("de-1", "de-2"):
            site.ok("node", "uncordon", old)
        grant = site.ok("app", "create", "late", "--zone", "de", "--aliases", "ninth,tiny")
        site.approve(grant["request"], "officer-3")
        await both_ways(site, "late", "ninth", "tiny")
        site.ok("undeploy", "ninth")
        until("nothing is left there", lambda: not site.replicas("ninth"))
        gone = site.ok("app", "revoke", "late", who="officer-1")
        site.approve(gone["request"], "officer-1")
    until("its silence is seen", lambda: state_of(site, NODE) == "down")


def test_private_keys_stay_private_and_at_home(site: Site, enrolled: list[str]) -> None:
    for path in (site.folder / NODE).rglob("*"):
        if "artifacts" in path.parts:
            continue  # a model's bytes are read-only, in a folder that is the node's alone
        mode = stat.S_IMODE(path.stat().st_mode)
        assert not mode & 0o077, (path, oct(mode))
    journal = (site.root / "parts" / "controller" / "journal.sqlite").read_bytes()
    secret = (site.folder / NODE / "gateway" / "x25519.key").read_bytes()
    assert secret not in journal


def test_a_code_is_good_once(site: Site, enrolled: list[str]) -> None:
    other = str(site.folder / "thief")
    code = str(site.folder / f"{NODE}.code")
    site.refused("CODE_USED", 3, "node", "enroll", code, "--dir", other, "--wait", "0")
    again = str(site.folder / NODE)
    site.refused("ALREADY_EXISTS", 2, "node", "enroll", code, "--dir", again)


def test_a_node_in_force_gets_no_other_keys(site: Site, enrolled: list[str]) -> None:
    for node in ("de-1", NODE):
        site.refused("ALREADY_EXISTS", 2, "node", "code", node, "--zone", "de", who="officer-1")


def test_only_officers_make_codes_and_only_beside_the_controller(site: Site) -> None:
    site.refused("NOT_PERMITTED", 3, "node", "code", "de-8", "--zone", "de", who="operator-1")
    site.refused("BAD_REQUEST", 2, "node", "code", "fr-8", "--zone", "fr", who="officer-1")
    site.refused("BAD_REQUEST", 2, "node", "code", "us-8", "--zone", "us", who="officer-1")


def test_a_certificate_is_renewed_by_two_officers(site: Site, enrolled: list[str]) -> None:
    asked = site.ok("node", "renew", NODE)
    shown = site.ok("requests", "show", asked["request"], who="officer-1")
    assert dict(shown["review"]["entries"][0]["fields"])["fingerprint"]
    site.approve(asked["request"], "officer-2", "officer-3")
    states = {one["id"]: one["state"] for one in site.ok("requests")["requests"]}
    assert states[asked["request"]] == "committed"
