"""All devices of a node, from the sources that its configuration names."""

from __future__ import annotations

from typing import assert_never

from holdfast_protocol.messages import Device

from holdfast_agent.devices.cpu import CpuDevice
from holdfast_agent.devices.nvml import NvmlDevices
from holdfast_agent.devices.port import ClaimLedger, DeviceProvider
from holdfast_agent.devices.simulated import SimulatedDevices
from holdfast_agent.logic.inventory import (
    CpuDevices,
    DeviceSource,
    NvmlGpus,
    SimulatedGpus,
    parse,
)


class CombinedDevices:
    """Several providers as one, in their order."""

    def __init__(self, providers: tuple[DeviceProvider, ...]) -> None:
        self._providers = providers

    async def read(self) -> list[Device]:
        """Return the devices of all providers."""
        return [device for provider in self._providers for device in await provider.read()]

    async def close(self) -> None:
        """Close all providers."""
        for provider in self._providers:
            await provider.close()


def open_devices(text: str, node: str, ledger: ClaimLedger) -> CombinedDevices:
    """Return the devices that ``text`` names (``cpu``, ``sim2x24``, ``nvml``, joined by ``+``).

    Raises ``CONFIG_INVALID``. Nothing is started before the first read.
    """
    return CombinedDevices(tuple(_provider(source, node, ledger) for source in parse(text)))


def _provider(source: DeviceSource, node: str, ledger: ClaimLedger) -> DeviceProvider:
    match source:
        case CpuDevices():
            return CpuDevice(node)
        case SimulatedGpus():
            return SimulatedDevices(node, source, ledger)
        case NvmlGpus():
            return NvmlDevices()
        case _:
            assert_never(source)
