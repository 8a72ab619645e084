"""Requests, approvals and vendors."""

from __future__ import annotations

from holdfast_bundles.site.model import Proposal
from holdfast_bundles.site.propose import propose_vendor
from holdfast_bundles.vendor.metadata import check_root
from holdfast_protocol import api, ids

from holdfast_controller.logic import requests, trust
from holdfast_controller.logic.calls.ask import Ask, Outcome, answered
from holdfast_controller.logic.state import Request, State


def listed(ask: Ask) -> Outcome:
    """Every request, oldest first."""
    shown = [view_of(each) for each in ask.view.state.requests.values()]
    return answered(api.RequestsAnswer(requests=tuple(shown)))


def show(ask: Ask, call: api.RequestQuery) -> Outcome:
    """One request with the bytes that officers sign."""
    return answered(_detail(ask.view.state, requests.find(ask.view.state, call.id).made.id))


def sign(ask: Ask, call: api.SignRequest) -> Outcome:
    """An officer's signature; with the last one it takes effect."""
    state = ask.view.state
    decided = requests.signed(state, call, ask.online_key, ask.view.now_s)
    return Outcome(decided, lambda: _detail(state, call.id))


def reject(ask: Ask, call: api.RejectRequest) -> Outcome:
    """An officer's no."""
    state = ask.view.state
    decided = requests.rejected(state, call, ask.who)
    return Outcome(decided, lambda: _detail(state, call.id))


def trust_vendor(ask: Ask, call: api.TrustVendor) -> Outcome:
    """A request to trust a vendor's root."""
    ids.token(call.vendor, "vendor")
    check_root(call.root)
    state, now_s = ask.view.state, ask.view.now_s
    proposal = propose_vendor(trust.standing(state, now_s), call.vendor, call.root)
    asking = requests.Asking(
        kind="vendor",
        about=call.vendor,
        summary=f"Trust the vendor {call.vendor}.",
        by=ask.who,
        now_s=now_s,
    )
    return asked(state, proposal, asking)


def asked(state: State, proposal: Proposal, asking: requests.Asking) -> Outcome:
    """Return the outcome of asking officers; the same again answers with the same request."""
    request_id, made = requests.ask(state, proposal, asking)
    return Outcome(made, lambda: made_answer(request_id, state))


def made_answer(request_id: str, state: State) -> api.RequestMade:
    """Return the answer that a request now waits."""
    made = state.requests[request_id].made
    return api.RequestMade(request=made.id, needed=made.needed, summary=made.summary)


def view_of(request: Request) -> api.RequestView:
    """Return a request as people see it."""
    made = request.made
    status: api.RequestStatus = "pending"
    if request.state in ("committed", "rejected", "expired"):
        status = request.state  # type: ignore[assignment]  # narrowed by the line above
    return api.RequestView(
        id=made.id,
        kind=made.kind,
        state=status,
        approvals=len(request.signatures),
        needed=made.needed,
        subject=made.subject,
        summary=made.summary,
        role=made.role,
        version=made.version,
        sha256=made.sha256,
        signed_by=tuple(trust.people(request)),
        created_by=made.by,
        created=made.at_ms / 1000,
        expires=made.expires_ms / 1000,
        reason=request.reason,
    )


def _detail(state: State, request_id: str) -> api.RequestDetail:
    request = state.requests[request_id]
    return api.RequestDetail(request=view_of(request), payload=request.made.payload)
