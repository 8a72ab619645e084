"""One question of an application and its answer, as the inference protocol has it.

The design's "Inference protocol" is the contract: keep-alives are empty bodies, the last message
carries ``Hf-Status``, errors carry the micro-service headers and a code of the table.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final, Protocol, assert_never

import msgspec
from holdfast_protocol import subjects
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import Operation

if TYPE_CHECKING:
    from holdfast_protocol.bus.port import Message

GRACE_S: Final = 2.0


class Asker(Protocol):
    """What is needed of an application's bus."""

    def request_many(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> AsyncGenerator[Message, None]:
        """Yield answers until closed."""
        ...


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask which alias; ``deadline_s`` for the whole answer."""

    alias: str
    operation: Operation
    text: str
    deadline_s: float
    max_tokens: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    """Narrowing headers: ``("Hf-Residency", "DE")``."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: text for chat and complete, vectors for embed; usage as the engine tells."""

    alias: str
    digest: str | None
    output: str | list[float]
    usage: dict[str, int | None] | None


class _Text(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Text | None = None
    delta: _Text | None = None
    text: str | None = None


class _Vector(msgspec.Struct, frozen=True):
    embedding: list[float]


class _Body(msgspec.Struct, frozen=True):
    choices: list[_Choice] = []
    data: list[_Vector] = []


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _ErrorBody(msgspec.Struct, frozen=True):
    error: _Error = _Error()


async def ask(
    bus: Asker, question: Question, on_text: Callable[[str], None] | None = None
) -> Answer:
    """Return the whole answer; with ``on_text`` it is streamed and told piece by piece.

    Raises the code the site answered with, ``NOT_LOADED`` where nobody answers, ``DEADLINE``
    after the question's deadline.
    """
    # Imported here: whoever only reads the help needs no broker's client.
    from holdfast_protocol.bus.port import NoRespondersError

    subject = subjects.infer(question.alias, question.operation)
    headers = {
        "Hf-Request": secrets.token_hex(16),
        "Hf-Deadline-Ms": str(max(1, round(question.deadline_s * 1000))),
        "Hf-Accept": "final" if on_text is None else "stream",
        **dict(question.labels),
    }
    pieces: list[str] = []
    expected = 0
    wait_s = question.deadline_s + GRACE_S
    try:
        answers = bus.request_many(subject, _body(question), headers, wait_s)
        async with contextlib.aclosing(answers):
            async for message in answers:
                _check(message)
                if "Hf-Status" in message.headers:
                    return _last(question, message, pieces)
                if "Hf-Keep-Alive" in message.headers or not message.body:
                    continue
                expected = _in_order(message, expected)
                piece = "".join(_text(body) for body in decode(message.body, list[_Body]))
                pieces.append(piece)
                if on_text is not None and piece:
                    on_text(piece)
    except NoRespondersError as error:
        raise HoldfastError(
            Code.NOT_LOADED, f"Nobody answers for {question.alias} in this zone."
        ) from error
    raise HoldfastError(Code.NODE_DIED, f"The answer of {question.alias} broke off.")


def _body(question: Question) -> bytes:
    limits = {} if question.max_tokens is None else {"max_tokens": question.max_tokens}
    match question.operation:
        case "chat":
            return encode({"messages": [{"role": "user", "content": question.text}], **limits})
        case "complete":
            return encode({"prompt": question.text, **limits})
        case "embed":
            return encode({"input": question.text})
        case _:
            assert_never(question.operation)


def _check(message: Message) -> None:
    """Raise the error a message carries."""
    status = message.headers.get("Hf-Status", "200")
    if status == "200" and "Nats-Service-Error" not in message.headers:
        return
    named = message.headers.get("Hf-Code", "")
    code = Code(named) if named in Code.__members__ else Code.DEFECT
    said = message.headers.get("Nats-Service-Error", "")
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
        said = msgspec.json.decode(message.body or b"{}", type=_ErrorBody).error.message or said
    raise HoldfastError(code, said or f"The request ended with status {status}.")


def _in_order(message: Message, expected: int) -> int:
    """Return the next number; a gap means that a piece is lost, and a text with a hole lies."""
    if message.headers.get("Hf-Seq", str(expected)) != str(expected):
        raise HoldfastError(Code.NODE_DIED, "A piece of the answer was lost on its way.")
    return expected + 1


def _last(question: Question, message: Message, pieces: list[str]) -> Answer:
    output: str | list[float] = "".join(pieces)
    if message.body:
        body = decode(message.body, _Body)
        # One text was asked, so one vector is the answer.
        vector = body.data[0].embedding if body.data else []
        output = vector if question.operation == "embed" else _text(body)
    usage = message.headers.get("Hf-Usage")
    return Answer(
        alias=question.alias,
        digest=message.headers.get("Hf-Digest"),
        output=output,
        usage=None if usage is None else decode(usage.encode(), dict[str, int | None]),
    )


def _text(body: _Body) -> str:
    for choice in body.choices[:1]:
        part = choice.message or choice.delta
        return (part.content if part is not None else choice.text) or ""
    return ""
