"""Numbers of the machine itself, from the kernel; unknown is None."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from holdfast_agent.devices.cpu import CpuDevice
from holdfast_agent.logic.io import HostRead


def read(cpu: CpuDevice, folder: Path, spool: int) -> HostRead:
    """Return memory, the free space where artifacts lie, load, and how many events wait."""
    memory = cpu.memory()
    try:
        free: int | None = shutil.disk_usage(folder).free
    except OSError:
        free = None
    try:
        load: float | None = round(os.getloadavg()[0], 2)
    except OSError:
        load = None
    return HostRead(
        memory_total_bytes=memory.total_bytes if memory else None,
        memory_used_bytes=memory.used_bytes if memory else None,
        disk_free_bytes=free,
        load_1m=load,
        spool=spool,
    )
