"""Golden decisions: questions that a bundle brings, each with the decision and rule it expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from holdfast_protocol.codec import strict_json
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import GOLDEN_CASES, POLICY_BUNDLE_BYTES

from holdfast_policy.logic.bundle import GOLDEN
from holdfast_policy.logic.labels import Classification, ceiling, parse_classification
from holdfast_policy.logic.policy_text import invalid
from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import Act, AppFacts, ModelFacts, NodeFacts, Policy, Question

_ANY_MODEL: Final = "sha256:" + "0" * 64


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question in plain words, and what must come of it."""

    app: str
    zone: str
    alias: str
    node: str
    jurisdiction: str
    expect: str
    rule: str
    act: Act = "infer"
    aliases: tuple[str, ...] = ()
    residency: tuple[str, ...] = ()
    classification: int | str = 0
    purposes: tuple[str, ...] = ()
    node_zones: tuple[str, ...] = ()
    clearances: dict[str, int] = {}
    not_after_s: int = 2**40
    now_s: int = 0
    app_denied: bool = False
    node_denied: bool = False
    model_denied: bool = False
    model: str = _ANY_MODEL

    def question(self, registry: Registry) -> Question:
        """Return the question; raises ``LABEL_REFUSED`` for a label that is none.

        What is left out is the common case: the alias is granted, the data may be where the node
        is, the node serves the application's zone.
        """
        return Question(
            act=self.act,
            app=AppFacts(
                app=self.app,
                zone=self.zone,
                aliases=frozenset(self.aliases or (self.alias,)),
                denied=self.app_denied,
            ),
            alias=self.alias,
            label=ceiling(
                registry,
                self.residency or (self.jurisdiction,),
                self.classification,
                self.purposes,
            ),
            node=NodeFacts(
                node=self.node,
                jurisdiction=self.jurisdiction,
                zones=frozenset(self.node_zones or (self.zone,)),
                not_after_s=self.not_after_s,
                clearances=tuple(
                    Classification(scheme=scheme, level=level)
                    for scheme, level in sorted(self.clearances.items())
                ),
                denied=self.node_denied,
            ),
            model=ModelFacts(digest=self.model, denied=self.model_denied),
            now_s=float(self.now_s),
        )


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: zones with their jurisdictions, and the cases."""

    zones: dict[str, str]
    cases: tuple[Case, ...]


def read_golden(data: bytes) -> Golden:
    """Return the golden decisions in ``data``; raises ``POLICY_INVALID``."""
    try:
        value = strict_json(data, cap_bytes=POLICY_BUNDLE_BYTES, name=GOLDEN)
        golden = msgspec.convert(value, Golden)
        for case in golden.cases:
            parse_classification(case.classification)
    except (HoldfastError, msgspec.ValidationError) as error:
        said = error.message if isinstance(error, HoldfastError) else str(error)
        raise invalid(f"{GOLDEN} does not fit: {said.rstrip('.')}") from error
    if len(golden.cases) > GOLDEN_CASES:
        raise invalid(f"{GOLDEN} has more than {GOLDEN_CASES} cases")
    said_of = {case.expect for case in golden.cases if case.act == "infer"}
    if said_of != {"allow", "deny"}:
        raise invalid(f"{GOLDEN} needs a request that is allowed and one that is denied")
    return golden


def broken(golden: Golden, policy: Policy, registry: Registry) -> Iterator[str]:
    """Yield a sentence for every case that comes out otherwise than it expects."""
    for number, case in enumerate(golden.cases, start=1):
        try:
            decision = policy.decide(case.question(registry))
        except HoldfastError as error:
            yield f"Case {number} of {GOLDEN} is no question: {error.message}"
            continue
        if decision.decision != case.expect or case.rule not in decision.rules:
            yield (
                f"Case {number} of {GOLDEN} expects {case.expect} by {case.rule} and gets "
                f"{decision.decision} by {', '.join(decision.rules)}."
            )
