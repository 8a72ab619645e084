"""The whole path through the core, from the ceremony to an answered alias and back."""

from __future__ import annotations

from holdfast_protocol import api
from holdfast_protocol.views import EventsQuery

from tests.unit.controller.controller_fakes import START
from tests.unit.controller.controller_world import World
from tests.vendor_roots import vendor_root


def route_nodes(world: World, reader: str = "fr-1") -> list[str]:
    """Return the nodes that answer ``chat``, as some node's document says."""
    routes = {route.alias: route for route in world.desired(reader).routes}
    return [target.node for target in routes["chat"].targets] if "chat" in routes else []


def test_a_founded_site_knows_its_people_and_nodes_and_is_stamped() -> None:
    world = World()
    status = world.call("auditor-1", "site.status")
    assert (status.site, status.zone, status.epoch, status.nodes_total) == ("alpha", "de", 1, 3)
    assert status.snapshot == 1
    assert status.records == world.journal.tail.seq
    assert set(world.published) == {"de-1", "de-2", "fr-1", "broker-de", "broker-fr"}


def test_from_a_stick_to_an_answer() -> None:
    world = World().with_model()
    [model] = world.call("auditor-1", "models.list").models
    assert (model.name, model.version, model.state) == ("acme/llm", "1.0", "approved")

    plan = world.call(
        "operator-1", "deployments.deploy", api.DeployCall(model="acme/llm@1.0", alias="chat")
    )
    assert [each.node for each in plan.placements] == ["de-1"]
    world.pass_time(2)

    [deployment] = world.call("auditor-1", "deployments.list").deployments
    assert deployment.state == "ready"
    assert [(each.node, each.state) for each in deployment.replicas] == [("de-1", "ready")]
    assert route_nodes(world) == ["de-1"]
    [placement] = world.desired("de-1").placements
    assert placement.slot == "chat-1"


def test_a_lost_node_is_replaced_after_a_while_and_does_not_flap_when_it_returns() -> None:
    world = World().with_deployment()
    world.silent = {"de-1"}
    world.pass_time(7)
    assert route_nodes(world) == []
    world.pass_time(15)
    assert route_nodes(world) == ["de-2"]
    assert world.desired("de-1").placements == ()

    before = world.journal.tail.seq
    world.silent = set()
    world.pass_time(10)
    assert route_nodes(world) == ["de-2"]
    later = world.call("auditor-1", "events.list", EventsQuery(after=before)).events
    assert [event.kind for event in later] == ["node-returned", "replica-gone"]


def test_a_restart_in_the_middle_goes_on_from_the_journal_alone() -> None:
    world = World()
    world.pass_time(1)
    trusted = world.call(
        "officer-1", "vendors.trust", api.TrustVendor(vendor="acme", root=vendor_root())
    )
    world.approve(trusted.request, 1)
    world.restart()
    answer = world.approve(trusted.request, 2)
    assert answer.request.state == "committed"

    started = world.call("operator-1", "imports.start", api.StartImportCall(path="/stick"))
    world.restart()
    world.pass_time(2, 0.25)
    view = world.call("operator-1", "imports.show", api.ImportQuery(id=started.id))
    assert view.state == "waiting"
    world.importer.reachable = False
    world.approve(view.requests[0], 1, 2)
    world.restart()
    world.importer.reachable = True
    world.pass_time(3)
    [model] = world.call("auditor-1", "models.list").models
    assert model.state == "approved"

    world.call(
        "operator-1", "deployments.deploy", api.DeployCall(model="acme/llm@1.0", alias="chat")
    )
    world.restart()
    world.pass_time(3)
    assert route_nodes(world) == ["de-1"]
    state = world.core.state
    world.restart()
    world.core.state.starts = state.starts
    assert world.core.state == state
    assert world.now_s > START
