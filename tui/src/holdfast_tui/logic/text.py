"""Text from elsewhere made harmless before a terminal sees it.

Names of GPUs, models and messages come from hardware, vendors and nodes. A control character in
one of them could move the cursor or answer a terminal's question, and a bidirectional mark could
make one name look like another; both become visible escapes here.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
NOT_KNOWN: Final = "n/a"


def clean(text: str) -> str:
    """Return ``text`` on one line without control, format or unassigned characters.

    Each is replaced by its escape (``\\x1b``, ``\\u202e``); white space becomes a space.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def json_safe(text: str) -> str:
    """Return JSON ``text`` with the same meaning and no character that a terminal would obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if _harmful(c) else c for c in text)


def ascii_only(text: str) -> str:
    """Return ``text`` with every character outside ASCII as ``?``: for terminals without them."""
    return text if text.isascii() else text.encode("ascii", "replace").decode("ascii")


def width(text: str) -> int:
    """Return how many columns ``text`` (clean) takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def fit(text: str, columns: int, *, right: bool = False) -> str:
    """Return ``text`` in exactly ``columns`` columns; what is cut off shows as a last ``~``."""
    taken = width(text)
    if taken > columns:
        text, taken = _cut(text, columns)
    pad = " " * (columns - taken)
    return pad + text if right else text + pad


def wrapped(text: str, columns: int) -> list[str]:
    """Return ``text`` in lines of at most ``columns``, broken between words where it can be."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width(joined) <= columns:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if width(lines[-1]) + _columns(character) > columns:
                lines.append("")
            lines[-1] += character
    return lines


def _cut(text: str, columns: int) -> tuple[str, int]:
    if columns <= 0:
        return "", 0
    kept, taken = "", 0
    for character in text:
        size = _columns(character)
        if taken + size > columns - 1:
            break
        kept += character
        taken += size
    return kept + "~", taken + 1


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _harmful(character: str) -> bool:
    return unicodedata.category(character) in _HARMFUL


def _shown(character: str) -> str:
    if character in "\t\n\r":
        return " "
    if not _harmful(character):
        return character
    return _escaped(character) if ord(character) > 0xFF else f"\\x{ord(character):02x}"


def _escaped(character: str) -> str:
    point = ord(character)
    if point <= 0xFFFF:
        return f"\\u{point:04x}"
    point -= 0x10000
    return f"\\u{0xD800 + (point >> 10):04x}\\u{0xDC00 + (point & 0x3FF):04x}"
