"""The verbs against a small site: shapes of JSON, options anywhere, errors and exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_protocol.api import ErrorDetail, ImportView
from holdfast_protocol.errors import TABLE, Code, HoldfastError
from holdfast_protocol.views import DeploymentView, ReplicaView
from holdfast_tui import failing
from holdfast_tui.shell import run

from tests.console.demo_site import DIGEST, GIB, gpu, node
from tests.unit.tui.desk import Desk

REPLICA = ReplicaView(
    node="de-1",
    device="gpu-0",
    generation=1,
    state="ready",
    zone="de",
    code=None,
    message=None,
    in_flight=0,
    bytes_done=None,
    bytes_total=None,
)
DEPLOYMENT = DeploymentView(
    alias="chat-small",
    model="acme/tiny",
    version="1.0",
    digest=DIGEST,
    state="ready",
    zones=("de",),
    replicas_wanted=1,
    replicas=(REPLICA,),
    reason=None,
)


def importing(state: str, **more: object) -> ImportView:
    fields = {"id": "imp-1", "state": state, "bytes_done": 0, "bytes_total": 100, **more}
    return ImportView(**fields)  # type: ignore[arg-type]  # a test's short hand


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    "arguments",
    [
        ("--as", "officer-1", "--json", "nodes"),
        ("nodes", "--as", "officer-1", "--json"),
        ("--json", "nodes", "--as=officer-1"),
        ("--as", "operator-1", "nodes", "--json", "--as", "officer-1"),
    ],
)
def test_shared_options_stand_before_and_after_the_verb(
    desk: Desk, arguments: tuple[str, ...]
) -> None:
    said = desk.run(*arguments)
    assert (said.code, said.json) == (0, {"nodes": []})
    assert desk.site.asked == [("officer-1", "nodes.list")]


def test_the_environment_names_site_and_person(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOLDFAST_SITE", str(desk.root))
    monkeypatch.setenv("HOLDFAST_AS", "auditor-1")
    assert run(["nodes"], desk.site.connect) == 0
    assert run(["requests", "--as", "operator-1"], desk.site.connect) == 0
    assert [who for who, _ in desk.site.asked] == ["auditor-1", "operator-1"]
    capsys.readouterr()


def test_the_lab_is_the_default(desk: Desk, tmp_path: Path) -> None:
    lab = tmp_path / ".holdfast"
    lab.mkdir()
    desk.root.rename(lab / "site")
    assert run(["nodes"], desk.site.connect) == 0
    assert desk.site.asked == [("operator-1", "nodes.list")]


# ---------------------------------------------------------------- listings


def test_listings_have_the_contracts_fields(desk: Desk) -> None:
    desk.site.nodes = [node("de-1")]
    desk.site.gpus = [gpu("gpu-0", "de-1")]
    desk.site.deployments = [DEPLOYMENT]
    shown = desk.run("nodes", "--json").json["nodes"][0]
    assert {"id", "jurisdiction", "state", "age_s"} <= shown.keys()
    shown = desk.run("gpus", "--json").json["gpus"][0]
    wanted = {"uuid", "node", "name", "memory_total_bytes", "memory_used_bytes", "state"}
    assert wanted <= shown.keys()
    shown = desk.run("deployments", "--json").json["deployments"][0]
    assert {"alias", "model", "version", "digest", "state", "replicas"} <= shown.keys()
    assert {"node", "device", "generation", "state"} <= shown["replicas"][0].keys()
    assert desk.run("models", "--json").json == {"models": []}
    assert desk.run("requests", "--json").json == {"requests": []}
    assert desk.run("status", "--json").json["nodes_ok"] == 1


def test_tables_are_aligned_and_say_what_is_not_known(desk: Desk) -> None:
    desk.site.nodes = [
        node("de-1"),
        node("fr-long-name", state="down", age_s=None, host_memory_used_bytes=None),
    ]
    lines = desk.run("nodes").out.splitlines()
    assert (
        len({line.index(word) for line, word in zip(lines, ("STATE", "ok", "down"), strict=True)})
        == 1
    )
    assert "n/a" in lines[2]
    assert "n/a/64.0 GiB" in lines[2]


def test_nothing_is_cut_off_in_a_pipe(desk: Desk) -> None:
    name = "A very long name of a GPU " * 8
    desk.site.gpus = [gpu("gpu-0", "de-1", name=name)]
    assert name.strip() in desk.run("gpus").out


def test_hostile_names_do_nothing(desk: Desk) -> None:
    desk.site.gpus = [gpu("u", "de-1", name="\x1b[2Jred\u202egnp\x9b31m\r\nok")]
    for arguments in (("gpus",), ("gpus", "--json")):
        out = desk.run(*arguments).out
        assert not any(c in out for c in "\x1b\u202e\x9b\r")
    assert desk.run("gpus", "--json").json["gpus"][0]["name"] == "\x1b[2Jred\u202egnp\x9b31m\r\nok"


@pytest.mark.parametrize(
    ("verb", "next_step"),
    [
        ("models", "holdfast import"),
        ("deployments", "holdfast deploy"),
        ("requests", "imported"),
        ("nodes", "holdfast lab up"),
    ],
)
def test_an_empty_list_says_the_next_step(desk: Desk, verb: str, next_step: str) -> None:
    assert next_step in desk.run(verb).out


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_its_exit_code_and_two_lines(
    code: Code, capsys: pytest.CaptureFixture[str]
) -> None:
    error = HoldfastError(code, "Something\nhappened.")
    assert failing.tell(error, as_json=False) == TABLE[code].exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == f"{code}: Something happened."
    assert len(err.splitlines()) == 2


def test_a_refusal_of_the_controller_keeps_its_code(desk: Desk) -> None:
    desk.site.propose_vendor("acme", b"{}")
    said = desk.run("reject", "r-1", "--json")
    assert said.code == 3
    assert said.json["error"].keys() >= {"code", "message", "next"}
    assert said.json["error"]["code"] == "NOT_PERMITTED"
    said = desk.run("requests", "show", "r-9")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("NOT_FOUND: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("frob",),
        ("deploy",),
        ("nodes", "--frob"),
        ("nodes", "extra"),
        ("deploy", "a/b@1", "--alias", "x", "--replicas", "0"),
        ("app", "create", "x"),
        ("infer", "x", "hi", "--op", "sing"),
    ],
)
def test_usage_errors_exit_with_2(desk: Desk, arguments: tuple[str, ...]) -> None:
    said = desk.run(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "--help" in said.err
    said = desk.run(*arguments, "--json")
    assert said.code == 2
    assert said.json["error"].keys() >= {"code", "message", "next"}
    assert desk.site.asked == []


def test_an_unknown_site_and_person(desk: Desk) -> None:
    said = desk.run("nodes", "--site", "/nowhere/at/all")
    assert said.code == 2
    assert said.err.startswith("SITE_UNKNOWN: ")
    said = desk.run("nodes", "--as", "nobody-9")
    assert said.code == 3
    assert "operator-1" in said.err


def test_a_controller_that_is_away_or_silent(desk: Desk) -> None:
    desk.site.reachable = False
    assert desk.run("nodes").code == 5
    desk.site.reachable, desk.site.silent = True, True
    said = desk.run("nodes", "--json")
    assert said.code == 5
    assert said.json["error"]["code"] == "CONTROLLER_DOWN"


def test_a_defect_is_one_line_and_a_file(desk: Desk) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    code = run(["--site", str(desk.root), "nodes"], broken)  # type: ignore[arg-type]
    said = desk.run("models", "--json")
    assert (code, said.code) == (1, 0)
    reports = list((desk.root / "cache").glob("holdfast-defect-*.txt"))
    assert len(reports) == 1
    assert "ZeroDivisionError: secret detail" in reports[0].read_text()
    assert reports[0].stat().st_mode & 0o077 == 0
    assert said.err.startswith("DEFECT: ")
    assert str(reports[0]) in said.err
    assert "Traceback" not in said.err


def test_interrupted(desk: Desk) -> None:
    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    assert run(["--site", str(desk.root), "nodes"], interrupted) == 130  # type: ignore[arg-type]


# ---------------------------------------------------------------- imports and deployments


def test_import_ends_with_its_requests(desk: Desk) -> None:
    desk.site.imports = [importing("verifying"), importing("waiting", requests=("r-1", "r-2"))]
    said = desk.run("import", "stick", "--json")
    assert said.code == 0
    assert (said.json["request"], said.json["requests"]) == ("r-1", ["r-1", "r-2"])


def test_import_fails_as_the_importer_says(desk: Desk) -> None:
    detail = ErrorDetail(code="BLOB_DIGEST", message="blob-1 differs.", next="x", file="blob-1")
    desk.site.imports = [importing("copying"), importing("failed", error=detail)]
    said = desk.run("import", "stick", "--json")
    assert said.code == 4
    assert said.json["error"]["code"] == "BLOB_DIGEST"
    assert said.json["error"]["file"] == "blob-1"


def test_deploy_waits_until_it_answers(desk: Desk) -> None:
    desk.site.deployments = [DEPLOYMENT]
    said = desk.run("deploy", "acme/tiny@1.0", "--alias", "chat-small", "--wait", "5", "--json")
    assert said.code == 0
    assert (said.json["alias"], said.json["state"]) == ("chat-small", "ready")


def test_deploy_says_why_it_is_not_ready(desk: Desk) -> None:
    from msgspec.structs import replace

    waiting = replace(DEPLOYMENT, state="pending", replicas=(), reason="No node has room.")
    desk.site.deployments = [waiting]
    said = desk.run("deploy", "acme/tiny@1.0", "--alias", "chat-small", "--wait", "0.1")
    assert said.code == 5
    assert "No node has room." in said.err


def test_a_plan_says_where_and_why_not_elsewhere(desk: Desk) -> None:
    said = desk.run("deploy", "acme/tiny@1.0", "--alias", "chat-small", "--plan")
    assert said.code == 0
    assert "de-1" in said.out
    assert "the model may be in DE" in said.out
    assert ("operator-1", "deployments.list") not in desk.site.asked
    said = desk.run("explain", "chat-small", "--json")
    assert said.json["placements"][0]["claim_bytes"] == GIB


def test_events_as_a_table_and_as_json(desk: Desk) -> None:
    desk.site.event("NodeSeen", "de-1", "de-1 was heard.")
    assert "de-1 was heard." in desk.run("events").out
    assert desk.run("events", "--json").json["events"][0]["seq"] == 1
