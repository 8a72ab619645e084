"""Applications: asked for, listed, claimed, revoked."""

from __future__ import annotations

from typing import Final, Literal

from holdfast_bundles.site.model import AppRecord
from holdfast_bundles.site.propose import propose_app, propose_deny
from holdfast_protocol import api, ids, subjects
from holdfast_protocol.configs import BrokerEntry
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import KIB, TOKEN_LENGTH

from holdfast_controller.logic import facts, requests, trust
from holdfast_controller.logic.calls.ask import Ask, Outcome, answered
from holdfast_controller.logic.calls.requests import asked, made_answer
from holdfast_controller.logic.reconcile import View
from holdfast_controller.logic.state import App

CSR_BYTES: Final = 16 * KIB
Stage = Literal["pending", "minting", "ready", "revoked"]


def create(ask: Ask, call: api.CreateApp) -> Outcome:
    """A request to grant an application; the same again answers with the same request."""
    view, state = ask.view, ask.view.state
    name = ids.token(call.name, "application")
    if len(call.csr) > CSR_BYTES:
        raise HoldfastError(Code.TOO_LARGE, f"A certificate request has at most {CSR_BYTES} bytes.")
    if f"app:{name}" in state.denied:
        raise HoldfastError(Code.ALREADY_EXISTS, f"The name {name} was revoked for good.")
    known = state.apps.get(name)
    if known is not None and _stands(view, known):
        same = _asked(ask, call, known.asked.request) == known.asked
        if not same or known.granted:
            raise HoldfastError(Code.ALREADY_EXISTS, f"There is an application {name} already.")
        return answered(made_answer(known.asked.request, state))
    record = _record(ask, call)
    zones = state.founded().zones
    proposal = propose_app(trust.standing(state, view.now_s), record, zones)
    asking = requests.Asking(
        kind="app",
        about=name,
        summary=f"Grant {name} in {record.zone} the aliases {', '.join(record.aliases)}.",
        by=ask.who,
        now_s=view.now_s,
    )
    made = requests.made(state, proposal, asking)
    return Outcome([made, _asked(ask, call, made.id)], lambda: made_answer(made.id, state))


def listed(ask: Ask) -> Outcome:
    """Every application, by name."""
    return answered(
        api.AppsAnswer(
            apps=tuple(
                _view_of(ask.view, app)
                for _, app in sorted(ask.view.state.apps.items())
                if _stands(ask.view, app)
            )
        )
    )


def claim(ask: Ask, call: api.AppQuery) -> Outcome:
    """What an application needs beside its own keys, once it is granted."""
    app = _find(ask.view, call.name)
    stage = _stage(ask.view, app)
    minted = app.minted
    if minted is None or stage not in ("minting", "ready"):
        return answered(api.AppCredentials(name=call.name, state=stage))
    broker = _broker(ask.view, app)
    return answered(
        api.AppCredentials(
            name=call.name,
            state=stage,
            user_jwt=minted.user_jwt,
            certificate=minted.certificate,
            ca=minted.ca,
            servers=() if broker is None else broker.servers,
            inbox_prefix=subjects.inbox_prefix(call.name),
        )
    )


def revoke(ask: Ask, call: api.AppQuery) -> Outcome:
    """A request to deny an application for good; one officer suffices."""
    state = ask.view.state
    app = _find(ask.view, call.name)
    what = f"app:{app.asked.name}"
    proposal = propose_deny(trust.standing(state, ask.view.now_s), what, "revoked by the site")
    asking = requests.Asking(
        kind="deny",
        about=what,
        summary=f"Revoke the application {call.name}.",
        by=ask.who,
        now_s=ask.view.now_s,
    )
    return asked(state, proposal, asking)


def _record(ask: Ask, call: api.CreateApp) -> AppRecord:
    site = ask.view.state.founded()
    if call.zone not in site.zones:
        raise HoldfastError(Code.BAD_REQUEST, f"There is no zone {call.zone[:80]!a} in this site.")
    if not call.aliases:
        raise HoldfastError(Code.BAD_REQUEST, f"{call.name} asks for no alias.")
    level = call.classification
    if len(level) > TOKEN_LENGTH:
        # Also because the interpreter refuses to make a number of so many digits.
        raise HoldfastError(Code.BAD_REQUEST, f"{level[:80]!a} is no classification.")
    return AppRecord(
        app=call.name,
        zone=call.zone,
        residency=tuple(sorted(set(call.residency))) or (site.zones[call.zone],),
        classification=int(level) if level.isascii() and level.isdigit() else level,
        purposes=tuple(sorted(set(call.purposes))),
        aliases=tuple(sorted(set(call.aliases))),
        user_public=call.user_public,
        serial=1,
    )


def _asked(ask: Ask, call: api.CreateApp, request: str) -> facts.AppAsked:
    record = _record(ask, call)
    return facts.AppAsked(
        name=record.app,
        zone=record.zone,
        aliases=record.aliases,
        residency=record.residency,
        classification=str(record.classification),
        purposes=record.purposes,
        user_public=record.user_public,
        csr=call.csr,
        request=request,
    )


def _find(view: View, name: str) -> App:
    app = view.state.apps.get(name)
    if app is None or not _stands(view, app):
        raise HoldfastError(Code.NOT_FOUND, f"There is no application {name[:80]!a}.")
    return app


def _stands(view: View, app: App) -> bool:
    """Tell whether the application is more than a request that came to nothing."""
    request = view.state.requests.get(app.asked.request)
    return app.granted or (request is not None and request.state == "pending")


def _view_of(view: View, app: App) -> api.AppView:
    asked = app.asked
    return api.AppView(
        name=asked.name,
        zone=asked.zone,
        aliases=asked.aliases,
        residency=asked.residency,
        classification=asked.classification,
        purposes=asked.purposes,
        state=_stage(view, app),
    )


def _stage(view: View, app: App) -> Stage:
    if app.revoked:
        return "revoked"
    if not app.granted:
        return "pending"
    broker = _broker(view, app)
    if app.minted is None or broker is None:
        return "minting"
    confirmed = view.state.confirmed.get(broker.name)
    there = confirmed is not None and app.asked.name in confirmed.accounts
    return "ready" if there else "minting"


def _broker(view: View, app: App) -> BrokerEntry | None:
    brokers = view.documents.issuer.brokers
    return next((each for each in brokers if each.zone == app.asked.zone), None)
