"""A bundle looked at in every way before officers see it: text, lint, Cedar, golden decisions.

Importing this loads Cedar's native library, and what it reads may be hostile: programs ask
:mod:`holdfast_policy.checker`, which runs it in a process of its own.
"""

from __future__ import annotations

from holdfast_protocol.errors import HoldfastError

from holdfast_policy.base import base_text, policy_of
from holdfast_policy.cedar.engine import read
from holdfast_policy.logic import golden
from holdfast_policy.logic.bundle import PolicyBundle, read_bundle
from holdfast_policy.logic.golden import Golden, read_golden
from holdfast_policy.logic.lint import Names, lint
from holdfast_policy.logic.policy_text import PolicyText
from holdfast_policy.logic.registry import Registry, of_zones
from holdfast_policy.logic.rules import rules
from holdfast_policy.logic.verdict import CheckAnswer, CheckRequest
from holdfast_policy.port import Decision, Policy, Question


def check(request: CheckRequest) -> CheckAnswer:
    """Return what is wrong with the candidate and how the questions are decided.

    A candidate that is no policy decides nothing; raises ``POLICY_INVALID`` where what is in force
    is none.
    """
    in_force = _text(request.in_force)
    answer = CheckAnswer(rules=rules(in_force.policies))
    if request.candidate is not None:
        answer = _candidate(request, request.candidate)
    if request.questions:
        registry = of_zones(request.zones or {})
        answer = CheckAnswer(
            problems=answer.problems,
            rules=answer.rules,
            cases=answer.cases,
            now=_decided(in_force, registry, request.questions),
            then=answer.then,
        )
    return answer


def _candidate(request: CheckRequest, candidate: bytes) -> CheckAnswer:
    problems: list[str] = []
    try:
        bundle = read_bundle(candidate)
        told = read_golden(bundle.golden)
        registry = _registry(told, request.zones, problems)
        problems += _linted(bundle, registry, request)
        policy = policy_of(bundle.text, registry, _quiet)
        problems += golden.broken(told, policy, registry)
        then = tuple(policy.decide(each) for each in request.questions)
        return CheckAnswer(
            problems=tuple(problems),
            rules=rules(bundle.text.policies),
            cases=len(told.cases),
            then=then,
        )
    except HoldfastError as error:
        return CheckAnswer(problems=(*problems, error.message))


def _linted(bundle: PolicyBundle, registry: Registry, request: CheckRequest) -> list[str]:
    base = base_text()
    result = []
    if bundle.text.schema != base.schema:
        result.append("Its schema is not the product's.")
    names = Names(
        apps=None if request.apps is None else frozenset(request.apps),
        nodes=None if request.nodes is None else frozenset(request.nodes),
    )
    parsed = read(bundle.text.policies)
    shown = sorted((rule.id, rule.effect, rule.reason) for rule in rules(bundle.text.policies))
    if shown != sorted((name, p["effect"], _reason(p)) for name, p in parsed.items()):
        result.append("What a person would be shown is not what Cedar reads.")
    return [*result, *lint(parsed, read(base.policies), registry, names)]


def _registry(told: Golden, zones: dict[str, str] | None, problems: list[str]) -> Registry:
    for zone, where in sorted(told.zones.items()):
        if zones is not None and zones.get(zone) != where:
            problems.append(f"The golden decisions speak of a zone {zone!a} in {where!a}.")
    return of_zones(told.zones if zones is None else zones)


def _decided(
    text: PolicyText, registry: Registry, questions: tuple[Question, ...]
) -> tuple[Decision, ...]:
    policy: Policy = policy_of(text, registry, _quiet)
    return tuple(policy.decide(each) for each in questions)


def _text(document: bytes | None) -> PolicyText:
    return base_text() if document is None else read_bundle(document).text


def _reason(policy: dict[str, object]) -> object:
    notes = policy.get("annotations")
    return notes.get("reason") if isinstance(notes, dict) else None


def _quiet(question: Question, decision: Decision) -> None:
    """A look is no request: nobody is told."""
