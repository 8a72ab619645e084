"""The policies of a text as a person may read them before any parser does: id, effect, reason.

Only words, strings and brackets are told apart; Cedar reads the same text later, and whoever
checks a bundle compares the two readings.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from holdfast_policy.logic.policy_text import guarded, invalid

_TOKEN: Final = re.compile(r'//[^\n]*|"(?:\\.|[^"\\\n])*"|[A-Za-z_][A-Za-z0-9_]*|\S')
_PLAIN: Final = re.compile(r'"[A-Za-z0-9 .,:;\'()/_-]*"')


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One policy: what it is called, whether it permits or forbids, and why."""

    id: str
    effect: str
    reason: str


def rules(text: str) -> tuple[Rule, ...]:
    """Return the policies in ``text`` in their order; raises ``POLICY_INVALID``.

    An annotation must be plain text: an escape in it could show a person another word than Cedar
    reads.
    """
    found: list[Rule] = []
    words = [t for t in _TOKEN.findall(guarded(text, "the policy text")) if t[:2] != "//"]
    begin = 0
    for end, word in enumerate(words):
        if word == ";":
            found.append(_rule(words[begin:end]))
            begin = end + 1
    if begin != len(words):
        raise invalid("its last policy does not end")
    return tuple(found)


def _rule(words: list[str]) -> Rule:
    notes: dict[str, str] = {}
    at = 0
    while words[at : at + 1] == ["@"]:
        name, value = "".join(words[at + 1 : at + 2]), "".join(words[at + 3 : at + 4])
        whole = len(words) > at + 4 and words[at + 2] == "(" and words[at + 4] == ")"
        if not whole or not _PLAIN.fullmatch(value) or name in notes:
            raise invalid(f"an annotation {name[:40]!a} is not plain, or stands twice")
        notes[name] = value[1:-1]
        at += 5
    effect = "".join(words[at : at + 1])
    if effect not in ("permit", "forbid"):
        raise invalid(f"a policy begins with {effect[:40]!a}")
    if not notes.get("id") or not notes.get("reason"):
        raise invalid(f"a policy {notes.get('id', '')[:80]!a} has no @id or no @reason")
    return Rule(id=notes["id"], effect=effect, reason=notes["reason"])
