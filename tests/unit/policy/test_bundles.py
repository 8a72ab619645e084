"""What is no bundle is refused by a sentence, whatever bytes it is made of; what is one is read."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import msgspec
import pytest
from holdfast_policy import checker
from holdfast_policy.checking import check
from holdfast_policy.logic.bundle import (
    GOLDEN,
    SCHEMA,
    PolicyBundle,
    document,
    read_bundle,
)
from holdfast_policy.logic.rules import rules
from holdfast_policy.logic.verdict import CheckRequest
from holdfast_policy.product import base_text
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import GOLDEN_CASES, POLICY_BUNDLE_BYTES, POLICY_FILES, POLICY_LIFE_S
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.policy.policy_bundles import BEGINS_S, CASES, files, forbid, made
from tests.unit.policy.policy_worlds import GOOD

WELL = made(files(forbid("no-chat", unless='context.alias != "chat"')))
BASE = base_text().policies
ALL = "(principal is Holdfast::App, action, resource is Holdfast::Placement)"
NAMED = '@id("a") @reason("A.") '


def problems(bundle: PolicyBundle) -> str:
    """Return everything that is wrong, as one text."""
    return " ".join(check(CheckRequest(candidate=document(bundle))).problems)


def test_a_bundle_is_read_as_it_was_written() -> None:
    assert read_bundle(document(WELL)) == WELL
    assert WELL.digest.startswith("sha256:")
    answer = checker.ask(CheckRequest(candidate=document(WELL)))
    assert (answer.problems, answer.cases, answer.rules[-1].id) == ((), 2, "no-chat")


def changed(**fields: object) -> bytes:
    """Return the document with another manifest."""
    return encode(
        msgspec.structs.replace(WELL, manifest=msgspec.structs.replace(WELL.manifest, **fields))
    )


UNREADABLE = {
    "empty": b"",
    "no JSON": b"\xff",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "a blank": document(WELL) + b" ",
    "a field more": document(WELL)[:-1] + b',"more":1}',
    "a key twice": document(WELL)[:-1] + b',"texts":{}}',
    "too long": b" " * (POLICY_BUNDLE_BYTES + 1),
    "another format": changed(format=2),
    "another engine": changed(engine="cedar-5.0"),
    "serial 0": changed(serial=0),
    "a serial that is no number": changed(serial="1"),
    "a digest that is none": changed(prev_digest="sha256:ab"),
    "ends before it begins": changed(not_after_s=BEGINS_S),
    "lives too long": changed(not_after_s=BEGINS_S + POLICY_LIFE_S + 1),
    "files unnamed": changed(files={}),
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(HoldfastError) as caught:
        read_bundle(data)
    assert caught.value.code is Code.POLICY_INVALID
    assert checker_says(data).startswith("The policy is refused")


def checker_says(data: bytes) -> str:
    return check(CheckRequest(candidate=data)).problems[0]


@pytest.mark.parametrize(
    "content",
    [
        {name: data for name, data in files().items() if name != SCHEMA},
        {name: data for name, data in files().items() if name != GOLDEN},
        files() | {"../x.cedar": b""},
        files() | {"notes.txt": b""},
        files() | {"X.cedar": b""},
        files() | {"x.cedar": "D\u0415".encode()},
        files() | {"x.cedar": b"(" * 33},
        files() | {f"x{n}.cedar": b"" for n in range(POLICY_FILES)},
    ],
    ids=["no schema", "no golden", "path", "text", "upper", "homoglyph", "deep", "many"],
)
def test_files_that_belong_to_no_policy(content: dict[str, bytes]) -> None:
    with pytest.raises(HoldfastError) as caught:
        made(content)
    assert caught.value.code is Code.POLICY_INVALID


def test_the_life_at_its_bound() -> None:
    assert made(files(), ends_s=BEGINS_S + POLICY_LIFE_S).manifest.not_after_s


LINTED = {
    "a typo in an attribute": (forbid("a", unless="context.alais == 1"), "Cedar says"),
    "a typo in an action": (
        f'{NAMED}forbid (principal, action == Holdfast::Action::"Infre", resource);',
        "Infre",
    ),
    "a country that is none": (
        forbid("a", unless='resource in Holdfast::Jurisdiction::"Eu"'),
        "Jurisdiction 'Eu', which there is not",
    ),
    "a zone that is none": (
        forbid("a", unless='principal.home == Holdfast::Zone::"xx"'),
        "Zone 'xx', which there is not",
    ),
    "an application's name that is none": (
        forbid("a", 'Holdfast::App::"Tri age"'),
        "App 'Tri age', which there is not",
    ),
    "a model": (
        forbid("a", unless='resource.model == Holdfast::Model::"sha256:00"'),
        "names none of those",
    ),
    "a permit for all": (f"{NAMED}permit (principal, action, resource);", "without naming"),
    "a permit for every action": (f"{NAMED}permit {ALL};", "without naming"),
    "an id that stands twice": (forbid("a") + forbid("a"), "stands twice"),
    "an id of the base": (forbid("residency"), "stands twice"),
    "no reason": (f'@id("a") forbid {ALL};', "no @id or no @reason"),
    "no id": (f'@reason("a") forbid {ALL};', "no @id or no @reason"),
    "an id in disguise": (f'@id("a\\u{{41}}") @reason("A.") forbid {ALL};', "not plain"),
    "a template": (
        f"{NAMED}permit (principal == ?principal, action, resource);",
        "policy is refused",
    ),
    "no end": (f"{NAMED}forbid {ALL}", "unexpected end"),
    "too many parts": (
        forbid("a", unless=" || ".join(f'context.alias == "{n}"' for n in range(80))),
        "more than",
    ),
    "a golden decision that is not kept": (forbid("a"), "golden.json expects allow"),
}


@pytest.mark.parametrize(("more", "said"), LINTED.values(), ids=LINTED)
def test_the_lint(more: str, said: str) -> None:
    assert said in problems(made(files(more)))


@pytest.mark.parametrize(
    "base",
    [
        BASE.replace('@id("residency")', '@id("residence")'),
        BASE.replace("resource in context.label.residency", "true"),
        BASE.replace("resource.node.zones.contains(principal.home)", "!false"),
        BASE[: BASE.index('@id("certificate-valid")')],
    ],
    ids=["renamed", "loosened", "always", "missing"],
)
def test_the_base_forbids_stay_as_they_are(base: str) -> None:
    said = problems(made(files(base__cedar=base.encode())))
    assert "is missing or changed" in said


def test_a_base_permit_may_be_narrowed_but_its_name_stays() -> None:
    narrower = BASE.replace(
        "  resource is Holdfast::Placement\n);",
        '  resource is Holdfast::Placement\n) when { context.alias != "chat" };',
        1,
    )
    assert problems(made(files(base__cedar=narrower.encode()))) == ""


def test_the_schema_is_the_products() -> None:
    schema = base_text().schema + "\n// one more\n"
    assert "Its schema" in problems(made({**files(), SCHEMA: schema.encode()}))


@pytest.mark.parametrize(
    "cases",
    [
        (),
        CASES[:1],
        CASES[1:],
        (*CASES, {"app": "a"}),
        (*CASES, {**CASES[0], "more": 1}),
        (*CASES, {**CASES[0], "act": "read"}),
        (*CASES, {**CASES[0], "classification": "very"}),
        (*CASES, {**CASES[0], "jurisdiction": "XX"}),
        (*CASES, {**CASES[0], "rule": "another"}),
        CASES * (GOLDEN_CASES // 2 + 1),
    ],
)
def test_golden_decisions_that_are_none_or_not_kept(cases: object) -> None:
    assert problems(made(files(cases=cases)))


def test_the_site_knows_its_names_and_zones() -> None:
    text = forbid("a", 'Holdfast::App::"traige"')
    data = document(made(files(text)))
    asked = CheckRequest(candidate=data, zones={"de": "DE", "fr": "FR"}, apps=("triage",), nodes=())
    assert "App 'traige', which there is not" in check(asked).problems[0]
    other = CheckRequest(candidate=data, zones={"de": "DE", "fr": "CH"}, apps=("traige",))
    assert "zone 'fr' in 'FR'" in " ".join(check(other).problems)


def test_every_question_is_decided_by_both() -> None:
    answer = checker.ask(
        CheckRequest(candidate=document(WELL), zones={"de": "DE", "fr": "FR"}, questions=(GOOD,))
    )
    assert [one.decision for one in (*answer.now, *answer.then)] == ["allow", "deny"]
    assert answer.then[0].rules == ("no-chat",)


def test_what_a_person_is_shown_is_what_cedar_reads() -> None:
    text = '// @id("x")\n@id("a") @reason("Say permit; or not.")\npermit (principal, action,' + (
        ' resource) when { context.alias == "; forbid // @id" };'
    )
    assert [(rule.id, rule.effect) for rule in rules(text)] == [("a", "permit")]


def test_a_checker_that_fails_is_a_problem_and_never_a_yes() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "holdfast_policy.checker"],
        input=b"nothing", capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stdout == b""


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_spoiled_document_raises_nothing_but_our_own(data: st.DataObject) -> None:
    good = document(WELL)
    at = data.draw(st.integers(0, len(good) - 1))
    length = data.draw(st.integers(0, 40))
    spoiled = good[:at] + data.draw(st.binary(max_size=40)) + good[at + length :]
    with contextlib.suppress(HoldfastError):
        assert document(read_bundle(spoiled)) == spoiled


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='@id("a")permit forbid;{}[]!&|.:=\n//chat', max_size=200))
def test_any_text_gets_an_answer(text: str) -> None:
    with contextlib.suppress(HoldfastError):
        check(CheckRequest(candidate=document(made(files(text)))))
