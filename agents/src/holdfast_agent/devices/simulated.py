"""GPUs that are not there: accounted like real ones, always flagged as simulated."""

from __future__ import annotations

from holdfast_protocol.messages import Device

from holdfast_agent.devices.port import ClaimLedger
from holdfast_agent.logic.inventory import SimulatedGpus


class SimulatedDevices:
    """``count`` GPUs of a size; memory in use is what the ledger says was claimed."""

    def __init__(self, node: str, source: SimulatedGpus, ledger: ClaimLedger) -> None:
        self._node = node
        self._source = source
        self._ledger = ledger

    async def read(self) -> list[Device]:
        """Return the GPUs, ``GPU-sim-<node>-<n>``; temperature and power are unknown."""
        return [self._device(index) for index in range(self._source.count)]

    async def close(self) -> None:
        """Nothing to let go of."""

    def _device(self, index: int) -> Device:
        uuid = f"GPU-sim-{self._node}-{index}"
        return Device(
            uuid=uuid,
            kind="gpu",
            name="simulated GPU",
            memory_total_bytes=self._source.memory_bytes,
            memory_used_bytes=self._ledger.claimed_bytes(uuid),
            index=index,
            simulated=True,
        )
