"""The adapter to Cedar, and the only file that imports it: one policy text, one registry.

Everything is parsed and validated once, here; a new policy or registry is a new engine. Cedar
skips a rule that fails and answers from the rest, so a failing ``forbid`` allows: whatever is not
a clean answer by named policies raises.
"""

from __future__ import annotations

from typing import Literal

import cedarpy
import msgspec
from holdfast_protocol.limits import POLICIES_MAX, WORLDS_KEPT

from holdfast_policy.cedar import world
from holdfast_policy.cedar.world import UndecidedError
from holdfast_policy.logic.policy_text import PolicyText, guarded, invalid
from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import RESERVED_RULES, Decision, Question

DEFAULT_DENY = "default-deny"


class _Policy(msgspec.Struct, frozen=True):
    effect: Literal["permit", "forbid"]
    annotations: dict[str, str | None] = {}


class _Policies(msgspec.Struct, frozen=True, rename="camel"):
    """A policy set in Cedar's own JSON."""

    static_policies: dict[str, _Policy]
    templates: dict[str, msgspec.Raw]


class _Read(msgspec.Struct, frozen=True, rename="camel"):
    """The same, to look at whole."""

    static_policies: dict[str, dict[str, object]]


class Engine:
    """Answers questions by one policy text over one registry."""

    def __init__(self, text: PolicyText, registry: Registry) -> None:
        """Parse and validate; raises ``POLICY_INVALID`` for a text that is no policy of ours."""
        self._registry = registry
        self._rules = _rules(text)
        try:
            self._schema = cedarpy.Schema.from_str(text.schema)
            found = cedarpy.validate_policies(text.policies, self._schema)
            self._policies = cedarpy.PolicySet.from_str(text.policies)
            self._base = cedarpy.Entities.from_json_str(world.registered(registry), self._schema)
        except (ValueError, TypeError, RecursionError) as error:
            raise invalid(f"Cedar says {_line(error)}") from error
        if not found.validation_passed:
            raise invalid(f"Cedar says {_line(*found.errors)}")
        self._worlds: dict[object, cedarpy.Entities] = {}

    @property
    def rules(self) -> tuple[str, ...]:
        """The ids of all policies, sorted."""
        return tuple(sorted(self._rules))

    def ask(self, question: Question) -> Decision:
        """Return Cedar's decision; raises whatever keeps it from being a clean one.

        The ids are those of the policies that determined it, the sentence is the first one's.
        """
        world.checked(self._registry, question)
        result = cedarpy.is_authorized(
            world.request(question), self._policies, self._world(question), self._schema
        )
        told = result.diagnostics
        if told.errors:
            raise UndecidedError(_line(*told.errors))
        rules = tuple(sorted(told.id_annotations_by_reason[name] for name in told.reasons))
        effects = {self._rules[rule].effect for rule in rules}
        if result.decision == cedarpy.Decision.Allow and effects == {"permit"}:
            return Decision(decision="allow", rules=rules, sentence=self._sentence(rules[0]))
        if result.decision == cedarpy.Decision.Deny and effects == {"forbid"}:
            return Decision(decision="deny", rules=rules, sentence=self._sentence(rules[0]))
        if result.decision == cedarpy.Decision.Deny and not effects:
            return Decision(
                decision="deny", rules=(DEFAULT_DENY,), sentence="No policy permits this."
            )
        raise UndecidedError(f"{result.decision.value} by {', '.join(rules) or 'no policy'}")

    def _world(self, question: Question) -> cedarpy.Entities:
        """Return the registry with the question's entities, parsed; kept, for few are asked of."""
        key = (question.app, question.node, question.model)
        known = self._worlds.get(key)
        if known is None:
            known = self._base.with_added_json_str(world.facts(question), self._schema)
            if len(self._worlds) >= WORLDS_KEPT:
                del self._worlds[next(iter(self._worlds))]
            self._worlds[key] = known
        return known

    def _sentence(self, rule: str) -> str:
        return self._rules[rule].annotations["reason"] or ""


def read(text: str) -> dict[str, dict[str, object]]:
    """Return the policies of ``text`` in Cedar's own JSON, by ``@id``; raises ``POLICY_INVALID``.

    For looking at; a policy without an id of its own has none here.
    """
    try:
        plain = cedarpy.policies_to_json_str(guarded(text, "the policy text"))
        found = msgspec.json.decode(plain, type=_Read)
    except (ValueError, TypeError, RecursionError) as error:
        raise invalid(f"Cedar says {_line(error)}") from error
    result: dict[str, dict[str, object]] = {}
    for policy in found.static_policies.values():
        notes = policy.get("annotations")
        if isinstance(notes, dict) and isinstance(notes.get("id"), str):
            result[notes["id"]] = policy
    return result


def _rules(text: PolicyText) -> dict[str, _Policy]:
    """Return the policies by ``@id``; raises ``POLICY_INVALID``.

    Each needs an id of its own and a reason, for both are what a decision says; Cedar demands
    neither. Templates permit nothing until they are linked, and nothing here links them.
    """
    guarded(text.schema, "the schema")
    try:
        plain = cedarpy.policies_to_json_str(guarded(text.policies, "the policy text"))
        found = msgspec.json.decode(plain, type=_Policies)
    except (ValueError, TypeError, RecursionError) as error:
        raise invalid(f"Cedar says {_line(error)}") from error
    if found.templates:
        raise invalid("it has templates")
    if not 0 < len(found.static_policies) <= POLICIES_MAX:
        raise invalid(f"it has no policies, or more than {POLICIES_MAX}")
    rules: dict[str, _Policy] = {}
    for policy in found.static_policies.values():
        rule = policy.annotations.get("id")
        if not rule or rule in rules or rule in RESERVED_RULES or rule == DEFAULT_DENY:
            raise invalid(f"@id {rule!a} is missing, reserved or stands twice")
        if not policy.annotations.get("reason"):
            raise invalid(f"policy {rule} has no @reason")
        rules[rule] = policy
    return rules


def _line(*errors: object) -> str:
    """Return what Cedar said as one line of plain ASCII, capped."""
    text = "; ".join(str(error) for error in errors)
    return ascii(" ".join(text.split())[:300])
