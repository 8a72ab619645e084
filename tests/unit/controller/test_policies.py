"""The policy from a folder's bytes to every node's document: checked, tried, signed by two."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from holdfast_controller.logic import policy
from holdfast_policy.logic.bundle import (
    ENGINE,
    GOLDEN,
    SCHEMA,
    Manifest,
    PolicyBundle,
    assemble,
    document,
    entries_of,
)
from holdfast_policy.product import base_text
from holdfast_protocol import api, codec
from holdfast_protocol.policing import ExplainPolicy, ProposePolicy, TryPolicy

from tests.unit.controller.controller_fakes import START
from tests.unit.controller.controller_world import World

DAY_S = 24 * 3600
CASES = [
    {"app": "triage", "zone": "de", "alias": "other", "node": "de-1", "jurisdiction": "DE",
     "expect": "allow", "rule": "permit-infer"},
    {"app": "triage", "zone": "de", "alias": "other", "node": "fr-1", "jurisdiction": "FR",
     "residency": ["DE"], "expect": "deny", "rule": "residency"},
]  # fmt: skip
NO_CHAT = """
@id("no-chat")
@reason("Triage may not use chat.")
forbid (principal == Holdfast::App::"triage", action, resource is Holdfast::Placement)
unless { context.alias != "chat" };
"""


def bundle(
    serial: int = 1, prev: str | None = None, more: str = NO_CHAT, days: int = 90, begins_s: int = 0
) -> PolicyBundle:
    """Return a bundle of the base policies and ``more``."""
    text = base_text()
    files = {
        SCHEMA: text.schema.encode(),
        "base.cedar": text.policies.encode(),
        "site.cedar": more.encode(),
        GOLDEN: codec.encode({"zones": {"de": "DE", "fr": "FR"}, "cases": CASES}),
    }
    begins_s = begins_s or int(START)
    manifest = Manifest(
        format=1,
        serial=serial,
        prev_digest=prev,
        effective_from_s=begins_s,
        not_after_s=begins_s + days * DAY_S,
        engine=ENGINE,
        files=entries_of(files),
    )
    return assemble(manifest, files)


@pytest.fixture
def world() -> World:
    """A site that serves ``chat`` in Germany for ``triage``."""
    made = World().with_deployment()
    call = api.CreateApp(name="triage", zone="de", aliases=("chat",), user_public="UA", csr=b"c")
    granted = made.call("operator-1", "apps.create", call)
    made.approve(granted.request, 1)
    return made


def propose(world: World, one: PolicyBundle, *acknowledge: str) -> Any:
    body = ProposePolicy(bundle=document(one), acknowledge=acknowledge)
    return world.call("officer-1", "policy.propose", body)


def bring(world: World, one: PolicyBundle, *acknowledge: str) -> None:
    """Propose and let two officers sign."""
    made = propose(world, one, *acknowledge)
    assert not isinstance(made, api.ErrorDetail), made
    world.approve(made.request, 1, 2)


def explain(world: World, **more: str) -> Any:
    asked = {"app": "triage", "alias": "chat", "node": "de-1", **more}
    return world.call("auditor-1", "policy.explain", msgspec.convert(asked, ExplainPolicy))


def test_without_a_bundle_the_products_own_policy_is_in_force(world: World) -> None:
    shown = world.call("auditor-1", "policy.show")
    assert (shown.serial, shown.digest, shown.state) == (0, None, "in-force")
    assert "residency" in {rule.id for rule in shown.rules}
    assert world.desired("de-1").policy_serial == 0
    assert explain(world).decision == "allow"


def test_two_officers_bring_a_policy_into_force(world: World) -> None:
    one = bundle()
    tried = world.call("operator-1", "policy.what-if", TryPolicy(bundle=document(one)))
    assert [(flip.id, flip.widens) for flip in tried.flips] == [("triage/chat/de-1", False)]
    assert tried.flips[0].rules == ("no-chat",)
    made = propose(world, one)
    assert made.needed == 2
    world.approve(made.request, 1)
    assert explain(world).decision == "allow", "one officer is not enough"
    world.approve(made.request, 2)
    denied = explain(world)
    assert (denied.decision, denied.rules, denied.serial) == ("deny", ("no-chat",), 1)
    assert denied.sentence == "Triage may not use chat."
    shown = world.call("auditor-1", "policy.show")
    assert (shown.serial, shown.digest) == (1, one.digest)
    assert {node.id for node in shown.nodes if node.behind} == {"de-1", "de-2", "fr-1"}
    assert {world.desired(node).policy_serial for node in ("de-1", "de-2", "fr-1")} == {1}


def test_it_stands_after_a_restart(world: World) -> None:
    bring(world, bundle())
    world.restart()
    assert explain(world).rules == ("no-chat",)
    assert world.desired("de-1").policy_serial == 1


def test_what_would_be_allowed_newly_is_acknowledged_by_name(world: World) -> None:
    first = bundle()
    bring(world, first)
    lifted = bundle(2, first.digest, more="")
    refused = propose(world, lifted)
    assert (refused.code, "triage/chat/de-1" in refused.message) == ("POLICY_WIDENS", True)
    assert propose(world, lifted, "triage/chat/fr-1").code == "POLICY_WIDENS"
    bring(world, lifted, "triage/chat/de-1")
    assert (explain(world).decision, explain(world).serial) == ("allow", 2)


def test_serials_only_rise_and_each_names_the_one_before(world: World) -> None:
    first = bundle(3)
    bring(world, first)
    for other in (
        bundle(3, first.digest),
        bundle(2, first.digest),
        bundle(4),
        bundle(4, "sha256:" + "0" * 64),
    ):
        assert propose(world, other).code == "POLICY_INVALID"
    bring(world, bundle(9, first.digest))
    assert world.call("auditor-1", "policy.show").serial == 9


def test_one_request_at_a_time_and_only_officers_ask(world: World) -> None:
    one = bundle()
    assert (
        world.call("operator-1", "policy.propose", ProposePolicy(bundle=document(one))).code
        == "NOT_PERMITTED"
    )
    made = propose(world, one)
    assert propose(world, one).request == made.request, "the same again is the same request"
    assert propose(world, bundle(2)).code == "REQUEST_PENDING"


@pytest.mark.parametrize(
    "more",
    [
        NO_CHAT.replace("triage", "traige"),
        NO_CHAT.replace('Holdfast::App::"triage"', 'Holdfast::Model::"x"'),
        '@id("all") @reason("A.") permit (principal, action, resource);',
        '@id("no") forbid (principal, action, resource);',
        NO_CHAT + NO_CHAT,
        "forbid (principal, action, resource)",
    ],
)
def test_what_does_not_pass_the_check_never_reaches_officers(world: World, more: str) -> None:
    answer = world.call(
        "officer-1", "policy.propose", ProposePolicy(bundle=document(bundle(more=more)))
    )
    assert answer.code == "POLICY_INVALID"
    assert not [each for each in world.core.state.requests.values() if each.made.kind == "policy"]


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, document(bundle()) + b" "])
def test_what_is_no_bundle_is_refused_before_the_checker_sees_it(world: World, data: bytes) -> None:
    answer = world.call("officer-1", "policy.propose", ProposePolicy(bundle=data))
    assert answer.code == "POLICY_INVALID"


def test_golden_decisions_decide(world: World) -> None:
    spoiled = bundle(more=NO_CHAT.replace("chat", "other"))
    answer = propose(world, spoiled)
    assert (answer.code, "golden.json expects allow" in answer.message) == ("POLICY_INVALID", True)


def test_a_policy_of_tomorrow_or_of_yesterday_is_not_proposed(world: World) -> None:
    assert propose(world, bundle(begins_s=int(START) + DAY_S)).code == "POLICY_INVALID"
    assert propose(world, bundle(begins_s=int(START) - 100 * DAY_S)).code == "POLICY_EXPIRED"


def test_past_its_date_nothing_new_begins_and_what_runs_goes_on(world: World) -> None:
    bring(world, bundle(more="", days=1))
    soon = list(policy.findings(world.core.state, world.now_s))
    assert soon == ["Policy 1 ends in 0 days; officers must bring the next one."]
    world.pass_time(DAY_S, 600)
    another = api.CreateApp(name="b", zone="de", aliases=("chat",), user_public="UB", csr=b"c")
    assert world.call("operator-1", "apps.create", another).code == "POLICY_EXPIRED"
    wish = api.DeployCall(model="acme/llm@1.0", alias="two")
    assert world.call("operator-1", "deployments.deploy", wish).code == "POLICY_EXPIRED"
    assert explain(world).decision == "allow"
    assert world.desired("de-1").placements
    assert world.call("auditor-1", "policy.show").state == "expired"


def test_explain_says_what_a_request_would_be_told(world: World) -> None:
    assert explain(world, node="fr-1").rules == ("home-zone", "residency", "zone-jurisdiction")
    wide = explain(world, residency="FR")
    assert (wide.decision, wide.rules) == ("deny", ("label-refused",))
    assert explain(world, app="none").code == "NOT_FOUND"
    assert explain(world, node="none").code == "NOT_FOUND"
    assert explain(world, alias="none").code == "NOT_FOUND"
