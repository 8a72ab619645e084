"""The brakes at a terminal: denied and lifted by digest, nodes in and out of service."""

from __future__ import annotations

import msgspec
import pytest

from tests.console.demo_site import DIGEST, node
from tests.unit.tui.desk import Desk


@pytest.mark.parametrize("verb", [("revoke",), ("model", "revoke")], ids=" ".join)
def test_both_spellings_ask_one_officer(desk: Desk, verb: tuple[str, ...]) -> None:
    made = desk.run(*verb, DIGEST, "--reason", "found unsafe", "--as", "officer-1", "--json")
    assert (made.code, made.json["request"]) == (0, "r-1")
    signed = desk.run("approve", "r-1", "--as", "officer-2", "--json")
    assert (signed.json["state"], signed.json["needed"]) == ("committed", 1)
    shown = desk.run("requests", "show", "r-1")
    assert f"Deny {DIGEST}" in shown.out
    assert "found unsafe" in shown.out


@pytest.mark.parametrize("verb", [("revoke",), ("model", "revoke")], ids=" ".join)
def test_a_lift_asks_two_and_says_what_it_withdraws(desk: Desk, verb: tuple[str, ...]) -> None:
    desk.site.world.deny(DIGEST)
    made = desk.run(*verb, "--lift", DIGEST, "--as", "officer-1")
    assert "waits for 2 officers" in made.out
    first = desk.run("approve", "r-1", "--as", "officer-1")
    assert "Withdraw everything this file held" in first.err
    assert "1 of 2" in first.out


def test_a_withdrawal_of_another_thing_than_it_says_is_not_signed(desk: Desk) -> None:
    desk.site.world.deny(DIGEST)
    desk.run("revoke", "--lift", DIGEST, "--as", "officer-1")
    view = desk.site.requests["r-1"]
    other = "deny/sha256/" + "cd" * 32
    desk.site.requests["r-1"] = msgspec.structs.replace(view, subject=other)
    said = desk.run("approve", "r-1", "--as", "officer-1", "--json")
    assert (said.code, said.json["error"]["code"]) == (3, "OTHER_BYTES")
    assert desk.site.requests["r-1"].signed_by == ()


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("revoke", "sha256:1"), "BAD_NAME", 2),
        (("revoke", "--lift", DIGEST, "--reason", "x"), "BAD_REQUEST", 2),
        (("revoke", "--lift", DIGEST), "NOT_FOUND", 2),
        (("node", "revoke", "De-1"), "BAD_NAME", 2),
        (("node", "drain", "a.b"), "BAD_NAME", 2),
    ],
    ids=str,
)
def test_what_makes_no_sense(desk: Desk, words: tuple[str, ...], code: str, exit_code: int) -> None:
    said = desk.run(*words, "--as", "officer-1", "--json")
    assert (said.code, said.json["error"]["code"]) == (exit_code, code)


def test_operators_may_not_revoke(desk: Desk) -> None:
    for words in (("revoke", DIGEST), ("node", "revoke", "de-1")):
        said = desk.run(*words, "--as", "operator-1", "--json")
        assert (said.code, said.json["error"]["code"]) == (3, "NOT_PERMITTED")


def test_a_node_is_revoked_by_one_officer(desk: Desk) -> None:
    desk.site.nodes = [node("de-1")]
    made = desk.run("node", "revoke", "de-1", "--reason", "stolen", "--as", "officer-1", "--json")
    assert made.json["needed"] == 1
    shown = desk.run("requests", "show", made.json["request"])
    assert "Deny node:de-1" in shown.out


def test_duties_are_shown_with_their_reason(desk: Desk) -> None:
    desk.site.nodes = [node("de-1"), node("de-2")]
    drained = desk.run("node", "drain", "de-1", "--json")
    duties = {one["id"]: one["duty"] for one in drained.json["nodes"]}
    assert duties == {"de-1": "draining", "de-2": "in-service"}
    listed = desk.run("node", "list")
    assert "It is draining." in listed.out
    assert desk.run("nodes").out == listed.out
    back = desk.run("node", "uncordon", "de-1", "--json")
    assert back.json["nodes"][0]["duty"] == "in-service"
    cordoned = desk.run("node", "cordon", "de-2", "--json")
    assert cordoned.json["nodes"][1]["duty"] == "cordoned"
