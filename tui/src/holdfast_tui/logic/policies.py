"""What the policy's verbs print for people."""

from __future__ import annotations

from typing import Final

import msgspec
from holdfast_protocol.policing import PolicyAnswer, PolicyDecision, WhatIfAnswer

from holdfast_tui.logic import numbers
from holdfast_tui.logic.table import pairs, table
from holdfast_tui.logic.text import clean

DAY_S: Final = 24 * 3600


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``check``; ``code``, serial and digest are null where there is none."""

    ok: bool
    code: str | None
    serial: int | None
    digest: str | None
    rules: tuple[str, ...]
    cases: int
    problems: tuple[str, ...]


def verdict(one: Verdict) -> list[str]:
    """Whether a bundle is one, and everything that is wrong with it."""
    if one.ok:
        return [
            f"Policy {one.serial} is well: {len(one.rules)} rules, {one.cases} golden decisions.",
            f"digest {one.digest}",
        ]
    return ["This is no policy to propose:", *(f"  {clean(each)}" for each in one.problems)]


def standing(answer: PolicyAnswer) -> list[str]:
    """What is in force, rule by rule, and who is behind."""
    said = "the product's own" if answer.digest is None else answer.digest
    lines = pairs(
        [
            ("policy", f"{answer.serial}, {answer.state}"),
            ("digest", said),
            ("from", _moment(answer.effective_from)),
            ("until", _moment(answer.not_after)),
        ]
    )
    rules = [(rule.id, rule.effect, clean(rule.reason)) for rule in answer.rules]
    nodes = [(n.id, str(n.serial), "behind" if n.behind else "current") for n in answer.nodes]
    lines += ["", *table(("RULE", "EFFECT", "WHY"), rules)]
    return [*lines, "", *table(("NODE", ">POLICY", "STANDING"), nodes)] if nodes else lines


def decision(answer: PolicyDecision) -> list[str]:
    """The decision in one line, its rules in the next."""
    return [
        f"{answer.decision}: {clean(answer.sentence)}",
        f"by {', '.join(answer.rules)} of policy {answer.serial}",
    ]


def flips(answer: WhatIfAnswer) -> list[str]:
    """Every decision that would change; what would be allowed newly stands out."""
    head = f"Policy {answer.serial}: {len(answer.flips)} of {answer.asked} decisions would change."
    if not answer.flips:
        return [head]
    rows = [
        (
            one.id,
            f"{one.before} to {one.after}",
            "ACKNOWLEDGE" if one.widens else "-",
            " ".join(one.rules),
        )
        for one in answer.flips
    ]
    return [head, *table(("ID", "CHANGE", "WIDENS", "BY"), rows)]


def _moment(unix_s: int | None) -> str:
    return "-" if unix_s is None else numbers.moment(unix_s)
