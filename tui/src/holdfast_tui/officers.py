"""An officer's side of a request: what it says, read from its bytes, and the signature over them.

The private key is read and used in this process; only the signature leaves it. What is shown is
computed from the payload and never from what the controller says about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec
from holdfast_bundles.site import names
from holdfast_bundles.site.keyfile import read_key
from holdfast_bundles.site.request import sign_payload
from holdfast_bundles.site.review import Review, ReviewEntry, review
from holdfast_protocol.api import RequestDetail, SignRequest
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import BIN_BYTES

from holdfast_tui.files import read_capped
from holdfast_tui.logic import numbers
from holdfast_tui.logic.table import pairs
from holdfast_tui.logic.text import clean

T = TypeVar("T")

FILE_BYTES: Final = 2 * BIN_BYTES
_KINDS: Final = {
    "allow": "Approve the model",
    "vendor": "Trust the vendor",
    "node": "Certify the node",
    "app": "Grant the application",
    "deny": "Deny",
    "withdraw": "Withdraw everything this file held",
}


class ExportedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request on its way to a workstation without network; the payload is all that counts."""

    id: str
    sha256: str
    payload: bytes


class ExportedSignature(msgspec.Struct, frozen=True, kw_only=True):
    """An officer's answer on its way back: small enough for a QR code."""

    id: str
    sha256: str
    keyid: str
    signature: str


def checked(detail: RequestDetail) -> Review:
    """Return the review of a request's payload; raises ``OTHER_BYTES`` where its id lies.

    A file that withdraws everything does not say what: its name must be the bin of the thing
    that the request claims to be about.
    """
    shown = review(detail.payload)
    prefix = names.bin_prefix(shown.role)
    if not shown.entries and names.bin_of(prefix or "no", detail.request.subject) != shown.role:
        raise HoldfastError(
            Code.OTHER_BYTES, f"{detail.request.id} withdraws another thing than it says."
        )
    if shown.sha256 != detail.request.sha256:
        raise HoldfastError(
            Code.OTHER_BYTES, f"The bytes of {detail.request.id} are not those it names."
        )
    return shown


def read(payload: bytes) -> Review:
    """Return what signing ``payload`` would say."""
    return review(payload)


def signature(request_id: str, payload: bytes, key_file: Path) -> SignRequest:
    """Return the signature over ``payload`` by the key in ``key_file``."""
    made = sign_payload(payload, read_key(key_file))
    return SignRequest(
        id=request_id, sha256=made.sha256, keyid=made.keyid, signature=made.signature
    )


def read_request(path: Path) -> ExportedRequest:
    """Return a request from a file; raises ``BAD_REQUEST`` where it is none."""
    return _decode(path, ExportedRequest, "request")


def read_signature(path: Path) -> ExportedSignature:
    """Return a signature from a file; raises ``BAD_REQUEST`` where it is none."""
    return _decode(path, ExportedSignature, "signature")


def review_lines(shown: Review) -> list[str]:
    """Return what signing would say, for people."""
    lines = pairs(
        [
            ("site", shown.site),
            ("file", f"{shown.role} version {shown.version}"),
            ("valid until", numbers.moment(shown.expires_s)),
            ("bytes", f"sha256:{shown.sha256}"),
        ]
    )
    if not shown.entries:
        return [f"{_KINDS['withdraw']}.", *lines]
    for entry in shown.entries:
        lines += ["", *_entry(entry)]
    return lines


def _entry(entry: ReviewEntry) -> list[str]:
    head = f"{_KINDS.get(entry.kind, entry.kind)} {clean(entry.subject)}"
    fields = pairs([("digest", entry.digest), *entry.fields])
    return [head, *(f"  {line}" for line in fields)]


def _decode(path: Path, kind: type[T], what: str) -> T:
    data = read_capped(path, FILE_BYTES)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HoldfastError(Code.BAD_REQUEST, f"{path} holds no {what}.") from error
