"""Deployments through the core: placed where they may be, kept up, taken away, explained."""

from __future__ import annotations

import pytest
from holdfast_controller.logic import facts
from holdfast_controller.logic.reconcile import View, questions, reconcile
from holdfast_protocol import api, limits
from holdfast_protocol.errors import Code
from holdfast_protocol.messages import Report, SlotReport
from holdfast_protocol.views import DeploymentView
from msgspec.structs import replace

from tests.unit.controller.controller_fakes import imported
from tests.unit.controller.controller_world import World


def deploy(world: World, alias: str = "chat", **more: object) -> object:
    call = api.DeployCall(model="acme/llm@1.0", alias=alias, **more)  # type: ignore[arg-type]
    return world.call("operator-1", "deployments.deploy", call)


def homes(world: World, alias: str = "chat") -> list[tuple[str, str]]:
    """Return (node, device) of every replica in the nodes' documents."""
    return sorted(
        (node, placement.device)
        for node in ("de-1", "de-2", "fr-1")
        for placement in world.desired(node).placements
        if placement.alias == alias
    )


def targets(world: World, alias: str = "chat", reader: str = "fr-1") -> list[str]:
    routes = {each.alias: each for each in world.desired(reader).routes}
    return [target.node for target in routes[alias].targets] if alias in routes else []


def shown(world: World, alias: str = "chat") -> DeploymentView:
    every: tuple[DeploymentView, ...] = world.call("auditor-1", "deployments.list").deployments
    return next(each for each in every if each.alias == alias)


def slot(world: World, node: str, state: str, **more: object) -> list[SlotReport]:
    """Return what ``node`` reports of its placements, all in ``state``."""
    return [
        SlotReport(
            slot=placement.slot,
            alias=placement.alias,
            manifest_digest=placement.manifest_digest,
            generation=placement.generation,
            device=placement.device,
            state=state,  # type: ignore[arg-type]
            **more,  # type: ignore[arg-type]
        )
        for placement in world.desired(node).placements
    ]


def test_replicas_go_to_each_zone_and_never_two_to_a_node() -> None:
    world = World().with_deployment(zones=("de", "fr"), replicas=2)
    assert homes(world) == [
        ("de-1", "GPU-de-1"),
        ("de-2", "CPU-de-2"),
        ("fr-1", "GPU-fr-1"),
    ]
    assert shown(world).state == "ready"
    assert shown(world).replicas_wanted == 4
    zones = {target.zone for route in world.desired("de-1").routes for target in route.targets}
    assert zones == {"de", "fr"}


def test_a_wish_can_grow_and_shrink_and_end() -> None:
    world = World().with_deployment()
    assert homes(world) == [("de-1", "GPU-de-1")]
    deploy(world, replicas=2)
    world.pass_time(2)
    assert targets(world) == ["de-1", "de-2"]
    deploy(world, replicas=1)
    world.pass_time(2)
    assert targets(world) == ["de-1"]
    world.call("operator-1", "deployments.undeploy", api.AliasCall(alias="chat"))
    world.pass_time(3)
    assert homes(world) == []
    assert targets(world) == []
    assert world.core.state.replicas == {}
    deploy(world)
    world.pass_time(2)
    [placement] = world.desired("de-1").placements
    assert placement.slot == "chat-3", "a slot's name is never used again"


def test_an_alias_that_is_taken_is_refused_for_another_model() -> None:
    world = World().with_deployment()
    world.importer.models = [imported(version="2.0", weights=b"two")]
    started = world.call("operator-1", "imports.start", api.StartImportCall(path="/two"))
    world.pass_time(2)
    view = world.call("operator-1", "imports.show", api.ImportQuery(id=started.id))
    world.approve(view.requests[0], 1, 2)
    world.pass_time(1)
    call = api.DeployCall(model="acme/llm@2.0", alias="chat")
    assert world.call("operator-1", "deployments.deploy", call).code == Code.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"model": "acme/none@1.0"}, Code.NOT_APPROVED),
        ({"model": "acme"}, Code.BAD_NAME),
        ({"alias": "Chat"}, Code.BAD_NAME),
        ({"zones": ("it",)}, Code.BAD_REQUEST),
        ({"replicas": 0}, Code.BAD_REQUEST),
        ({"replicas": limits.REPLICAS_PER_ZONE + 1}, Code.BAD_REQUEST),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(call: dict[str, object], code: Code) -> None:
    world = World().with_model()
    fields = {"model": "acme/llm@1.0", "alias": "chat", **call}
    asked = api.DeployCall(**fields)  # type: ignore[arg-type]
    assert world.call("operator-1", "deployments.deploy", asked).code == code
    assert world.core.state.deployments == {}


def test_no_node_in_the_zone_is_illegal_and_no_room_is_not_fitting() -> None:
    world = World().with_model()
    world.core.state.founded().zones["it"] = "IT"
    assert deploy(world, zones=("it",)).code == Code.NO_LEGAL_PLACEMENT  # type: ignore[attr-defined]
    refused = deploy(world, zones=("fr",), context_length=8192)
    assert isinstance(refused, api.ExplainAnswer)
    world.silent = {"fr-1"}
    world.pass_time(7)
    lost = deploy(world, alias="other", zones=("fr",))
    assert lost.code == Code.NO_FITTING_NODE  # type: ignore[attr-defined]
    assert "fr-1 is down" in lost.message  # type: ignore[attr-defined]


def test_a_wish_waits_for_nodes_whose_trust_is_not_fresh_yet() -> None:
    world = World().with_model()

    def damaged(report: Report) -> Report:
        return replace(report, trust="damaged")

    for node in ("de-1", "de-2"):
        world.now_s += limits.RECONCILE_EVERY_S
        world.report(node, damaged)
    plan = deploy(world)
    assert isinstance(plan, api.ExplainAnswer)
    assert plan.placements == ()
    assert shown(world).state == "pending"
    assert "trust of de-1 is damaged" in (shown(world).reason or "")
    world.pass_time(3)
    assert targets(world) == ["de-1"]


def test_a_plan_changes_nothing() -> None:
    world = World().with_model()
    before = world.journal.tail
    plan = deploy(world, plan=True, replicas=3)
    assert isinstance(plan, api.ExplainAnswer)
    assert [each.node for each in plan.placements] == ["de-1", "de-2"]
    assert {each.node: each.constraint for each in plan.rejections} == {
        "de-1": "one-per-node",
        "de-2": "one-per-node",
        "fr-1": "zone",
    }
    assert world.journal.tail == before


def test_a_lost_gpu_moves_its_replica_to_another_device_of_the_site() -> None:
    world = World().with_deployment()
    world.health = {"de-1": "lost"}
    world.pass_time(3)
    assert homes(world) == [("de-1", "CPU-de-1")] or homes(world) == [("de-2", "CPU-de-2")]
    assert len(targets(world)) == 1
    assert shown(world).state == "ready"
    [gpu] = [g for g in world.call("auditor-1", "gpus.list").gpus if g.node == "de-1"]
    assert gpu.state == "lost"


def test_a_failed_replica_is_tried_elsewhere_once_and_then_shown_as_broken() -> None:
    world = World().with_deployment()
    broken = {"code": "ENGINE_FAILED", "message": "no such kernel"}
    world.slots["de-1"] = slot(world, "de-1", "failed", **broken)
    world.pass_time(2)
    assert targets(world) == []
    assert shown(world).state == "broken"
    assert "no such kernel" in (shown(world).reason or "")
    world.slots["de-2"] = []
    world.pass_time(limits.REPLACE_FAILED_AFTER_S)
    world.slots["de-1"] = []
    assert homes(world) == [("de-2", "CPU-de-2")]
    world.slots["de-2"] = slot(world, "de-2", "failed", **broken)
    before = world.journal.tail.seq
    world.pass_time(100)
    assert homes(world) == [("de-2", "CPU-de-2")], "no ping-pong between two nodes"
    assert world.journal.tail.seq - before < 10


def test_where_nothing_else_fits_a_lost_node_is_waited_for() -> None:
    world = World().with_deployment(zones=("fr",))
    world.silent = {"fr-1"}
    world.pass_time(60)
    assert targets(world, reader="de-1") == []
    assert [each.state for each in shown(world).replicas] == ["lost"]
    world.silent = set()
    world.pass_time(2)
    assert targets(world) == ["fr-1"]
    assert shown(world).replicas[0].generation == 1


def test_a_denial_takes_the_model_away_everywhere() -> None:
    world = World().with_deployment()
    [model] = world.core.state.models
    # As the denial's own request would fold, which has its own call.
    world.core._decide([facts.Denied(what=model, reason="unsafe")], world.now_s, "officer-1")
    world.pass_time(3)
    assert homes(world) == []
    assert targets(world) == []
    assert world.call("auditor-1", "models.list").models[0].state == "denied"
    assert deploy(world, alias="other").code == Code.DENIED_MODEL  # type: ignore[attr-defined]


def test_dates_stop_new_loads_but_never_what_runs() -> None:
    world = World().with_deployment()
    state = world.core.state
    for node in ("de-1", "de-2"):
        certificate = state.nodes[node].certificate
        assert certificate is not None
        old = facts.NodeCertified(
            node=node, jurisdiction="DE", zones=("de",), not_after_s=int(world.now_s) - 1
        )
        world.core._decide([old], world.now_s, "test")
    world.pass_time(5)
    assert targets(world) == ["de-1"]
    refused = deploy(world, alias="other")
    assert refused.code == Code.NO_LEGAL_PLACEMENT  # type: ignore[attr-defined]


def test_reconciling_a_settled_site_again_decides_and_asks_nothing() -> None:
    world = World().with_deployment(zones=("de", "fr"), replicas=2)
    core = world.core
    for later_s in (0.0, 1.0, 2.0):
        view = View(
            state=core.state,
            live=core.live,
            documents=core.documents,
            now_s=world.now_s + later_s,
        )
        assert reconcile(view, limits.RECONCILE_BUDGET) == []
        assert questions(view) == []
    before = world.journal.tail
    published = dict(world.published)
    world.pass_time(60)
    assert world.journal.tail == before, "numbers are not journalled"
    assert world.published == published
