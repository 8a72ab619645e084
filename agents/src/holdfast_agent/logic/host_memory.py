"""The node's memory and load from the kernel's own texts (proc(5), cgroups 1 and 2)."""

from __future__ import annotations

import msgspec


class HostMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Memory that this node may use and what of it is taken, page cache not counted."""

    total_bytes: int
    used_bytes: int


def meminfo(text: str) -> HostMemory | None:
    """Return the machine's memory from ``/proc/meminfo``, ``None`` where it does not tell."""
    fields: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdigit():
            fields[name] = int(number[0]) * 1024
    total, available = fields.get("MemTotal"), fields.get("MemAvailable")
    if total is None or available is None:
        return None
    return HostMemory(total_bytes=total, used_bytes=max(0, total - available))


def within(host: HostMemory, limit: str | None, used: str | None, stat: str | None) -> HostMemory:
    """Return ``host`` narrowed by a control group's limit, where there is one.

    ``limit``, ``used`` and ``stat`` are the texts of ``memory.max``, ``memory.current`` and
    ``memory.stat`` (or their names in cgroup 1); a missing one is ``None``.
    """
    most, taken = _number(limit), _number(used)
    if most is None or taken is None or most >= host.total_bytes:
        return host
    cache = 0
    for line in (stat or "").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            cache = max(cache, _number(value) or 0)
    return HostMemory(total_bytes=most, used_bytes=max(0, taken - cache))


def busy_ticks(text: str) -> tuple[int, int] | None:
    """Return (busy, all) clock ticks since boot from ``/proc/stat``."""
    first, _, _ = text.partition("\n")
    parts = first.split()
    if len(parts) < 6 or parts[0] != "cpu" or not all(part.isdigit() for part in parts[1:]):
        return None
    ticks = [int(part) for part in parts[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def _number(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return int(stripped) if stripped.isdigit() else None
