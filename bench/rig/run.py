"""What benches share: the machine's load, medians of ratios, how a run is printed."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and beside what load a run was made; the load is the mean of the last minute."""

    cores: int
    load_before: float


def machine() -> Machine:
    """Return this machine, now."""
    return Machine(cores=os.cpu_count() or 1, load_before=round(os.getloadavg()[0], 2))


def median_ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """Return the median of the ratios of neighbours: what slowed one round slowed both."""
    return statistics.median(a / b for a, b in zip(ours, other, strict=True))


def cpu_s(pid: int) -> float:
    """Return user and system time of a process and of its children that were waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS_PER_S


def machine_busy_s() -> float:
    """Return the processor time that everybody together has used since boot."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    idle = int(fields[3]) + int(fields[4])
    return (sum(int(field) for field in fields[:8]) - idle) / TICKS_PER_S


def say(line: str) -> None:
    """Print a line for people at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def emit(result: msgspec.Struct, *, as_json: bool) -> None:
    """Print the run as one JSON object on the last line, where that was asked for."""
    if as_json:
        say(msgspec.json.encode(result).decode())
