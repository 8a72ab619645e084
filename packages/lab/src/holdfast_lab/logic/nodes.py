"""The nodes of a lab as the command line names them: ``de-1=DE:sim2x24,fr-1=FR:cpu``."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from holdfast_protocol import ids
from holdfast_protocol.errors import Code, HoldfastError

DEFAULT: Final = "de-1=DE:sim2x24,de-2=DE:cpu,fr-1=FR:sim1x24"
NODES_MAX: Final = 16
_DEVICES = re.compile(r"cpu|nvml|sim[1-9][0-9]?x[1-9][0-9]{0,3}")


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the lab."""

    node: str
    jurisdiction: str
    devices: str

    @property
    def zone(self) -> str:
        """The zone token of its jurisdiction: ``DE`` is ``de``."""
        return zone_of(self.jurisdiction)


def zone_of(jurisdiction: str) -> str:
    """Return the zone token the lab's registry gives ``jurisdiction``."""
    return jurisdiction.lower()


def parse(text: str) -> tuple[NodeSpec, ...]:
    """Return the nodes of ``text`` in order; raises ``BAD_REQUEST`` or ``BAD_NAME``."""
    nodes = tuple(_one(part.strip()) for part in text.split(",") if part.strip())
    if not nodes or len(nodes) > NODES_MAX:
        raise HoldfastError(Code.BAD_REQUEST, f"A lab has 1 to {NODES_MAX} nodes.")
    names = [node.node for node in nodes]
    for name in names:
        if names.count(name) > 1:
            raise HoldfastError(Code.BAD_REQUEST, f"Node {name} is named twice.")
    return nodes


def _one(part: str) -> NodeSpec:
    name, equals, rest = part.partition("=")
    jurisdiction, colon, devices = rest.partition(":")
    if not equals or not colon or not all(_DEVICES.fullmatch(d) for d in devices.split("+")):
        raise HoldfastError(
            Code.BAD_REQUEST,
            f"{part[:80]!a} is not NAME=JURISDICTION:DEVICES with devices like sim2x24, cpu, nvml.",
        )
    return NodeSpec(
        node=ids.token(name, "node"),
        jurisdiction=ids.jurisdiction(jurisdiction),
        devices=devices,
    )
