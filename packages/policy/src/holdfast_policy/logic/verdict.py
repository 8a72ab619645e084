"""What the checker is asked and what it answers: values that cross a process boundary as JSON."""

from __future__ import annotations

import msgspec

from holdfast_policy.logic.rules import Rule
from holdfast_policy.port import Decision, Question


class CheckRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at: documents of bundles.

    ``in_force`` is None for the product's own policy, ``candidate`` for none. ``zones`` are the
    site's with their jurisdictions, None where no site is asked: then the candidate's golden file
    says. ``apps`` and ``nodes`` are those the site knows. Each of ``questions`` is decided by both.
    """

    in_force: bytes | None = None
    candidate: bytes | None = None
    zones: dict[str, str] | None = None
    apps: tuple[str, ...] | None = None
    nodes: tuple[str, ...] | None = None
    questions: tuple[Question, ...] = ()


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with the candidate, one sentence each; and the decisions, question by question.

    ``rules`` are those of the candidate, or of what is in force where there is none. Decisions are
    empty where they could not be had.
    """

    problems: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    cases: int = 0
    now: tuple[Decision, ...] = ()
    then: tuple[Decision, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems
