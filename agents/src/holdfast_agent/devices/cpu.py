"""The node's processor and memory as one device, so that placement treats all nodes alike."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

from holdfast_protocol.messages import Device

from holdfast_agent.logic.host_memory import HostMemory, busy_ticks, meminfo, within

# cgroup 2 as seen from inside (a namespace or the unit's own), then cgroup 1.
_GROUPS: Final = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat"),
    (
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "sys/fs/cgroup/memory/memory.usage_in_bytes",
        "sys/fs/cgroup/memory/memory.stat",
    ),
)
_FEATURES: Final = ("avx", "avx2", "avx512f", "f16c", "fma")


class CpuDevice:
    """One device, ``cpu-<node>``; its memory is what the node's processes may use."""

    def __init__(self, node: str, root: Path = Path("/")) -> None:
        """``root`` is where ``proc`` and ``sys`` lie."""
        self._node = node
        self._root = root
        self._name, self._features = self._identity()
        self._ticks = busy_ticks(self._text("proc/stat") or "")

    async def read(self) -> list[Device]:
        """Return the device; its utilisation is that since the last read."""
        memory = self.memory()
        return [
            Device(
                uuid=f"cpu-{self._node}",
                kind="cpu",
                name=self._name,
                memory_total_bytes=memory.total_bytes if memory else 0,
                memory_used_bytes=memory.used_bytes if memory else None,
                utilization_percent=self._utilization(),
                health="ok" if memory else "unknown",
                features=self._features,
            )
        ]

    async def close(self) -> None:
        """Nothing to let go of."""

    def memory(self) -> HostMemory | None:
        """Return the memory that this node may use, ``None`` where the kernel does not tell."""
        host = meminfo(self._text("proc/meminfo") or "")
        for limit, used, stat in _GROUPS:
            if host is not None:
                host = within(host, self._text(limit), self._text(used), self._text(stat))
        return host

    def _utilization(self) -> int | None:
        before, self._ticks = self._ticks, busy_ticks(self._text("proc/stat") or "")
        if before is None or self._ticks is None or self._ticks[1] <= before[1]:
            return None
        return round(100 * (self._ticks[0] - before[0]) / (self._ticks[1] - before[1]))

    def _identity(self) -> tuple[str, tuple[str, ...]]:
        name, flags = platform.machine(), frozenset[str]()
        for line in (self._text("proc/cpuinfo") or "").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            if key.strip() == "flags":
                flags = frozenset(value.split())
                break
        cores = f"cores-{len(os.sched_getaffinity(0))}"
        return name, (cores, *(flag for flag in _FEATURES if flag in flags))

    def _text(self, path: str) -> str | None:
        try:
            return (self._root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
