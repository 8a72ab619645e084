"""What all facts have in common."""

from __future__ import annotations

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Past tense, closed, whole numbers only; ``_ms`` are Unix milliseconds, ``_s`` seconds."""
