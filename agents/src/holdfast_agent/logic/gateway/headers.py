"""What an application's headers mean, and how an answer's headers are written (reqpath rules).

Only known names are read; every outgoing block is built afresh, so nothing an application sends
travels on. A narrowing label that is misspelt in case or stands twice is refused: reading past it
would silently widen what the application meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from holdfast_policy.logic.labels import Narrowing
from holdfast_protocol.api import error_answer
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import DEADLINE_MS_CAP

from holdfast_agent.logic.engine_answer import Usage

REQUEST: Final = "Hf-Request"
DEADLINE: Final = "Hf-Deadline-Ms"
ACCEPT: Final = "Hf-Accept"
RESIDENCY: Final = "Hf-Residency"
CLASSIFICATION: Final = "Hf-Classification"
PURPOSE: Final = "Hf-Purpose"
CONTENT_TYPE: Final = "Content-Type"

SEQ: Final = "Hf-Seq"
STATUS: Final = "Hf-Status"
CODE: Final = "Hf-Code"
USAGE: Final = "Hf-Usage"
DIGEST: Final = "Hf-Digest"
KEEP_ALIVE: Final = "Hf-Keep-Alive"
RETRY: Final = "Hf-Retry-Ms"

TICKET: Final = "Hf-Ticket"
MAC: Final = "Hf-Mac"
REPLY: Final = "Hf-Reply"
PROBE: Final = "Hf-Probe"

_BLANK: Final = " \t"
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_NUMBER: Final = re.compile(r"[0-9]{1,12}")
_JSON: Final = re.compile(r"application/json(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)
_LABELS: Final = {name.lower(): name for name in (RESIDENCY, CLASSIFICATION, PURPOSE)}

# What an error says of the site is never said to an application; these speak of its request.
_OWN_WORDS: Final = frozenset(
    {
        Code.BAD_REQUEST,
        Code.BAD_NAME,
        Code.TOO_LARGE,
        Code.LABEL_REFUSED,
        Code.ALREADY_EXISTS,
        Code.OPERATION_UNSUPPORTED,
    }
)
_SENTENCES: Final[dict[Code, str]] = {
    Code.NOT_GRANTED: "The application may not use this alias.",
    Code.NO_LEGAL_PLACEMENT: "No replica may answer data with this label.",
    Code.NOT_LOADED: "No replica of this alias is loaded.",
    Code.BUSY: "All replicas of this alias are busy.",
    Code.DEADLINE: "The deadline passed before the answer was complete.",
    Code.CANCELLED: "The application cancelled the request.",
    Code.NODE_DIED: "The replica that was answering is gone.",
    Code.ENGINE_FAILED: "The engine could not complete the answer.",
    Code.TRUST_STALE: "The gateway has no verified view of the site.",
    Code.DENIED_MODEL: "An officer denied the model behind this alias.",
}


class RequestMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What the headers of a request say, with the site's defaults filled in."""

    request: str
    deadline_ms: int
    stream: bool
    narrowing: Narrowing


def read_id(headers: Mapping[str, str]) -> str | None:
    """Return ``Hf-Request``, None where it is absent; raises ``BAD_REQUEST``."""
    given = _text(headers, REQUEST)
    if given is not None and not _ID.fullmatch(given):
        raise HoldfastError(Code.BAD_REQUEST, f"{REQUEST} is not [A-Za-z0-9._:-]{{1,64}}.")
    return given


def read_request(headers: Mapping[str, str], fresh: str) -> RequestMeta:
    """Return what ``headers`` ask for; ``fresh`` is the id of a request that brings none.

    Raises ``BAD_REQUEST`` naming the header, ``LABEL_REFUSED`` for a label not clearly written.
    """
    kind = _text(headers, CONTENT_TYPE)
    if kind is not None and not _JSON.fullmatch(kind):
        raise HoldfastError(Code.BAD_REQUEST, f"{CONTENT_TYPE} is not application/json.")
    accept = _text(headers, ACCEPT) or "final"
    if accept not in ("final", "stream"):
        raise HoldfastError(Code.BAD_REQUEST, f"{ACCEPT} is neither final nor stream.")
    _check_labels(headers)
    return RequestMeta(
        request=read_id(headers) or fresh,
        deadline_ms=_deadline(headers),
        stream=accept == "stream",
        narrowing=Narrowing(
            residency=headers.get(RESIDENCY),
            classification=headers.get(CLASSIFICATION),
            purpose=headers.get(PURPOSE),
        ),
    )


def last(digest: str, usage: Usage | None) -> dict[str, str]:
    """Return the headers of the last message of a complete answer."""
    headers = {STATUS: "200", DIGEST: digest}
    if usage is not None:
        headers[USAGE] = encode(usage).decode()
    return headers


def public(error: HoldfastError) -> HoldfastError:
    """Return ``error`` as an application may see it: nothing of nodes, paths or reasons."""
    if error.code in _OWN_WORDS:
        return error
    sentence = _SENTENCES.get(error.code)
    if sentence is None:
        return HoldfastError(Code.DEFECT, "The request could not be answered.")
    return HoldfastError(error.code, sentence)


def failed(
    error: HoldfastError, *, digest: str | None = None, retry_ms: int | None = None
) -> tuple[dict[str, str], bytes]:
    """Return headers and body of an error answer: the micro-service headers and ours."""
    shown = public(error)
    headers = {
        "Nats-Service-Error": _printable(shown.message),
        "Nats-Service-Error-Code": str(shown.status),
        STATUS: str(shown.status),
        CODE: shown.code.value,
    }
    if digest is not None:
        headers[DIGEST] = digest
    if retry_ms is not None:
        headers[RETRY] = str(retry_ms)
    return headers, encode(error_answer(shown))


def _check_labels(headers: Mapping[str, str]) -> None:
    for name in headers:
        known = _LABELS.get(name.strip().lower())
        if known is not None and known != name:
            raise HoldfastError(Code.LABEL_REFUSED, f"{known} is not written as it should be.")


def _deadline(headers: Mapping[str, str]) -> int:
    text = _text(headers, DEADLINE)
    if text is None:
        return DEADLINE_MS_CAP
    if not _NUMBER.fullmatch(text) or int(text) == 0:
        raise HoldfastError(Code.BAD_REQUEST, f"{DEADLINE} is not a number of milliseconds.")
    return min(int(text), DEADLINE_MS_CAP)


def _text(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    return None if value is None else value.strip(_BLANK)


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:300]
