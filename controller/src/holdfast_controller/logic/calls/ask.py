"""A call on its way: who asks in what role, what is looked at, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from holdfast_bundles.site.keys import SigningKey
from holdfast_protocol.api import Role

from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.reconcile import View


class Ask(NamedTuple):
    """One call, its caller's role already known."""

    who: str
    role: Role
    view: View
    online_key: SigningKey


class Outcome(NamedTuple):
    """What is decided, and the answer, made only once that is folded in."""

    facts: Sequence[AnyFact]
    answer: Callable[[], msgspec.Struct]


def answered(value: msgspec.Struct) -> Outcome:
    """Return the outcome of a question: nothing is decided."""
    return Outcome((), lambda: value)
