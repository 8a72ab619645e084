"""What enters the core and what leaves it: two closed unions, nothing else crosses.

The adapters turn the world into inputs and effects into the world. A call is named by a number
that the adapter chose; it is answered exactly once.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from holdfast_policy.logic.verdict import CheckAnswer, CheckRequest
from holdfast_protocol.errors import Code
from holdfast_protocol.importer import ImporterReply, ImporterRequest
from holdfast_protocol.messages import NodeEvent, RelayReport, Report
from holdfast_protocol.minting import MintAnswer, MintAsked

from holdfast_controller.journal.port import Commit, Outcome, Tail


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened outside."""


class ApiCalled(Input, frozen=True, kw_only=True):
    """Somebody asks; ``who`` stands in the subject, which the broker enforced."""

    call: int
    who: str
    resource: str
    verb: str
    body: bytes


class ReportSeen(Input, frozen=True, kw_only=True):
    """A node's report on its own subject."""

    report: Report


class RelayReportSeen(Input, frozen=True, kw_only=True):
    """A broker relay's report on its own subject."""

    report: RelayReport


class EventSeen(Input, frozen=True, kw_only=True):
    """A node's event that must not be lost; ``delivery`` is acknowledged once it is safe."""

    delivery: int
    event: NodeEvent


class TrustAsked(Input, frozen=True, kw_only=True):
    """A node asks for a role file by name."""

    call: int
    node: str
    name: str


class EnrolAsked(Input, frozen=True, kw_only=True):
    """A node with the code ``nonce`` says who it is; the broker lets nobody else say it there."""

    call: int
    nonce: str
    body: bytes


class AppendDone(Input, frozen=True, kw_only=True):
    """The journal's answer to the one append under way."""

    outcome: Outcome


class AppendRefused(Input, frozen=True, kw_only=True):
    """Surely nothing was written: the disk is full or the store had stopped before."""

    code: Code
    message: str


class ImporterAnswered(Input, frozen=True, kw_only=True):
    """The importer's answer, None where it could not be reached."""

    key: str
    reply: ImporterReply | None


class MinterAnswered(Input, frozen=True, kw_only=True):
    """The minter's answer, None where it could not be reached."""

    key: str
    reply: MintAnswer | None


class PolicyChecked(Input, frozen=True, kw_only=True):
    """The checker has looked at what a call about the policy needs; the call goes on with it."""

    called: ApiCalled
    seen: CheckAnswer


class PublishDone(Input, frozen=True, kw_only=True):
    """What became of a document: ``fenced`` means that another controller leads."""

    receiver: str
    epoch: int
    generation: int
    result: Literal["sent", "failed", "fenced"]


class BusReturned(Input, frozen=True, kw_only=True):
    """The bus is there again, perhaps with an empty store."""


class Ticked(Input, frozen=True, kw_only=True):
    """Time has passed."""


AnyInput = (
    ApiCalled | ReportSeen | RelayReportSeen | EventSeen | TrustAsked | EnrolAsked | AppendDone
    | AppendRefused | ImporterAnswered | MinterAnswered | PolicyChecked | PublishDone
    | BusReturned | Ticked
)  # fmt: skip


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do outside."""


class AppendRecords(Effect, frozen=True, kw_only=True):
    """Append ``commit`` where the journal ends at ``expected``; an Unknown is resolved once."""

    expected: Tail
    commit: Commit


class AnswerCall(Effect, frozen=True, kw_only=True):
    """Answer the call with these bytes."""

    call: int
    body: bytes


class PublishDocument(Effect, frozen=True, kw_only=True):
    """Publish a signed desired document, or a relay's claims, for ``receiver``."""

    receiver: str
    epoch: int
    generation: int
    body: bytes


class AskImporter(Effect, frozen=True, kw_only=True):
    """Ask the importer; answered as ``ImporterAnswered`` with the same key."""

    key: str
    request: ImporterRequest


class AskMinter(Effect, frozen=True, kw_only=True):
    """Ask the minter; answered as ``MinterAnswered`` with the same key."""

    key: str
    request: MintAsked


class CheckPolicy(Effect, frozen=True, kw_only=True):
    """Let the checker look, in a process of its own; answered as ``PolicyChecked``."""

    called: ApiCalled
    request: CheckRequest


class AckEvent(Effect, frozen=True, kw_only=True):
    """The event is in the journal, or was before."""

    delivery: int


class Stop(Effect, frozen=True, kw_only=True):
    """End the process with this error; the supervisor starts it again."""

    code: Code
    message: str


AnyEffect = (
    AppendRecords | AnswerCall | PublishDocument | AskImporter | AskMinter | CheckPolicy
    | AckEvent | Stop
)  # fmt: skip
