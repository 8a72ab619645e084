"""The memory ledger of a node: what its devices can still take, measured before it is estimated.

Used memory of a device is the greater of what is measured and what our slots claim; foreign use
is what is measured beyond our claims (design, Placement; the agent's veto is ``VRAM_DRIFT``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast_protocol.messages import Device

from holdfast_agent.logic.slot import HOLDS_MEMORY, Slot


def claimed_bytes(slots: Iterable[Slot], device: str) -> int:
    """Bytes that slots which hold memory claim on ``device``, one that is stopping until it did."""
    return sum(
        max(slot.placement.claim_bytes, slot.memory_bytes or 0)
        for slot in slots
        if slot.placement.device == device and (slot.state in HOLDS_MEMORY or slot.stopping)
    )


def drift(slot: Slot, slots: Mapping[str, Slot], devices: Mapping[str, Device]) -> str | None:
    """Why ``slot`` cannot be loaded on its device now, one sentence; None when it can."""
    device = devices.get(slot.placement.device)
    if device is None:
        return f"Device {slot.placement.device} is not on this node."
    if device.health in ("lost", "unknown"):
        return f"Device {device.uuid} is {device.health}."
    others = [other for other in slots.values() if other is not slot]
    used = max(claimed_bytes(others, device.uuid), device.memory_used_bytes or 0)
    free = device.memory_total_bytes - used
    if slot.placement.claim_bytes > free:
        return (
            f"Device {device.uuid} has {max(free, 0)} bytes free, "
            f"{slot.placement.claim_bytes} are needed."
        )
    return None


def loading(slots: Iterable[Slot], device: str) -> bool:
    """Whether a load runs on ``device``: one at a time, so that its peak is known."""
    return any(
        slot.placement.device == device and slot.state in ("loading", "probing") for slot in slots
    )
