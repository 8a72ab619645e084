"""What goes to the engine: the application's JSON, read whole and written anew.

Known fields only: an engine's own switches (slots, caches, files) are not an application's to set.
"""

from __future__ import annotations

from typing import Final

import msgspec
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import JSON_DEPTH, REQUEST_BYTES
from holdfast_protocol.messages import Operation

_SAMPLING: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "max_tokens",
        "min_p",
        "presence_penalty",
        "repeat_penalty",
        "seed",
        "stop",
        "temperature",
        "top_k",
        "top_p",
    }
)
_FIELDS: Final[dict[Operation, frozenset[str]]] = {
    "chat": _SAMPLING
    | {
        "logprobs",
        "max_completion_tokens",
        "messages",
        "parallel_tool_calls",
        "response_format",
        "tool_choice",
        "tools",
        "top_logprobs",
    },
    "complete": _SAMPLING | {"echo", "logprobs", "prompt", "suffix"},
    "embed": frozenset({"dimensions", "encoding_format", "input"}),
}
_NEEDED: Final[dict[Operation, str]] = {
    "chat": "messages",
    "complete": "prompt",
    "embed": "input",
}
_decoder: Final = msgspec.json.Decoder(dict[str, object])


def engine_body(op: Operation, data: bytes, *, alias: str, stream: bool) -> bytes:
    """Return the request for the engine; unknown fields are left out.

    Raises ``TOO_LARGE`` beyond ``REQUEST_BYTES``, ``BAD_REQUEST`` for what is no JSON object,
    nested deeper than ``JSON_DEPTH``, or lacks the operation's input.
    """
    if len(data) > REQUEST_BYTES:
        raise HoldfastError(
            Code.TOO_LARGE, f"The request has {len(data)} bytes, more than {REQUEST_BYTES}."
        )
    try:
        given = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HoldfastError(Code.BAD_REQUEST, "The body is not a JSON object in UTF-8.") from error
    kept = {name: value for name, value in given.items() if name in _FIELDS[op]}
    if kept.get(_NEEDED[op]) in (None, "", []):
        raise HoldfastError(Code.BAD_REQUEST, f"The body has no {_NEEDED[op]}.")
    if _deeper(kept, JSON_DEPTH):
        raise HoldfastError(Code.BAD_REQUEST, f"The body is nested deeper than {JSON_DEPTH}.")
    kept["model"] = alias
    if stream and op != "embed":
        kept["stream"] = True
        kept["stream_options"] = {"include_usage": True}
    return encode(kept)


def _deeper(value: object, levels: int) -> bool:
    layer: list[object] = [value]
    for _ in range(levels):
        below: list[object] = []
        for item in layer:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        layer = below
    return any(isinstance(item, dict | list) for item in layer)
