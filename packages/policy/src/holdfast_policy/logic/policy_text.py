"""What a text must be before Cedar's parser sees it: plain ASCII, small, and shallow.

The parser is native code with a stack: some seven hundred nested brackets, or some thousand nested
``if``, end the whole process. A statement of few words nests little, whatever nests in it.
Deliberately absent: any parsing of the language; that is Cedar's own.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import (
    POLICY_BYTES,
    POLICY_DEPTH,
    POLICY_STATEMENT_WORDS,
    POLICY_WORD_BYTES,
)

# Comments and strings first: a quote in a comment opens no string, a bracket in either no depth.
_WORD: Final = re.compile(r'//[^\n]*|"(?:\\.|[^"\\\n])*"|\w+|\S')
_FOREIGN: Final = re.compile(r"[^\x20-\x7e\n\t]")


class PolicyText(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as text: the schema, and policies written for it."""

    schema: str
    policies: str


def guarded(text: str, name: str) -> str:
    """Return ``text`` if Cedar's parser may see it; raises ``POLICY_INVALID`` naming ``name``."""
    if len(text) > POLICY_BYTES:
        raise invalid(f"{name} has more than {POLICY_BYTES} bytes")
    if found := _FOREIGN.search(text):
        # Letters that look like others would make a jurisdiction that is none.
        raise invalid(f"{name} has the character {found.group()!a}, which is not plain ASCII")
    depth = words = 0
    for match in _WORD.finditer(text):
        word = match.group()
        if len(word) > POLICY_WORD_BYTES:
            raise invalid(f"{name} has a word of more than {POLICY_WORD_BYTES} bytes")
        if word == '"':
            raise invalid(f"{name} has a string that does not end on its line")
        if word.startswith("//"):
            continue
        words = 0 if word == ";" else words + 1
        depth += (word in ("(", "[", "{")) - (word in (")", "]", "}"))
        if words > POLICY_STATEMENT_WORDS:
            raise invalid(f"{name} has a statement of more than {POLICY_STATEMENT_WORDS} words")
        if depth > POLICY_DEPTH:
            raise invalid(f"{name} has brackets nested deeper than {POLICY_DEPTH}")
    return text


def invalid(why: str) -> HoldfastError:
    """Return the error that says why a policy is none."""
    return HoldfastError(Code.POLICY_INVALID, f"The policy is refused: {why}.")
