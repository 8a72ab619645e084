"""What an engine's answers mean: chunks, usage, and its errors as codes of ours."""

from __future__ import annotations

from typing import Final

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import Operation

_USAGE_KEY: Final = b'"usage":'
_ERROR_KEY: Final = b'"error":'
_QUOTE_LENGTH: Final = 200

TARGETS: Final[dict[Operation, str]] = {
    "chat": "/v1/chat/completions",
    "complete": "/v1/completions",
    "embed": "/v1/embeddings",
}


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one request, as the engine counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class EngineChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an answer: JSON objects as the engine wrote them (UTF-8), in order.

    ``usage`` comes once, in the last piece or before it; ``final`` marks the last piece, whose
    ``objects`` may be empty.
    """

    objects: tuple[bytes, ...]
    usage: Usage | None = None
    final: bool = False


class _WithUsage(msgspec.Struct):
    usage: Usage | None = None


class _Trouble(msgspec.Struct):
    code: int | str | None = None
    message: str = ""
    type: str = ""
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _WithError(msgspec.Struct):
    error: _Trouble | str | None = None


_usage_decoder: Final = msgspec.json.Decoder(_WithUsage)
_error_decoder: Final = msgspec.json.Decoder(_WithError)


def chunk_of(events: list[bytes], *, operation: Operation, final: bool) -> EngineChunk:
    """Return ``events`` as a chunk; raises as :func:`refusal` where one of them is an error."""
    usage = None
    for event in events:
        # Within a string every quote is escaped, so these bytes can only be a key.
        if _USAGE_KEY in event:
            usage = _usage(event) or usage
        if _ERROR_KEY in event and (trouble := _trouble(event)) is not None:
            raise _translated(trouble, 500, operation)
    return EngineChunk(objects=tuple(events), usage=usage, final=final)


def refusal(status: int, body: bytes, operation: Operation) -> HoldfastError:
    """Return what an answer with an error ``status`` means.

    Too long is ``TOO_LARGE`` with the numbers, whatever status the engine gives it; an operation
    that the model cannot do is ``OPERATION_UNSUPPORTED``; other 4xx are ``BAD_REQUEST`` in the
    engine's words; the rest is ``ENGINE_FAILED``.
    """
    return _translated(_trouble(body) or _Trouble(), status, operation)


def _translated(trouble: _Trouble, status: int, operation: Operation) -> HoldfastError:
    message = trouble.message[:_QUOTE_LENGTH].strip().rstrip(".")
    lowered = message.lower()
    if trouble.type == "exceed_context_size_error":
        return HoldfastError(
            Code.TOO_LARGE,
            f"The input has {trouble.n_prompt_tokens} tokens, more than {trouble.n_ctx}.",
        )
    if "too large" in lowered and ("batch" in lowered or "tokens" in lowered):
        return HoldfastError(Code.TOO_LARGE, f"The input is too long for the model: {message}.")
    if status == 501 or trouble.type == "not_supported_error" or _wrong_kind(lowered):
        return HoldfastError(Code.OPERATION_UNSUPPORTED, f"The model does not do {operation}.")
    if 400 <= status < 500:
        return HoldfastError(
            Code.BAD_REQUEST, f"The engine refused the request: {message or f'status {status}'}."
        )
    return HoldfastError(
        Code.ENGINE_FAILED, f"The engine answered with status {status}: {message or 'no reason'}."
    )


def _wrong_kind(message: str) -> bool:
    return "does not support" in message or "not supported by" in message


def _usage(event: bytes) -> Usage | None:
    try:
        return _usage_decoder.decode(event).usage
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Counting is not worth a lost answer; the caller sees that there is no usage.
        return None


def _trouble(body: bytes) -> _Trouble | None:
    try:
        error = _error_decoder.decode(body).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return _Trouble(message=error) if isinstance(error, str) else error
