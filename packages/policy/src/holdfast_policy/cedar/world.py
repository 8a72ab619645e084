"""What Cedar sees of a question: entities and a context, built from the question's facts alone.

The world is closed: every jurisdiction and zone that a question names must stand in the registry,
because Cedar itself takes a reference to nothing, skips the rule that trips over it, and may allow.
Ids travel as JSON values with their type, never inside policy text.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
from holdfast_protocol.codec import encode

from holdfast_policy.logic.labels import LEVEL_MAX
from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import Act, Question

_ACTIONS: Final[dict[Act, str]] = {"infer": "Infer", "grant": "Grant", "place": "Place"}
_NOW_MAX_S: Final = 2**53


class UndecidedError(Exception):
    """The engine cannot decide a question; the text says why."""


class Uid(msgspec.Struct, frozen=True):
    """An entity's type and id."""

    type: str
    id: str


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """An entity as Cedar's JSON has it."""

    uid: Uid
    attrs: dict[str, object] = {}
    parents: list[Uid] = []
    tags: dict[str, int] = {}


def registered(registry: Registry) -> str:
    """Return the registry's jurisdictions and zones as entities, JSON.

    The parents are handed over as they were listed: which lies in which Cedar works out for itself,
    not from the registry's own answer.
    """
    return _json(
        [
            Entity(
                uid=_uid("Jurisdiction", name),
                parents=[_uid("Jurisdiction", parent) for parent in sorted(above)],
            )
            for name, above in registry.parents.items()
        ]
        + [
            Entity(uid=_uid("Zone", zone), attrs={"jurisdiction": _uid("Jurisdiction", where)})
            for zone, where in registry.zones.items()
        ]
    )


def checked(registry: Registry, question: Question) -> None:
    """Raise :class:`UndecidedError` for a question that names what is not registered."""
    label, node = question.label, question.node
    for place in sorted({*label.residency, node.jurisdiction}):
        if place not in registry.parents:
            raise UndecidedError(f"jurisdiction {place[:80]!a} is not registered")
    for zone in sorted({*node.zones, question.app.zone}):
        if zone not in registry.zones:
            raise UndecidedError(f"zone {zone[:80]!a} is not registered")
    if not 0 <= label.classification.level <= LEVEL_MAX:
        raise UndecidedError(f"level {label.classification.level} is none")
    if question.act != "infer" and not 0 <= question.now_s <= _NOW_MAX_S:
        raise UndecidedError(f"{question.now_s} is no time")


def facts(question: Question) -> str:
    """Return the application, the node, the model and its placement as entities, JSON."""
    app, node, model = question.app, question.node, question.model
    clearances: dict[str, int] = {}
    for cleared in node.clearances:
        clearances[cleared.scheme] = max(
            cleared.level, clearances.get(cleared.scheme, cleared.level)
        )
    of_node, of_model = _uid("Node", node.node), _uid("Model", model.digest)
    return _json(
        [
            Entity(
                uid=_uid("App", app.app),
                attrs={
                    "home": _uid("Zone", app.zone),
                    "aliases": sorted(app.aliases),
                    "denied": app.denied,
                },
            ),
            Entity(
                uid=of_node,
                attrs={
                    "zones": [_uid("Zone", zone) for zone in sorted(node.zones)],
                    "not_after_s": node.not_after_s,
                    "denied": node.denied,
                },
                parents=[_uid("Jurisdiction", node.jurisdiction)],
                tags=clearances,
            ),
            Entity(uid=of_model, attrs={"denied": model.denied}),
            Entity(
                uid=_placement(question),
                attrs={"node": of_node, "model": of_model},
                parents=[of_node],
            ),
        ]
    )


def request(question: Question) -> dict[str, object]:
    """Return the question as Cedar's request; the context is JSON."""
    label = question.label
    context: dict[str, object] = {
        "alias": question.alias,
        "label": {
            "residency": [_uid("Jurisdiction", place) for place in sorted(label.residency)],
            "classification": {
                "scheme": label.classification.scheme,
                "level": label.classification.level,
            },
            "purposes": sorted(label.purposes),
        },
    }
    if question.act != "infer":
        # Whole seconds suffice: a certificate ends at a whole second.
        context["now_s"] = math.floor(question.now_s)
    return {
        "principal": _plain(_uid("App", question.app.app)),
        "action": _plain(_uid("Action", _ACTIONS[question.act])),
        "resource": _plain(_placement(question)),
        "context": _json(context),
    }


def _placement(question: Question) -> Uid:
    return _uid("Placement", f"{question.node.node}/{question.model.digest}")


def _uid(kind: str, name: str) -> Uid:
    return Uid(f"Holdfast::{kind}", name)


def _plain(uid: Uid) -> dict[str, str]:
    return {"type": uid.type, "id": uid.id}


def _json(value: object) -> str:
    return encode(value).decode()
