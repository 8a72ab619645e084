"""Asking the site: the same question again until officers have decided, or the wait is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from holdfast_protocol import codec, subjects
from holdfast_protocol.api import ErrorAnswer, raised
from holdfast_protocol.bus.nats_bus import connect
from holdfast_protocol.bus.port import Core, NoRespondersError
from holdfast_protocol.enrolment import EnrolAnswer, EnrolRequest
from holdfast_protocol.errors import Code, HoldfastError

ANSWER_S: Final = 5.0
ASK_EVERY_S: Final = 2.0
CONNECT_S: Final = 15.0
_AGAIN: Final = (Code.NOT_LOADED, Code.DEADLINE, Code.BROKER_DOWN, Code.BUSY)

Told = Callable[[EnrolAnswer], None]


async def ask(
    folder: Path, nonce: str, asked: EnrolRequest, wait_s: float, told: Told
) -> EnrolAnswer:
    """Return the site's answer: ``ready``, or how far it is when ``wait_s`` is over.

    ``told`` hears each answer. ``folder`` holds the code's identity. Raises what the site refuses,
    and ``NOT_PERMITTED`` where the broker does not know the code.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + wait_s
    bus = await connect(folder, name=f"enrol {nonce}", timeout_s=CONNECT_S)
    try:
        while True:
            answer = await _once(bus, nonce, asked, must=loop.time() >= ends_at)
            if answer is not None:
                told(answer)
                if answer.state == "ready" or loop.time() >= ends_at:
                    return answer
            await asyncio.sleep(min(ASK_EVERY_S, max(0.1, ends_at - loop.time())))
    finally:
        await bus.close()


async def _once(bus: Core, nonce: str, asked: EnrolRequest, *, must: bool) -> EnrolAnswer | None:
    """Return the answer, None where the site is silent just now and another try follows."""
    try:
        message = await bus.request(
            subjects.enrolment(nonce), codec.encode(asked), timeout_s=ANSWER_S
        )
    except NoRespondersError as error:
        if must:
            raise HoldfastError(
                Code.CONTROLLER_DOWN, "Nobody answers for the site's controller."
            ) from error
        return None
    except HoldfastError as error:
        if must or error.code not in _AGAIN:
            raise
        return None
    fields = codec.decode(message.body, dict[str, msgspec.Raw])
    if fields.keys() == {"error"}:
        refused = raised(codec.decode(message.body, ErrorAnswer).error)
        if must or refused.code not in _AGAIN:
            raise refused
        return None
    return codec.decode(message.body, EnrolAnswer)
