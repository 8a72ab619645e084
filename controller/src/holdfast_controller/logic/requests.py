"""Requests: proposed, signed, and what stands once enough officers have signed.

Each function returns the facts of one decision, which become one commit: a signature that
completes a request and everything it brings into force, the new stamp included, are written
together or not at all.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from holdfast_bundles.site import request
from holdfast_bundles.site.keys import SigningKey
from holdfast_bundles.site.model import Proposal, RequestSignature
from holdfast_protocol.api import RejectRequest, SignRequest
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import REQUEST_LIFE_S, REQUESTS_OPEN

from holdfast_controller.logic import facts, trust
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.state import Request, State

Kind = Literal["vendor", "import", "app", "node", "deny", "allow", "lift", "policy"]


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """What a proposal is about: its kind, the thing, one sentence, who asks and when."""

    kind: Kind
    about: str
    summary: str
    by: str
    now_s: float


def made(state: State, proposal: Proposal, asking: Asking, number: int = 1) -> facts.RequestMade:
    """Return the fact that ``proposal`` waits; ``number`` counts those made in one decision.

    Raises ``REQUEST_PENDING`` where another request waits for the same role, and ``BUSY`` where
    too many wait at all.
    """
    open_one = state.open_request(proposal.role)
    if open_one is not None:
        raise HoldfastError(
            Code.REQUEST_PENDING, f"{open_one.made.id} waits for {open_one.made.subject} already."
        )
    pending = sum(1 for each in state.requests.values() if each.state == "pending")
    if pending + number > REQUESTS_OPEN:
        raise HoldfastError(Code.BUSY, f"{REQUESTS_OPEN} requests wait for officers already.")
    return facts.RequestMade(
        id=f"r-{len(state.requests) + number}",
        kind=asking.kind,
        role=proposal.role,
        version=proposal.version,
        payload=proposal.payload,
        sha256=proposal.sha256,
        subject=proposal.target,
        about=asking.about,
        summary=asking.summary,
        needed=proposal.threshold,
        by=asking.by,
        at_ms=int(asking.now_s * 1000),
        expires_ms=int((asking.now_s + REQUEST_LIFE_S) * 1000),
    )


def same_open(state: State, proposal: Proposal, asking: Asking) -> Request | None:
    """Return the open request that asks for the very same thing, None if there is none.

    The expiry inside the payload moves with the clock, so what is compared is what the file says.
    """
    known = state.open_request(proposal.role)
    if known is None or known.made.kind != asking.kind or known.made.about != asking.about:
        return None
    old = trust.accepted_entries(known.made.role, known.made.payload)
    return known if old == trust.accepted_entries(proposal.role, proposal.payload) else None


def ask(state: State, proposal: Proposal, asking: Asking) -> tuple[str, list[AnyFact]]:
    """Return the id of the request for ``proposal`` and the fact that it waits, if it is new.

    Raises what :func:`made` raises.
    """
    known = same_open(state, proposal, asking)
    if known is not None:
        return known.made.id, []
    new = made(state, proposal, asking)
    return new.id, [new]


def find(state: State, request_id: str) -> Request:
    """Return the request; raises ``NOT_FOUND``."""
    known = state.requests.get(request_id)
    if known is None:
        raise HoldfastError(Code.NOT_FOUND, f"There is no request {request_id[:80]!a}.")
    return known


def signed(state: State, call: SignRequest, key: SigningKey, now_s: float) -> list[AnyFact]:
    """Return what an officer's signature brings about.

    Raises ``NOT_FOUND``, ``REQUEST_CLOSED``, ``NOT_AN_OFFICER``, ``SIGNED_ALREADY``,
    ``OTHER_BYTES`` or ``BAD_SIGNATURE``. Who carries the signature in does not matter.
    """
    known = _open(state, call.id)
    if now_s * 1000 >= known.made.expires_ms:
        raise HoldfastError(Code.REQUEST_CLOSED, f"{call.id} has expired.")
    frame = trust.frame(state)
    proposal = trust.proposal_of(known)
    have = trust.signatures_of(known)
    one = request.check_signature(
        frame,
        proposal,
        RequestSignature(keyid=call.keyid, sha256=call.sha256, signature=call.signature),
        have,
    )
    result: list[AnyFact] = [
        facts.RequestSigned(
            id=call.id,
            keyid=one.keyid,
            person=frame.person(one.keyid) or one.keyid,
            signature=one.signature,
        )
    ]
    if request.missing(frame, proposal, [*have, one]) == 0:
        result += _completed(state, known, [*have, one], key, now_s)
    return result


def rejected(state: State, call: RejectRequest, by: str) -> list[AnyFact]:
    """Return what an officer's no brings about; raises ``NOT_FOUND`` or ``REQUEST_CLOSED``."""
    _open(state, call.id)
    return [facts.RequestRejected(id=call.id, by=by, reason=call.reason[:500])]


def expired(state: State, now_s: float) -> list[AnyFact]:
    """Return the facts of requests whose time has passed."""
    return [
        facts.RequestExpired(id=request_id)
        for request_id, each in sorted(state.requests.items())
        if each.state == "pending" and now_s * 1000 >= each.made.expires_ms
    ]


def _completed(
    state: State,
    known: Request,
    signatures: list[RequestSignature],
    key: SigningKey,
    now_s: float,
) -> list[AnyFact]:
    role = known.made.role
    current = trust.in_force(state).get(role)
    proposal = trust.proposal_of(known)
    content = request.accept(trust.frame(state), proposal, signatures, current)
    news = trust.accepted(state.founded().name, role, content, current)
    # The stamp covers the new file: an agent must never see a signed file that the snapshot
    # does not list, nor wait an hour for it.
    stamp = trust.stamped_with(state, role, content, key, now_s)
    return [facts.RequestCommitted(id=known.made.id), *news, stamp]


def _open(state: State, request_id: str) -> Request:
    known = find(state, request_id)
    if known.state != "pending":
        raise HoldfastError(Code.REQUEST_CLOSED, f"{request_id} is {known.state}.")
    return known
