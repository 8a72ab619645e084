"""What is no policy of ours never becomes an engine, and never reaches Cedar's stack."""

from __future__ import annotations

import pytest
from holdfast_policy.base import base_text
from holdfast_policy.cedar.engine import Engine
from holdfast_policy.logic.policy_text import PolicyText, guarded
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import (
    POLICIES_MAX,
    POLICY_BYTES,
    POLICY_DEPTH,
    POLICY_STATEMENT_WORDS,
    POLICY_WORD_BYTES,
)

from tests.unit.policy.policy_worlds import REGISTRY, engine_of

NAMED = '@id("a") @reason("A.") '
ALL = "(principal, action, resource)"


def one(body: str) -> str:
    return f"{NAMED}forbid {ALL} when {{ {body} }};"


@pytest.mark.parametrize(
    "policies",
    [
        "",
        "// nothing",
        "forbid",
        f"{NAMED}forbid {ALL}",
        f"forbid {ALL};",
        f'@id("a") forbid {ALL};',
        f'@reason("A.") forbid {ALL};',
        f'@id("") @reason("A.") forbid {ALL};',
        f'@id("a") @reason("") forbid {ALL};',
        f"@id @reason forbid {ALL};",
        f"{NAMED}forbid {ALL}; {NAMED}permit {ALL};",
        f'@id("engine-error") @reason("A.") forbid {ALL};',
        f'@id("disagreement") @reason("A.") permit {ALL};',
        f'@id("default-deny") @reason("A.") permit {ALL};',
        f"{NAMED}permit (principal == ?principal, action, resource);",
        one("context.lable.purposes.isEmpty()"),
        one('context.alias + 1 == "x"'),
        one('resource in Holdfast::Country::"DE"'),
        f'{NAMED}forbid (principal, action == Holdfast::Action::"Infre", resource);',
        f'{NAMED}forbid (principal, action == Holdfast::Action::"Infer", resource) '
        "when { context.now_s > 0 };",
        one('resource in Holdfast::Jurisdiction::"D\u0415"'),
        one('resource in Holdfast::Jurisdiction::"DE\u202e"'),
        one("(" * 800 + "true" + ")" * 800),
        one("[" * 3000 + "]" * 3000 + ".isEmpty()"),
        one("!" * 200 + "true"),
        one("if true then " * 8000 + "true" + " else true" * 8000),
        one("if true then true else " * 8000 + "true"),
        one("context" + ".label" * 8000),
        one("1" + " + 1" * 8000 + " > 0"),
        one('"' + "x" * POLICY_WORD_BYTES + '" == context.alias'),
        one('"open == context.alias'),
        " ".join(f'@id("a{n}") @reason("A.") forbid {ALL};' for n in range(POLICIES_MAX + 1)),
        "\x00",
    ],
    ids=lambda text: text[:70],
)
def test_a_text_that_is_no_policy_is_refused(policies: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        engine_of(policies)
    assert caught.value.code is Code.POLICY_INVALID
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("schema", ["", "entity", "namespace Holdfast { entity App; }", "{" * 5000])
def test_without_its_schema_no_policy_is_one(schema: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        Engine(PolicyText(schema=schema, policies=base_text().policies), REGISTRY)
    assert caught.value.code is Code.POLICY_INVALID


@pytest.mark.parametrize(
    "text",
    [
        "(" * POLICY_DEPTH + ")" * POLICY_DEPTH,
        "x" * POLICY_WORD_BYTES,
        " " * POLICY_BYTES,
        "a " * POLICY_STATEMENT_WORDS + ";" + "b " * POLICY_STATEMENT_WORDS,
        '// a quote " opens no string (((((((((((((((((((((((((((((((((((((((\n',
        '"((((((((((((((((((((((((((((((((((((((((((((( // \\" no end"',
        "();" * 100,
    ],
    ids=lambda text: text[:40],
)
def test_at_the_bound_a_text_passes(text: str) -> None:
    assert guarded(text, "it") == text


@pytest.mark.parametrize(
    "text",
    [
        "(" * (POLICY_DEPTH + 1),
        "a " * (POLICY_STATEMENT_WORDS + 1),
        "; a" + " b" * POLICY_STATEMENT_WORDS,
        "{[(" * (POLICY_DEPTH // 3 + 1),
        "x" * (POLICY_WORD_BYTES + 1),
        " " * (POLICY_BYTES + 1),
        '"\n"' + "(" * (POLICY_DEPTH + 1) + '"\n"',
        '"//"' + "(" * (POLICY_DEPTH + 1),
        "// \n" + "(" * (POLICY_DEPTH + 1),
        "\r",
        "\u00e9",
    ],
    ids=lambda text: repr(text)[:40],
)
def test_beyond_the_bound_it_does_not(text: str) -> None:
    with pytest.raises(HoldfastError):
        guarded(text, "it")


def test_the_largest_number_of_policies() -> None:
    text = " ".join(f'@id("a{n}") @reason("A.") forbid {ALL};' for n in range(POLICIES_MAX))
    assert len(engine_of(text).rules) == POLICIES_MAX
