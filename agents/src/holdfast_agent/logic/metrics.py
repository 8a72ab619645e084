"""Numbers from an engine's metrics page (Prometheus text format)."""

from __future__ import annotations


def parse(text: str) -> dict[str, int]:
    """Return the unlabelled samples of ``text`` by name, rounded; what is no number is left out."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if not name or name.startswith("#") or "{" in name:
            continue
        try:
            found[name] = round(float(value))
        except (ValueError, OverflowError):
            continue
    return found
