"""The port through which the agent sees devices, and the fake that stands for it in tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast_protocol.messages import Device

__all__ = ["ClaimLedger", "Device", "DeviceProvider", "FakeDevices"]


class DeviceProvider(Protocol):
    """One kind of device. A fault of the kind is a device's state, never an exception."""

    async def read(self) -> list[Device]:
        """Return all devices as they are now; quick, never blocked by a driver."""

    async def close(self) -> None:
        """Let go of everything; idempotent."""


class ClaimLedger(Protocol):
    """Who knows what running slots have claimed."""

    def claimed_bytes(self, uuid: str) -> int:
        """Return the bytes claimed on a device by slots that are loading or running."""


class FakeDevices:
    """Devices as a test sets them."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices = list(devices)
        self.closed = False

    async def read(self) -> list[Device]:
        """Return what was set."""
        return list(self.devices)

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
