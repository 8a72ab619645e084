"""The brakes: models denied and lifted, nodes revoked, cordoned, drained; and what that does."""

from __future__ import annotations

from typing import Any

import pytest
from holdfast_controller.journal.memory import MemoryJournal
from holdfast_protocol import api
from holdfast_protocol.errors import Code

from tests.unit.controller.controller_world import World

OTHER = "sha256:" + "77" * 32


@pytest.fixture
def world() -> World:
    return World().with_deployment()


def digest(world: World) -> str:
    [model] = world.core.state.models
    return model


def revoke(world: World, what: str, reason: str = "found unsafe") -> Any:
    return world.call("officer-1", "models.revoke", api.RevokeModel(digest=what, reason=reason))


def lift(world: World, what: str) -> Any:
    return world.call("officer-1", "models.lift", api.LiftModel(digest=what))


def revoke_node(world: World, node: str) -> Any:
    call = api.RevokeNode(node=node, reason="stolen")
    return world.call("officer-1", "nodes.revoke", call)


def on_nodes(world: World) -> list[str]:
    """Return the nodes whose documents tell them to serve something."""
    return [
        node
        for node in ("de-1", "de-2", "fr-1")
        if node in world.published and world.desired(node).placements
    ]


def model_state(world: World) -> tuple[str, str | None]:
    [model] = world.call("auditor-1", "models.list").models
    return model.state, model.reason


def deployment(world: World) -> Any:
    [one] = world.call("auditor-1", "deployments.list").deployments
    return one


def node(world: World, name: str) -> Any:
    listed = world.call("auditor-1", "nodes.list").nodes
    return next(each for each in listed if each.id == name)


def findings(world: World) -> str:
    return " ".join(world.call("auditor-1", "site.status").findings)


# ---------------------------------------------------------------- denying a model


def test_one_officer_stops_a_model_and_two_bring_it_back(world: World) -> None:
    what = digest(world)
    before = on_nodes(world)
    assert before
    made = revoke(world, what)
    assert made.needed == 1
    assert model_state(world) == ("approved", None), "a request alone does nothing"
    snapshot = world.desired("de-1").trust.snapshot
    assert world.approve(made.request, 3).request.state == "committed"
    assert on_nodes(world) == []
    for one in ("de-1", "de-2", "fr-1"):
        assert world.desired(one).trust.snapshot > snapshot, "all nodes hear of it at once"
        assert not any(route.targets for route in world.desired(one).routes)
    assert model_state(world) == ("denied", "found unsafe")
    assert deployment(world).state == "broken"
    assert "acme/llm@1.0 is denied: found unsafe." in str(deployment(world).reason)

    back = lift(world, what)
    assert back.needed == 2
    world.approve(back.request, 1)
    [pending] = [
        each
        for each in world.call("auditor-1", "requests.list").requests
        if each.id == back.request
    ]
    assert (pending.kind, pending.state, pending.needed) == ("lift", "pending", 2)
    assert model_state(world)[0] == "denied"
    world.pass_time(2)
    assert on_nodes(world) == []
    world.approve(back.request, 2)
    world.pass_time(3)
    assert model_state(world) == ("approved", None)
    assert on_nodes(world) == before, "nobody has to deploy it again"
    assert deployment(world).state == "ready"


def test_a_denial_holds_over_restarts_and_nothing_new_is_deployed(world: World) -> None:
    world.approve(revoke(world, digest(world)).request, 1)
    world.restart()
    world.pass_time(5)
    assert on_nodes(world) == []
    assert model_state(world)[0] == "denied"
    refused = world.call(
        "operator-1", "deployments.deploy", api.DeployCall(model="acme/llm@1.0", alias="other")
    )
    assert refused.code == Code.DENIED_MODEL
    fresh = World(MemoryJournal())
    assert fresh.core.state.denied == {}


def test_a_weights_digest_denies_the_model_and_an_unknown_one_may_be_denied(world: World) -> None:
    [model] = world.core.state.models.values()
    world.approve(revoke(world, OTHER).request, 1)
    assert model_state(world)[0] == "approved"
    world.approve(revoke(world, model.facts.weights_digest, "").request, 2)
    assert model_state(world) == ("denied", "revoked by the site")
    assert on_nodes(world) == []


def test_what_is_denied_again_after_a_lift_takes_as_many_as_the_lift(world: World) -> None:
    what = digest(world)
    world.approve(revoke(world, what).request, 1)
    world.approve(lift(world, what).request, 1, 2)
    assert revoke(world, what).needed == 2, "only the first file of a bin has a threshold of one"


def test_the_same_request_again_is_the_same_request(world: World) -> None:
    what = digest(world)
    first = revoke(world, what)
    assert revoke(world, what).request == first.request
    world.approve(first.request, 1)
    assert revoke(world, what).code == Code.ALREADY_EXISTS
    again = lift(world, what)
    assert lift(world, what).request == again.request


@pytest.mark.parametrize(
    ("call", "body", "code"),
    [
        ("models.revoke", api.RevokeModel(digest="sha256:1"), Code.BAD_NAME),
        ("models.revoke", api.RevokeModel(digest=OTHER, reason="a\nb"), Code.BAD_REQUEST),
        ("models.revoke", api.RevokeModel(digest="node:de-1"), Code.BAD_NAME),
        ("models.lift", api.LiftModel(digest=OTHER), Code.NOT_FOUND),
        ("nodes.revoke", api.RevokeNode(node="de-9"), Code.NOT_FOUND),
        ("nodes.lift", api.NodeCall(node="de-1"), Code.NOT_FOUND),
        ("nodes.cordon", api.NodeCall(node="de-9"), Code.NOT_FOUND),
        ("nodes.uncordon", api.NodeCall(node="*"), Code.NOT_FOUND),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, call: str, body: Any, code: Code) -> None:
    before = world.core.tail.seq
    assert world.call("officer-1", call, body).code == code
    assert world.core.tail.seq == before, "a refusal is no record"


@pytest.mark.parametrize("call", ["models.revoke", "models.lift", "nodes.revoke", "nodes.lift"])
@pytest.mark.parametrize("who", ["operator-1", "auditor-1", "stranger"])
def test_only_officers_revoke_and_lift(world: World, call: str, who: str) -> None:
    assert world.call(who, call).code == Code.NOT_PERMITTED


# ---------------------------------------------------------------- revoking a node


def test_a_revoked_node_serves_nothing_and_another_takes_over(world: World) -> None:
    [first] = on_nodes(world)
    made = revoke_node(world, first)
    assert made.needed == 1
    world.silent.add(first)
    world.approve(made.request, 2)
    told = world.desired(first)
    assert (told.placements, told.routes, told.grants) == ((), (), ())
    assert told.trust.snapshot > 0
    shown = node(world, first)
    assert (shown.state, shown.reason) == ("retired", "An officer revoked it: stolen.")
    world.pass_time(3)
    [second] = on_nodes(world)
    assert second != first
    assert deployment(world).state == "ready"
    assert f"Node {first} is revoked: stolen." in findings(world)
    assert f"{first} has not confirmed" in findings(world)
    world.restart()
    world.pass_time(3)
    assert node(world, first).state == "retired"
    world.silent.clear()
    world.pass_time(3)
    assert f"{first} has not confirmed" not in findings(world)
    assert on_nodes(world) == [second]


def test_a_revoked_node_is_let_back_in_by_two(world: World) -> None:
    [first] = on_nodes(world)
    world.approve(revoke_node(world, first).request, 1)
    refused = world.call("operator-1", "nodes.cordon", api.NodeCall(node=first))
    assert refused.code == Code.BAD_REQUEST
    back = world.call("officer-2", "nodes.lift", api.NodeCall(node=first))
    assert back.needed == 2
    world.approve(back.request, 2, 3)
    world.pass_time(2)
    assert (node(world, first).state, node(world, first).reason) == ("ok", None)


# ---------------------------------------------------------------- cordon and drain


def duty(world: World, verb: str, name: str) -> Any:
    return world.call("operator-1", f"nodes.{verb}", api.NodeCall(node=name))


def test_nothing_new_goes_to_a_cordoned_node_and_explain_says_so(world: World) -> None:
    [first] = on_nodes(world)
    duty(world, "cordon", first)
    world.pass_time(3)
    assert on_nodes(world) == [first], "what runs goes on"
    assert (node(world, first).state, node(world, first).duty) == ("ok", "cordoned")
    plan = world.call(
        "operator-1",
        "deployments.deploy",
        api.DeployCall(model="acme/llm@1.0", alias="other", plan=True),
    )
    assert [each.node for each in plan.placements] != [first]
    explained = world.call("auditor-1", "deployments.explain", api.AliasCall(alias="chat"))
    said = {each.node: each.constraint for each in explained.rejections}
    assert said[first] == "cordoned"
    world.restart()
    assert node(world, first).duty == "cordoned"
    before = world.core.tail.seq
    duty(world, "cordon", first)
    assert world.core.tail.seq == before, "the same again is no news"
    duty(world, "uncordon", first)
    assert (node(world, first).duty, node(world, first).reason) == ("in-service", None)


def test_a_drained_node_serves_until_another_does(world: World) -> None:
    [first] = on_nodes(world)
    [second] = {"de-1", "de-2"} - {first}
    world.slots[second] = []
    duty(world, "drain", first)
    world.pass_time(3)
    assert on_nodes(world) == sorted([first, second])
    targets = [each.node for route in world.desired("de-1").routes for each in route.targets]
    assert targets == [first], "it answers while the other loads"
    assert deployment(world).state == "ready"
    del world.slots[second]
    world.pass_time(3)
    assert on_nodes(world) == [second]
    assert node(world, first).reason == "Drained: empty."
    duty(world, "uncordon", first)
    world.pass_time(3)
    assert on_nodes(world) == [second], "nothing moves back by itself"


def test_a_node_without_a_legal_successor_goes_on_serving_and_says_so(world: World) -> None:
    [first] = on_nodes(world)
    [second] = {"de-1", "de-2"} - {first}
    duty(world, "cordon", second)
    duty(world, "drain", first)
    world.pass_time(5)
    assert on_nodes(world) == [first]
    assert deployment(world).state == "ready"
    assert "1 replica is still there" in str(node(world, first).reason)
    explained = world.call("auditor-1", "deployments.explain", api.AliasCall(alias="chat"))
    said = {each.node: each.constraint for each in explained.rejections}
    assert said == {first: "draining", second: "cordoned", "fr-1": "zone"}
    assert f"waits on {first}" in explained.sentence


def test_auditors_only_look(world: World) -> None:
    for verb in ("cordon", "uncordon", "drain"):
        refused = world.call("auditor-1", f"nodes.{verb}", api.NodeCall(node="de-1"))
        assert refused.code == Code.NOT_PERMITTED
