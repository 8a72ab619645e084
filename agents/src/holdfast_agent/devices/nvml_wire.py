"""What the NVML helper tells the agent: one JSON line a sample, which is also its heartbeat."""

from __future__ import annotations

from typing import Literal

import msgspec


class GpuSample(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU in one sample; unknown is ``None``."""

    uuid: str
    name: str = "NVIDIA GPU"
    index: int | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilization_percent: int | None = None
    temperature_c: int | None = None
    power_mw: int | None = None
    compute_capability: str | None = None
    features: tuple[str, ...] = ()
    lost: bool = False
    recovery_action: int | None = None
    rows_failed: bool | None = None
    xids: tuple[int, ...] = ()


class NvmlSample(msgspec.Struct, frozen=True, kw_only=True):
    """All GPUs at one time. ``absent``: no driver here; ``failed``: it does not work now."""

    status: Literal["ok", "absent", "failed"]
    reason: str = ""
    driver: str | None = None
    gpus: tuple[GpuSample, ...] = ()
