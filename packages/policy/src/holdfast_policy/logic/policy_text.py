"""What a text must be before Cedar's parser sees it: small, plain ASCII and shallow.

The parser is native code with a stack: some seven hundred nested brackets end the whole process.
Deliberately absent: any parsing of the language; that is Cedar's own.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import POLICY_BYTES, POLICY_DEPTH, POLICY_WORD_BYTES

# Comments and strings, whichever begins first: a quote in a comment opens no string.
_QUIET: Final = re.compile(r'//[^\n]*|"(?:\\.|[^"\\\n])*"')
_FOREIGN: Final = re.compile(r"[^\x20-\x7e\n\t]")
_BLANK_OR_SIGN: Final = re.compile(r"[\s(){}\[\],;.]+")


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
    if any(len(found.group()) > POLICY_WORD_BYTES for found in _QUIET.finditer(text)):
        raise invalid(f"{name} has a string or comment of more than {POLICY_WORD_BYTES} bytes")
    loud = _QUIET.sub(" ", text)
    if '"' in loud:
        raise invalid(f"{name} has a string that does not end on its line")
    if any(len(word) > POLICY_WORD_BYTES for word in _BLANK_OR_SIGN.split(loud)):
        raise invalid(f"{name} has a word of more than {POLICY_WORD_BYTES} bytes")
    if _deepest(loud) > POLICY_DEPTH:
        raise invalid(f"{name} has brackets nested deeper than {POLICY_DEPTH}")
    return text


def invalid(why: str) -> HoldfastError:
    """Return the error that says why a policy is none."""
    return HoldfastError(Code.POLICY_INVALID, f"The policy is refused: {why}.")


def _deepest(loud: str) -> int:
    depth = deepest = 0
    for sign in loud:
        if sign in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in ")]}":
            depth -= 1
    return deepest
