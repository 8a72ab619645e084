"""The API's one door: who may call, what the body must be, which decision answers it.

``who`` comes from the subject, which the broker enforced; nothing in a body is believed about the
caller. Every call of the table of the protocol is answered here and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from holdfast_policy.logic.verdict import CheckAnswer
from holdfast_protocol import api, codec
from holdfast_protocol.enrolment import CreateCode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.views import EventsAnswer, EventsQuery, EventView

from holdfast_controller.logic import policy, status, views
from holdfast_controller.logic.calls import (
    apps,
    brakes,
    deployments,
    enrolment,
    imports,
    policies,
    requests,
)
from holdfast_controller.logic.calls.ask import Ask, Outcome, answered
from holdfast_controller.logic.io import ApiCalled
from holdfast_controller.logic.state import State

EVENTS_LIMIT = 1000
_NEW: Final = frozenset({("apps", "create"), ("deployments", "deploy")})
"""What begins something new: a policy past its date stops it."""
T = TypeVar("T", bound=msgspec.Struct)


def role_of(state: State, who: str) -> api.Role | None:
    """Return the role that the ceremony gave ``who``, None for a stranger."""
    role = state.founded().people.get(who)
    return role if role in api.EVERYBODY else None


def permitted(state: State, called: ApiCalled) -> api.Role:
    """Return the caller's role if it may make the call.

    Raises ``NOT_FOUND`` for a call there is not, ``NOT_PERMITTED`` otherwise.
    """
    name = f"{called.resource}.{called.verb}"
    call = api.CALLS.get(name)
    if call is None:
        raise HoldfastError(Code.NOT_FOUND, f"There is no call {name[:80]!a}.")
    role = role_of(state, called.who)
    if role is None or role not in call.roles:
        raise HoldfastError(
            Code.NOT_PERMITTED,
            f"{called.who} is {role or 'nobody known here'}; {name} is for "
            f"{' and '.join(call.roles)}.",
        )
    return role


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What calls ask of that is neither state nor report: the journal's end and its last words."""

    seat: status.Seat
    events: Sequence[EventView]
    seen: CheckAnswer | None = None
    """What the checker saw, for calls about the policy."""


def decide(ask: Ask, called: ApiCalled, desk: Desk) -> Outcome:
    """Return what the permitted call decides; raises the refusal."""
    if (called.resource, called.verb) in _NEW:
        policy.in_date(ask.view.state, ask.view.now_s)
    match called.resource:
        case "policy" if desk.seen is not None:
            return policies.decide(ask, called, desk.seen)
        case "requests" | "vendors":
            return _requests(ask, called)
        case "imports" | "apps":
            return _makers(ask, called)
        case "deployments":
            return _deployments(ask, called)
        case "nodes" if called.verb == "code":
            return enrolment.code(ask, _body(called, CreateCode))
        case "nodes" if called.verb == "renew":
            return enrolment.renew(ask, _body(called, api.NodeCall))
        case "models" | "nodes" if called.verb != "list":
            return _brakes(ask, called)
        case _:
            return _listings(ask, called, desk)


def _requests(ask: Ask, called: ApiCalled) -> Outcome:
    match (called.resource, called.verb):
        case ("requests", "list"):
            return requests.listed(ask)
        case ("requests", "show"):
            return requests.show(ask, _body(called, api.RequestQuery))
        case ("requests", "sign"):
            return requests.sign(ask, _body(called, api.SignRequest))
        case ("requests", "reject"):
            return requests.reject(ask, _body(called, api.RejectRequest))
        case ("vendors", "trust"):
            return requests.trust_vendor(ask, _body(called, api.TrustVendor))
        case _:
            raise _missing(called)


def _makers(ask: Ask, called: ApiCalled) -> Outcome:
    match (called.resource, called.verb):
        case ("imports", "start"):
            return imports.start(ask, _body(called, api.StartImportCall))
        case ("imports", "show"):
            return imports.show(ask, _body(called, api.ImportQuery))
        case ("apps", "create"):
            return apps.create(ask, _body(called, api.CreateApp))
        case ("apps", "list"):
            return apps.listed(ask)
        case ("apps", "claim"):
            return apps.claim(ask, _body(called, api.AppQuery))
        case ("apps", "revoke"):
            return apps.revoke(ask, _body(called, api.AppQuery))
        case _:
            raise _missing(called)


def _deployments(ask: Ask, called: ApiCalled) -> Outcome:
    match called.verb:
        case "list":
            return answered(views.deployments(ask.view))
        case "deploy":
            return deployments.deploy(ask, _body(called, api.DeployCall))
        case "undeploy":
            return deployments.undeploy(ask, _body(called, api.AliasCall))
        case "explain":
            return deployments.explain(ask, _body(called, api.AliasCall))
        case _:
            raise _missing(called)


def _brakes(ask: Ask, called: ApiCalled) -> Outcome:
    match (called.resource, called.verb):
        case ("models", "revoke"):
            return brakes.revoke_model(ask, _body(called, api.RevokeModel))
        case ("models", "lift"):
            return brakes.lift_model(ask, _body(called, api.LiftModel))
        case ("nodes", "revoke"):
            return brakes.revoke_node(ask, _body(called, api.RevokeNode))
        case ("nodes", "lift"):
            return brakes.lift_node(ask, _body(called, api.NodeCall))
        case ("nodes", "cordon" | "drain"):
            drain = called.verb == "drain"
            return brakes.cordon(ask, _body(called, api.NodeCall), drain=drain)
        case ("nodes", "uncordon"):
            return brakes.uncordon(ask, _body(called, api.NodeCall))
        case _:
            raise _missing(called)


def _listings(ask: Ask, called: ApiCalled, desk: Desk) -> Outcome:
    match (called.resource, called.verb):
        case ("site", "status"):
            return answered(status.status(ask.view, desk.seat))
        case ("nodes", "list"):
            return answered(views.nodes(ask.view))
        case ("gpus", "list"):
            return answered(views.gpus(ask.view))
        case ("models", "list"):
            return answered(views.models(ask.view))
        case ("events", "list"):
            return answered(_events(desk.events, _body(called, EventsQuery)))
        case _:
            raise _missing(called)


def _events(kept: Sequence[EventView], query: EventsQuery) -> EventsAnswer:
    if not 1 <= query.limit <= EVENTS_LIMIT:
        raise HoldfastError(Code.BAD_REQUEST, f"The limit goes from 1 to {EVENTS_LIMIT}.")
    matching = [each for each in kept if query.subject in (None, each.subject)]
    if query.after is None:
        return EventsAnswer(events=tuple(matching[-query.limit :]))
    after = query.after
    later = [each for each in matching if each.seq > after]
    return EventsAnswer(events=tuple(later[: query.limit]))


def _body(called: ApiCalled, kind: type[T]) -> T:
    # A call without parameters may come with an empty body.
    return codec.decode(called.body or b"{}", kind)


def _missing(called: ApiCalled) -> HoldfastError:
    return HoldfastError(
        Code.NOT_FOUND, f"There is no call {called.resource}.{called.verb} in this version."
    )
