"""What a node shall inventory: ``cpu``, ``sim2x24`` and ``nvml``, joined by ``+``."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import GIB, SIMULATED_GPUS_MAX

_SIMULATED: Final = re.compile(r"sim([1-9][0-9]?)x([1-9][0-9]{0,3})")


class CpuDevices(msgspec.Struct, frozen=True, tag="cpu"):
    """The node's processor and memory, as one device."""


class SimulatedGpus(msgspec.Struct, frozen=True, kw_only=True, tag="simulated"):
    """GPUs that are accounted like real ones while engines run on the CPU."""

    count: int
    memory_bytes: int


class NvmlGpus(msgspec.Struct, frozen=True, tag="nvml"):
    """Whatever GPUs NVIDIA's library finds; none is not an error."""


DeviceSource = CpuDevices | SimulatedGpus | NvmlGpus


def parse(text: str) -> tuple[DeviceSource, ...]:
    """Return the sources that ``text`` names, in order.

    ``nvml`` brings ``cpu`` along: a node without NVIDIA GPUs is a CPU node. Raises
    ``CONFIG_INVALID`` naming the part that is no source, or stands twice.
    """
    sources: list[DeviceSource] = []
    for part in text.split("+"):
        source = _source(part)
        if any(type(source) is type(other) for other in sources):
            raise HoldfastError(Code.CONFIG_INVALID, f"devices {text[:80]!a} names {part} twice.")
        sources.append(source)
    if any(isinstance(source, NvmlGpus) for source in sources) and CpuDevices() not in sources:
        sources.append(CpuDevices())
    return tuple(sources)


def _source(part: str) -> DeviceSource:
    if part == "cpu":
        return CpuDevices()
    if part == "nvml":
        return NvmlGpus()
    found = _SIMULATED.fullmatch(part)
    if found is None or int(found[1]) > SIMULATED_GPUS_MAX:
        raise HoldfastError(
            Code.CONFIG_INVALID,
            f"{part[:80]!a} is no device source: cpu, nvml, or simNxG with N up to "
            f"{SIMULATED_GPUS_MAX} GPUs of G GiB.",
        )
    return SimulatedGpus(count=int(found[1]), memory_bytes=int(found[2]) * GIB)
