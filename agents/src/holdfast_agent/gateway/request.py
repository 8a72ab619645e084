"""One application's request on its way through the gateway."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_agent.logic.gateway.decide import Asked
from holdfast_agent.logic.gateway.dedupe import RequestKey


@dataclass(frozen=True)
class Request:
    """What was asked, verbatim; ``deadline`` is on the loop's clock."""

    key: RequestKey
    asked: Asked
    body: bytes
    reply: str
    stream: bool
    deadline: float
