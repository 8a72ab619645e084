"""Numbers as people read them; what is not known is ``n/a``, never 0."""

from __future__ import annotations

import datetime
from typing import Final

from holdfast_tui.logic.text import NOT_KNOWN

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(size_bytes: int | None) -> str:
    """Return bytes as ``512 B``, ``1.5 GiB``."""
    if size_bytes is None:
        return NOT_KNOWN
    value = float(size_bytes)
    for unit in _UNITS[:-1]:
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"


def used(used_bytes: int | None, total_bytes: int | None) -> str:
    """Return ``1.5/24.0 GiB``, in the unit of the total."""
    if total_bytes is None:
        return NOT_KNOWN if used_bytes is None else size(used_bytes)
    whole, _, unit = size(total_bytes).partition(" ")
    if used_bytes is None:
        return f"{NOT_KNOWN}/{whole} {unit}"
    return f"{used_bytes / 1024 ** _UNITS.index(unit):.1f}/{whole} {unit}"


def percent(value: int | None) -> str:
    """Return ``40%``."""
    return NOT_KNOWN if value is None else f"{value}%"


def celsius(value: int | None) -> str:
    """Return ``63C``."""
    return NOT_KNOWN if value is None else f"{value}C"


def watts(power_mw: int | None) -> str:
    """Return milliwatts as ``310W``."""
    return NOT_KNOWN if power_mw is None else f"{power_mw / 1000:.0f}W"


def age(age_s: float | None) -> str:
    """Return a length of time as ``0.4s``, ``43s``, ``12m``, ``3h``, ``5d``."""
    if age_s is None:
        return NOT_KNOWN
    value = max(0.0, age_s)
    if value < 10:
        return f"{value:.1f}s"
    for limit, length, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if value < limit:
            return f"{value / length:.0f}{unit}"
    return f"{value / 86_400:.0f}d"


def seen(age_s: float | None) -> str:
    """Return an age that stands still while all is well: ``<3s``, then whole seconds as `age`.

    A screen that repaints for every tenth of a second tires the eye and a slow line.
    """
    if age_s is None or age_s >= 10:
        return age(age_s)
    return "<3s" if age_s < 3 else f"{age_s:.0f}s"


def moment(at: float) -> str:
    """Return Unix seconds as ``2026-11-20 14:03:22Z``; ``n/a`` where they name no date."""
    try:
        return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return NOT_KNOWN


def progress(done: int | None, total: int | None) -> str:
    """Return ``41%`` of a transfer, empty where none is under way."""
    if done is None or not total:
        return ""
    return f"{min(100, done * 100 // total)}%"
