"""Asking the controller: one call, one answer, every failure a ``HoldfastError``.

Who asks is the identity of the connection; the broker lets nobody speak under another name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec
from holdfast_protocol import codec, subjects
from holdfast_protocol.api import CALLS, ErrorAnswer, raised
from holdfast_protocol.errors import Code, HoldfastError

if TYPE_CHECKING:
    from holdfast_protocol.bus.port import Message

ANSWER_S: Final = 4.0

A = TypeVar("A", bound=msgspec.Struct)


class Requester(Protocol):
    """What is needed of a bus here."""

    async def request(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        timeout_s: float = 5.0,
    ) -> Message:
        """Return the first answer."""
        ...


class Client:
    """The controller's API as ``who`` may use it."""

    def __init__(self, bus: Requester, who: str) -> None:
        self.who = who
        self._bus = bus

    async def call(
        self, name: str, body: msgspec.Struct, answer: type[A], *, answer_s: float = ANSWER_S
    ) -> A:
        """Return the answer of ``name`` (``nodes.list``).

        Raises what the controller refused with, and ``CONTROLLER_DOWN`` where it is not there or
        silent for ``answer_s``.
        """
        # Imported here: whoever only reads the help needs no broker's client.
        from holdfast_protocol.bus.port import NoRespondersError

        assert CALLS[name].answer is answer, "the table of calls says what is answered"
        resource, _, verb = name.partition(".")
        subject = subjects.api(self.who, resource, verb)
        try:
            message = await self._bus.request(subject, codec.encode(body), timeout_s=answer_s)
        except NoRespondersError as error:
            raise HoldfastError(
                Code.CONTROLLER_DOWN, "Nobody answers for the site's controller."
            ) from error
        except HoldfastError as error:
            if error.code is not Code.DEADLINE:
                raise
            raise HoldfastError(
                Code.CONTROLLER_DOWN,
                f"The controller did not answer {name} within {answer_s:.0f} s; "
                "what was asked may have been done.",
            ) from error
        return _answer(message.body, answer)


def _answer(data: bytes, kind: type[A]) -> A:
    fields = codec.decode(data, dict[str, msgspec.Raw])
    # An import's view has a field ``error`` too; an answer that is an error has nothing else.
    if fields.keys() == {"error"}:
        raise raised(codec.decode(data, ErrorAnswer).error)
    return codec.decode(data, kind)
