"""What Cedar's validator lets pass and we do not: read on the policies as Cedar itself parsed them.

A name that nothing has, a permit for everything, a base forbid that was left out or changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from holdfast_protocol.ids import is_token
from holdfast_protocol.limits import POLICY_NODES

from holdfast_policy.logic.registry import Registry

_ACTIONS: Final = frozenset({"Infer", "Grant", "Place"})
_NAMESPACE: Final = "Holdfast::"


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The applications and nodes there are; None where no site is asked."""

    apps: frozenset[str] | None = None
    nodes: frozenset[str] | None = None


def lint(
    policies: Mapping[str, Mapping[str, object]],
    base: Mapping[str, Mapping[str, object]],
    registry: Registry,
    names: Names,
) -> Iterator[str]:
    """Yield a sentence for everything that is wrong with ``policies`` (Cedar's JSON, by ``@id``).

    ``base`` are the product's own.
    """
    for name, policy in sorted(base.items()):
        if policy["effect"] == "forbid" and policies.get(name) != policy:
            yield f"The base policy {name} is missing or changed."
    for name, policy in sorted(policies.items()):
        if policy["effect"] == "permit" and _bare(policy):
            yield f"Policy {name} permits without naming principal, action and resource."
        # One may be left out, but nothing else may go by its name.
        if name in base and policy["effect"] != base[name]["effect"]:
            yield f"Policy {name} has the name of a base policy."
        nodes = 0
        for entity in _walk(policy):
            nodes += 1
            wrong = _wrong(entity, registry, names)
            if wrong is not None:
                yield f"Policy {name} names {wrong}."
        if nodes > POLICY_NODES:
            yield f"Policy {name} has more than {POLICY_NODES} parts."


def _bare(policy: Mapping[str, object]) -> bool:
    scopes = [policy.get(part) for part in ("principal", "action", "resource")]
    return any(not isinstance(scope, dict) or scope.get("op") == "All" for scope in scopes)


def _walk(value: object) -> Iterator[dict[str, object]]:
    """Yield every object of a JSON value; the guard on brackets bounds the depth."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _walk(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _walk(each)


def _wrong(entity: Mapping[str, object], registry: Registry, names: Names) -> str | None:
    """Return what ``entity`` names and nothing has; None where it is well, or no entity."""
    if entity.keys() != {"type", "id"}:
        return None
    kind, name = str(entity["type"]).removeprefix(_NAMESPACE), str(entity["id"])
    match kind:
        case "Jurisdiction":
            known = name in registry.parents
        case "Zone":
            known = name in registry.zones
        case "Action":
            known = name in _ACTIONS
        case "App":
            known = is_token(name) if names.apps is None else name in names.apps
        case "Node":
            known = is_token(name) if names.nodes is None else name in names.nodes
        case _:
            # Models are denied by officers, one by one; a placement is no lasting thing.
            return f"{kind} {name[:80]!a}, and a policy names none of those"
    return None if known else f"{kind} {name[:80]!a}, which there is not"
