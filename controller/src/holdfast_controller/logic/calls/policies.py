"""The policy's calls: shown, explained, tried, proposed; each after one look of the checker."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from holdfast_bundles.site.propose import propose_policy
from holdfast_policy.logic.bundle import PolicyBundle, read_bundle
from holdfast_policy.logic.labels import Narrowing
from holdfast_policy.logic.verdict import CheckAnswer, CheckRequest
from holdfast_policy.port import Question
from holdfast_protocol import codec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.policing import (
    ExplainPolicy,
    Flip,
    PolicyAnswer,
    PolicyDecision,
    PolicyNode,
    PolicyRule,
    ProposePolicy,
    TryPolicy,
    WhatIfAnswer,
)

from holdfast_controller.logic import policy, requests, trust
from holdfast_controller.logic.calls.ask import Ask, Outcome, answered
from holdfast_controller.logic.calls.requests import asked
from holdfast_controller.logic.io import ApiCalled

T = TypeVar("T", bound=msgspec.Struct)

LABEL_RULE: Final = "label-refused"
AHEAD_S: Final = 300.0
_NAMED: Final = 10


def look(ask: Ask, called: ApiCalled) -> CheckRequest:
    """Return what the checker is to look at before ``called`` is answered; raises its refusal."""
    state, now_s = ask.view.state, ask.view.now_s
    in_force = policy.bundle_in_force(state)
    zones = state.founded().zones
    match called.verb:
        case "show":
            return CheckRequest(in_force=in_force)
        case "explain":
            question = _question(ask, _body(called, ExplainPolicy))
            questions = () if isinstance(question, HoldfastError) else (question,)
            return CheckRequest(in_force=in_force, zones=zones, questions=questions)
        case "what-if" | "propose":
            bundle = _body(called, TryPolicy).bundle
            read_bundle(bundle)
            return CheckRequest(
                in_force=in_force,
                candidate=bundle,
                zones=zones,
                apps=tuple(sorted(state.apps)),
                nodes=tuple(sorted(state.nodes)),
                questions=tuple(each for _, each in policy.live(state, now_s)),
            )
        case _:
            raise HoldfastError(Code.NOT_FOUND, f"There is no call policy.{called.verb}.")


def decide(ask: Ask, called: ApiCalled, seen: CheckAnswer) -> Outcome:
    """Return what the call decides after the checker's look; raises the refusal."""
    match called.verb:
        case "show":
            return answered(_shown(ask, seen))
        case "explain":
            return answered(_explained(ask, _body(called, ExplainPolicy), seen))
        case "what-if":
            return answered(_tried(ask, _body(called, TryPolicy).bundle, seen))
        case _:
            return _proposed(ask, _body(called, ProposePolicy), seen)


def _shown(ask: Ask, seen: CheckAnswer) -> PolicyAnswer:
    state, live = ask.view.state, ask.view.live
    held, serial = state.policy, policy.serial(state)
    nodes = []
    for node in sorted(state.nodes):
        report = live.report(node)
        said = 0 if report is None else report.policy_serial
        nodes.append(PolicyNode(id=node, serial=said, behind=said != serial))
    return PolicyAnswer(
        serial=serial,
        digest=None if held is None else held.digest,
        prev_digest=None if held is None else held.prev_digest,
        effective_from=None if held is None else held.effective_from_s,
        not_after=None if held is None else held.not_after_s,
        state="expired" if policy.expired(held, ask.view.now_s) else "in-force",
        rules=tuple(PolicyRule(id=r.id, effect=r.effect, reason=r.reason) for r in seen.rules),
        nodes=tuple(nodes),
    )


def _explained(ask: Ask, call: ExplainPolicy, seen: CheckAnswer) -> PolicyDecision:
    serial = policy.serial(ask.view.state)
    if seen.now:
        one = seen.now[0]
        return PolicyDecision(
            decision=one.decision, rules=one.rules, sentence=one.sentence, serial=serial
        )
    refused = _question(ask, call)
    if not isinstance(refused, HoldfastError):
        raise _invalid(seen)
    return PolicyDecision(
        decision="deny", rules=(LABEL_RULE,), sentence=refused.message, serial=serial
    )


def _tried(ask: Ask, data: bytes, seen: CheckAnswer) -> WhatIfAnswer:
    if not seen.ok:
        raise _invalid(seen)
    bundle = read_bundle(data)
    return WhatIfAnswer(
        serial=bundle.manifest.serial,
        digest=bundle.digest,
        asked=len(seen.now),
        flips=_flips(ask, seen),
    )


def _proposed(ask: Ask, call: ProposePolicy, seen: CheckAnswer) -> Outcome:
    state, now_s = ask.view.state, ask.view.now_s
    if not seen.ok:
        raise _invalid(seen)
    bundle = read_bundle(call.bundle)
    _dated(bundle, now_s)
    flips = _flips(ask, seen)
    unsaid = sorted({each.id for each in flips if each.widens} - set(call.acknowledge))
    if unsaid:
        raise HoldfastError(
            Code.POLICY_WIDENS,
            f"Policy {bundle.manifest.serial} would allow what is denied now: {_listed(unsaid)}.",
        )
    proposal = propose_policy(trust.standing(state, now_s), bundle)
    forbids = sum(1 for rule in seen.rules if rule.effect == "forbid")
    asking = requests.Asking(
        kind="policy",
        about=bundle.digest,
        summary=(
            f"Bring policy {bundle.manifest.serial} into force: {forbids} forbid, "
            f"{len(seen.rules) - forbids} permit; {len(flips)} of {len(seen.now)} decisions change."
        ),
        by=ask.who,
        now_s=now_s,
    )
    return asked(state, proposal, asking)


def _flips(ask: Ask, seen: CheckAnswer) -> tuple[Flip, ...]:
    """Return what changes, by id; raises ``PLAN_STALE`` where the site changed meanwhile."""
    ids = [name for name, _ in policy.live(ask.view.state, ask.view.now_s)]
    if not len(ids) == len(seen.now) == len(seen.then):
        raise HoldfastError(Code.PLAN_STALE, "The site changed while the policy was tried.")
    return tuple(
        Flip(
            id=name,
            before=before.decision,
            after=after.decision,
            widens=after.allowed,
            rules=after.rules,
        )
        for name, before, after in zip(ids, seen.now, seen.then, strict=True)
        if before.decision != after.decision
    )


def _question(ask: Ask, call: ExplainPolicy) -> Question | HoldfastError:
    """Return the question, or why its label is refused; raises ``NOT_FOUND``."""
    said = Narrowing(
        residency=call.residency, classification=call.classification, purpose=call.purpose
    )
    place = policy.Place(call.app, call.alias, call.node)
    try:
        return policy.question(ask.view.state, place, said, ask.view.now_s)
    except HoldfastError as error:
        if error.code is not Code.LABEL_REFUSED:
            raise
        return error


def _dated(bundle: PolicyBundle, now_s: float) -> None:
    if bundle.manifest.effective_from_s > now_s + AHEAD_S:
        raise HoldfastError(
            Code.POLICY_INVALID,
            "The policy begins in the future; it would be in force once two officers signed it.",
        )
    if bundle.manifest.not_after_s <= now_s:
        raise HoldfastError(Code.POLICY_EXPIRED, "The policy has passed its date already.")


def _invalid(seen: CheckAnswer) -> HoldfastError:
    first = seen.problems[0] if seen.problems else "The policy could not be decided by."
    more = f" And {len(seen.problems) - 1} more." if len(seen.problems) > 1 else ""
    return HoldfastError(Code.POLICY_INVALID, f"{first}{more}")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _body(called: ApiCalled, kind: type[T]) -> T:
    return codec.decode(called.body or b"{}", kind)
