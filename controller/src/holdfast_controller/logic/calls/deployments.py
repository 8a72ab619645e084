"""Deployments: wished, planned, explained, withdrawn."""

from __future__ import annotations

from holdfast_protocol import api, ids, limits
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import EngineSettings

from holdfast_controller.logic import facts, views
from holdfast_controller.logic.calls.ask import Ask, Outcome, answered
from holdfast_controller.logic.placement import (
    LEGAL_CONSTRAINTS,
    Board,
    candidates,
    choose,
    claim_bytes,
    need,
)
from holdfast_controller.logic.reconcile import View
from holdfast_controller.logic.state import Model


def deploy(ask: Ask, call: api.DeployCall) -> Outcome:
    """Wish for an alias, or say what the wish would do.

    Raises ``NO_LEGAL_PLACEMENT`` where no node of a zone may ever serve it, ``NO_FITTING_NODE``
    where none can now.
    """
    view = ask.view
    wish = _wish(ask, call)
    plan = _plan(view, wish)
    if call.plan:
        return answered(plan)
    if len(view.state.deployments) >= limits.DEPLOYMENTS_MAX:
        raise HoldfastError(Code.BUSY, f"There are {limits.DEPLOYMENTS_MAX} deployments already.")
    return Outcome([wish], lambda: plan)


def undeploy(ask: Ask, call: api.AliasCall) -> Outcome:
    """Withdraw a wish; its replicas drain and go."""
    alias = _known(ask.view, call.alias)
    withdrawn = facts.DeploymentWithdrawn(alias=alias, by=ask.who)
    return Outcome([withdrawn], lambda: views.deployments(ask.view))


def explain(ask: Ask, call: api.AliasCall) -> Outcome:
    """Where the replicas are, and why another could not go elsewhere."""
    view = ask.view
    deployment = view.state.deployments[_known(view, call.alias)]
    wish = deployment.wish
    placements = tuple(
        api.PlacementView(
            node=each.placed.node,
            device=each.placed.device,
            zone=each.placed.zone,
            claim_bytes=each.placed.claim_bytes,
        )
        for each in view.state.replicas_of(wish.alias)
    )
    everybody = candidates(view.state, view.live, view.now_s)
    rejections: list[api.Rejection] = []
    for zone in wish.zones:
        wanted = need(view.state, wish, zone, deployment.failed_nodes)
        rejections += choose(wanted, everybody).rejections
    return answered(
        api.ExplainAnswer(
            alias=wish.alias,
            model=wish.name,
            version=wish.version,
            placements=placements,
            rejections=tuple(rejections),
            sentence=f"{wish.alias} is {views.deployment_status(view, deployment)} with "
            f"{len(placements)} of {wish.replicas * len(wish.zones)} replicas placed."
            f"{_draining(view, wish.alias)}",
        )
    )


def _draining(view: View, alias: str) -> str:
    state = view.state
    held = [each.placed.node for each in state.replicas_of(alias)]
    nodes = ", ".join(sorted(node for node in held if state.duty(node) == "draining"))
    return f" It waits on {nodes} until another place answers." if nodes else ""


def _wish(ask: Ask, call: api.DeployCall) -> facts.DeploymentWished:
    view, site = ask.view, ask.view.state.founded()
    alias = ids.token(call.alias, "alias")
    model = _model(view, call.model)
    about = model.facts
    zones = tuple(dict.fromkeys(call.zones)) or (site.zone,)
    for zone in zones:
        if zone not in site.zones:
            raise HoldfastError(Code.BAD_REQUEST, f"There is no zone {zone[:80]!a} in this site.")
    if not 1 <= call.replicas <= limits.REPLICAS_PER_ZONE or call.context_length < 1:
        raise HoldfastError(
            Code.BAD_REQUEST, f"Replicas go from 1 to {limits.REPLICAS_PER_ZONE} per zone."
        )
    known = view.state.deployments.get(alias)
    if known is not None and known.wish.digest != about.digest:
        raise HoldfastError(
            Code.ALREADY_EXISTS,
            f"{alias} is answered by {known.wish.name}@{known.wish.version}.",
        )
    context_length = min(call.context_length, about.context_length)
    settings = EngineSettings(context_length=context_length)
    return facts.DeploymentWished(
        alias=alias,
        name=about.name,
        version=about.version,
        digest=about.digest,
        zones=zones,
        replicas=call.replicas,
        engine=settings.engine,
        context_length=context_length,
        parallel=settings.parallel,
        threads=settings.threads,
        operations=about.operations,
        claim_bytes=claim_bytes(about, context_length, settings.parallel),
        by=ask.who,
    )


def _model(view: View, reference: str) -> Model:
    name, version = ids.model_reference(reference)
    model = view.state.model_named(name, version)
    if model is None:
        # Nothing was imported under that name, so nobody approved it: importing is what comes next.
        raise HoldfastError(Code.NOT_APPROVED, f"There is no model {name}@{version} in this site.")
    if view.state.is_denied(model):
        raise HoldfastError(Code.DENIED_MODEL, f"{name}@{version} is denied.")
    if not model.allowed:
        raise HoldfastError(Code.NOT_APPROVED, f"{name}@{version} waits for officers.")
    return model


def _plan(view: View, wish: facts.DeploymentWished) -> api.ExplainAnswer:
    """Return where the replicas of ``wish`` go that are not placed yet, and why not elsewhere."""
    board = Board(candidates(view.state, view.live, view.now_s))
    placements: list[api.PlacementView] = []
    rejections: list[api.Rejection] = []
    for zone in wish.zones:
        here = [e for e in view.state.replicas_of(wish.alias) if e.placed.zone == zone]
        found: list[api.PlacementView] = []
        refused: tuple[api.Rejection, ...] = ()
        for _ in range(len(here), wish.replicas):
            decision = board.take(need(view.state, wish, zone))
            refused = decision.rejections
            if decision.choice is None:
                break
            found.append(_view_of(decision.choice.node, decision.choice.device, zone, wish))
        # A node refreshes its trust by itself within a minute, so such a wish only waits.
        passing = any(each.constraint == "trust" for each in refused)
        if not found and not here and not passing:
            raise _nowhere(wish.alias, zone, refused)
        placements += [
            *(_view_of(each.placed.node, each.placed.device, zone, wish) for each in here),
            *found,
        ]
        rejections += refused
    wanted = wish.replicas * len(wish.zones)
    return api.ExplainAnswer(
        alias=wish.alias,
        model=wish.name,
        version=wish.version,
        placements=tuple(placements),
        rejections=tuple(rejections),
        sentence=f"{len(placements)} of {wanted} replicas of {wish.name}@{wish.version} fit now.",
    )


def _nowhere(alias: str, zone: str, refused: tuple[api.Rejection, ...]) -> HoldfastError:
    why = " ".join(each.sentence for each in refused) or "The site has no nodes."
    legal = any(each.constraint not in LEGAL_CONSTRAINTS for each in refused)
    code = Code.NO_FITTING_NODE if legal else Code.NO_LEGAL_PLACEMENT
    return HoldfastError(code, f"No node takes {alias} in zone {zone}. {why}")


def _view_of(node: str, device: str, zone: str, wish: facts.DeploymentWished) -> api.PlacementView:
    return api.PlacementView(node=node, device=device, zone=zone, claim_bytes=wish.claim_bytes)


def _known(view: View, alias: str) -> str:
    if alias not in view.state.deployments:
        raise HoldfastError(Code.NOT_FOUND, f"There is no deployment {alias[:80]!a}.")
    return alias
