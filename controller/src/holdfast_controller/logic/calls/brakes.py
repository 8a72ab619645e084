"""The brakes: models denied, nodes revoked, nodes taken out of service; and each taken back."""

from __future__ import annotations

from typing import Final

from holdfast_bundles.site import names
from holdfast_bundles.site.propose import propose_deny, propose_withdraw
from holdfast_protocol import api, ids
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.logic import facts, requests, trust, views
from holdfast_controller.logic.calls.ask import Ask, Outcome
from holdfast_controller.logic.calls.requests import asked
from holdfast_controller.logic.reconcile import View

UNSAID: Final = "revoked by the site"


def revoke_model(ask: Ask, call: api.RevokeModel) -> Outcome:
    """A request to deny a digest; one officer suffices for the first denial of it.

    Raises ``BAD_NAME``, ``BAD_REQUEST`` for a reason nobody may sign, ``ALREADY_EXISTS``.
    """
    digest = ids.digest(call.digest)
    called = _called(ask.view, digest)
    return _deny(ask, digest, call.reason, f"Deny {called}.")


def lift_model(ask: Ask, call: api.LiftModel) -> Outcome:
    """A request to take the denial of a digest back; raises ``NOT_FOUND`` where there is none."""
    digest = ids.digest(call.digest)
    called = _called(ask.view, digest)
    return _lift(ask, digest, f"Lift the denial of {called}.")


def revoke_node(ask: Ask, call: api.RevokeNode) -> Outcome:
    """A request to revoke a node; one officer suffices for the first time."""
    node = _known(ask.view, call.node)
    return _deny(ask, f"node:{node}", call.reason, f"Revoke the node {node}.")


def lift_node(ask: Ask, call: api.NodeCall) -> Outcome:
    """A request to let a revoked node back in; its site certificate stands again."""
    node = _known(ask.view, call.node)
    return _lift(ask, f"node:{node}", f"Lift the revocation of the node {node}.")


def cordon(ask: Ask, call: api.NodeCall, *, drain: bool) -> Outcome:
    """Nothing new goes to the node; to ``drain`` it, its replicas move away."""
    node = _known(ask.view, call.node)
    if f"node:{node}" in ask.view.state.denied:
        raise HoldfastError(Code.BAD_REQUEST, f"{node} is revoked; nothing is served there.")
    return _now(ask, facts.NodeCordoned(node=node, drain=drain))


def uncordon(ask: Ask, call: api.NodeCall) -> Outcome:
    """The node takes new replicas again."""
    return _now(ask, facts.NodeUncordoned(node=_known(ask.view, call.node)))


def _now(ask: Ask, fact: facts.NodeCordoned | facts.NodeUncordoned) -> Outcome:
    return Outcome([fact], lambda: views.nodes(ask.view))


def _deny(ask: Ask, what: str, reason: str, summary: str) -> Outcome:
    state, now_s = ask.view.state, ask.view.now_s
    said = reason.strip()
    proposal = propose_deny(trust.standing(state, now_s), what, said or UNSAID)
    if said:
        summary = f"{summary.removesuffix('.')}: {said}"
    asking = requests.Asking(kind="deny", about=what, summary=summary, by=ask.who, now_s=now_s)
    return asked(state, proposal, asking)


def _lift(ask: Ask, what: str, summary: str) -> Outcome:
    state, now_s = ask.view.state, ask.view.now_s
    if what not in state.denied:
        raise HoldfastError(Code.NOT_FOUND, f"{what} is not denied.")
    proposal = propose_withdraw(trust.standing(state, now_s), "no", names.deny_target(what))
    asking = requests.Asking(kind="lift", about=what, summary=summary, by=ask.who, now_s=now_s)
    return asked(state, proposal, asking)


def _called(view: View, digest: str) -> str:
    """Return how people call what has ``digest``: it may be a blob or an ancestor of models."""
    model = view.state.models.get(digest)
    return digest if model is None else f"{model.facts.name}@{model.facts.version} ({digest})"


def _known(view: View, node: str) -> str:
    if node not in view.state.nodes:
        raise HoldfastError(Code.NOT_FOUND, f"There is no node {node[:80]!a}.")
    return node
