"""A GPU's health from what its driver says, with a way back after evidence.

The driver's own verdict (recovery action) counts most; fault numbers (XID) decide where it has
none. A GPU that was bad is good again only after a run of clean samples, so that a flapping one
does not attract work.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Health = Literal["ok", "degraded", "lost", "unknown"]

CLEAN_SAMPLES: Final = 30

# An application's own faults (13, 31, 43, 45, 68, 109) say nothing about the GPU and are left out.
_DEGRADING: Final = frozenset({48, 63, 64, 74, 92, 94, 95, 119, 120, 140, 143, 154})
_LOSING: Final = frozenset({79})
_NO_ACTION: Final = 0


class GpuSigns(msgspec.Struct, frozen=True, kw_only=True):
    """What one sample says of one GPU; unknown is ``None``."""

    lost: bool = False
    recovery_action: int | None = None
    rows_failed: bool | None = None
    xids: tuple[int, ...] = ()
    """Faults since the sample before."""


class GpuHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU's health now, and how many clean samples in a row it has shown."""

    health: Health = "ok"
    clean: int = 0


def judge(before: GpuHealth, signs: GpuSigns) -> GpuHealth:
    """Return the health after one more sample."""
    if signs.lost or _LOSING.intersection(signs.xids):
        return GpuHealth(health="lost")
    if signs.rows_failed or _DEGRADING.intersection(signs.xids):
        return GpuHealth(health="degraded")
    if signs.recovery_action not in (None, _NO_ACTION):
        return GpuHealth(health="degraded")
    clean = min(before.clean + 1, CLEAN_SAMPLES)
    if before.health == "ok" or clean >= CLEAN_SAMPLES:
        return GpuHealth(clean=clean)
    # It answers again: no longer lost, but not yet trusted either.
    return GpuHealth(health="degraded", clean=clean)
