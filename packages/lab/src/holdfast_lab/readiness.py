"""When a lab is ready: its controller answers and every node reports."""

from __future__ import annotations

import asyncio
import time

from holdfast_protocol import api, subjects
from holdfast_protocol.bus.nats_bus import connect
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.views import StatusAnswer

from holdfast_lab.layout import Layout

WHO = "operator-1"
ASK_EVERY_S = 0.1


async def wait_until_ready(layout: Layout, nodes: int, deadline_s: float) -> StatusAnswer | None:
    """Return the site's status once ``nodes`` nodes are well; None when ``deadline_s`` passes."""
    end_s = time.monotonic() + deadline_s
    try:
        bus = await connect(layout.credentials(WHO), name=f"{WHO}-lab", timeout_s=deadline_s)
    except HoldfastError:
        return None
    try:
        while time.monotonic() < end_s:
            try:
                answer = await bus.request(
                    subjects.api(WHO, "site", "status"), encode(api.Nothing()), timeout_s=2.0
                )
                status = decode(answer.body, StatusAnswer)
            except HoldfastError:
                await asyncio.sleep(ASK_EVERY_S)
                continue
            if status.nodes_ok >= nodes:
                return status
            await asyncio.sleep(ASK_EVERY_S)
        return None
    finally:
        await bus.close()
