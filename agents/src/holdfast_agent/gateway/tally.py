"""What the gateway counts; numbers only, never contents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """Since the start: requests answered, refused before they ran, failed, and dropped unheard."""

    answered: int = 0
    refused: int = 0
    failed: int = 0
    dropped: int = 0
    tickets_refused: int = 0
