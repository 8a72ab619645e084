"""The gateway's policy: followed from its own view, switched whole, kept where the next is none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from holdfast_agent.gateway.alarm import PolicyAlarm
from holdfast_agent.gateway.policy import PolicyInForce
from holdfast_agent.logic import io
from holdfast_agent.logic.trust import NodeTrust
from holdfast_bundles.site import Outcome, propose_node, propose_policy, propose_withdraw
from holdfast_bundles.site.chain import broken_bin
from holdfast_bundles.site.names import POLICY_TARGET, bin_of
from holdfast_bundles.site.view import SiteView
from holdfast_policy.logic.bundle import PolicyBundle
from holdfast_policy.port import POLICY_UNKNOWN, Question

from tests.unit.agent.core_world import Agent, placement
from tests.unit.agent.gateway_site import running, until
from tests.unit.bundles.site_world import NOW, Site, certificate, new_site
from tests.unit.policy.policy_bundles import BEGINS_S, DAY_S, files, forbid, made
from tests.unit.policy.policy_worlds import GOOD, REGISTRY

NO_CHAT = forbid("no-chat", unless='context.alias != "chat"')
BROKEN = '@id("a") @reason("A.") forbid (principal, action, resource) when { principal.no };'


class Officers:
    """A site whose officers bring policies; ``view`` is what a node has read."""

    def __init__(self, folder: Path) -> None:
        self.site: Site = new_site()
        self._trust = self.site.trust(folder)
        self._prev: PolicyBundle | None = None

    def bring(self, serial: int, more: str) -> SiteView:
        prev = None if self._prev is None else self._prev.digest
        self._prev = made(files(more), serial, prev)
        self.site.commit(propose_policy(self.site.at(), self._prev), 0, 1)
        return self.view()

    def view(self) -> SiteView:
        self.site.publish()
        self._trust.refresh(self.site.fetch, NOW)
        return self._trust.view(NOW)


@pytest.fixture
def officers(tmp_path: Path) -> Officers:
    folder = tmp_path / "trust"
    folder.mkdir()
    return Officers(folder)


@pytest.fixture
def policy() -> PolicyInForce:
    return PolicyInForce(REGISTRY, PolicyAlarm())


def rules(policy: PolicyInForce, question: Question = GOOD) -> tuple[str, ...]:
    return policy.decide(question).rules


def test_it_follows_what_officers_bring(officers: Officers, policy: PolicyInForce) -> None:
    policy.take(officers.view())
    assert (policy.serial, rules(policy)) == (0, ("permit-infer",))
    policy.take(officers.bring(1, NO_CHAT))
    assert (policy.serial, rules(policy)) == (1, ("no-chat",)), "nothing is remembered"
    policy.take(officers.bring(2, ""))
    assert (policy.serial, rules(policy), policy.refused) == (2, ("permit-infer",), "")


def test_one_that_cannot_be_used_takes_nothings_place(
    officers: Officers, policy: PolicyInForce
) -> None:
    policy.take(officers.bring(1, NO_CHAT))
    policy.take(officers.bring(2, BROKEN))
    assert (policy.serial, rules(policy)) == (1, ("no-chat",))
    assert "Cedar says" in policy.refused
    policy.take(officers.bring(3, ""))
    assert (policy.serial, policy.refused) == (3, "")


def test_after_a_start_nothing_falls_back_to_the_products_own(
    officers: Officers, policy: PolicyInForce
) -> None:
    policy.take(officers.bring(1, BROKEN))
    assert (policy.serial, rules(policy)) == (0, (POLICY_UNKNOWN,))
    policy.take(officers.bring(2, NO_CHAT))
    assert (policy.serial, rules(policy)) == (2, ("no-chat",))


def unbelievable(view: SiteView) -> SiteView:
    """Return ``view`` with a policy file that cannot be believed."""
    assert view.chain is not None
    role = bin_of("ok", POLICY_TARGET)
    bins = {**view.chain.bins, role: broken_bin(role, "spoiled")}
    return msgspec.structs.replace(view, chain=msgspec.structs.replace(view.chain, bins=bins))


def test_a_file_that_cannot_be_believed(officers: Officers, policy: PolicyInForce) -> None:
    spoiled = unbelievable(officers.view())
    policy.take(spoiled)
    assert rules(policy) == (POLICY_UNKNOWN,), "a stricter policy may stand there"
    policy.take(officers.bring(1, NO_CHAT))
    policy.take(spoiled)
    assert (policy.serial, rules(policy)) == (1, ("no-chat",))
    assert policy.refused


def test_a_lower_serial_and_a_withdrawal_change_nothing(
    officers: Officers, policy: PolicyInForce
) -> None:
    before = officers.bring(1, "")
    policy.take(officers.bring(2, NO_CHAT))
    policy.take(before)
    assert (policy.serial, rules(policy)) == (2, ("no-chat",))
    assert "does not rise" in policy.refused
    gone = propose_withdraw(officers.site.at(), "ok", POLICY_TARGET)
    officers.site.commit(gone, 0, 1)
    policy.take(officers.view())
    assert (policy.serial, rules(policy)) == (2, ("no-chat",))


async def test_a_switch_under_load_decides_no_request_by_a_mix(
    tmp_path: Path, officers: Officers
) -> None:
    """Each policy leaves one node, another one: by a mix of both there would be none, or two."""
    only = {
        name: forbid(f"only-{name}", unless=f'resource in Holdfast::Node::"{name}"')
        for name in ("de-1", "de-2")
    }
    first = officers.bring(1, only["de-1"])
    second = officers.bring(2, only["de-2"])
    async with running(tmp_path, "de-1", "de-2", capacity=4) as site:
        nodes = list(site.nodes.values())
        for node in nodes:
            node.policy.take(first)

        async def load() -> list[str]:
            return [(await site.ask()).headers["Hf-Status"] for _ in range(15)]

        loads = [asyncio.create_task(load()) for _ in range(4)]
        await until(lambda: sum(len(node.engine.bodies) for node in nodes) >= 15)
        assert not site.nodes["de-2"].engine.bodies
        for node in nodes:
            node.policy.take(second)
            await asyncio.sleep(0.01)
        assert {status for each in await asyncio.gather(*loads) for status in each} == {"200"}
        before = len(site.nodes["de-1"].engine.bodies)
        assert [await load(), len(site.nodes["de-1"].engine.bodies)] == [["200"] * 15, before]
        assert not [node.alarm.counts for node in nodes if node.alarm.counts]


def test_the_report_says_by_which_policy_the_gateway_decides() -> None:
    agent = Agent()
    seen = io.GatewaySeen(connected=True, in_flight={}, policy_serial=3, policy_refused="No.")
    agent.tell(seen)
    agent.tell(seen)
    agent.see_devices()
    agent.tick(2.0)
    assert agent.asked(io.PublishReport)[-1].report.policy_serial == 3
    told = [e.event for e in agent.asked(io.RecordEvent) if e.event.kind == "policy-refused"]
    assert [(event.code, event.message) for event in told] == [("POLICY_INVALID", "No.")]


@pytest.mark.parametrize(("days", "refused"), [(89, None), (90, "POLICY_EXPIRED")])
def test_past_its_date_nothing_new_loads_and_what_was_accepted_starts_again(
    officers: Officers, days: int, refused: str | None
) -> None:
    officers.site.commit(propose_node(officers.site.at(), certificate()), 0, 1)
    officers.bring(1, "")
    view = officers.view()
    late = msgspec.structs.replace(view, now_s=float(BEGINS_S + days * DAY_S))
    trust = NodeTrust("de-1", Outcome.FRESH, late)
    wanted = placement()
    told = trust.refusal(wanted, accepted=False)
    # Nobody approved the model here, so that is what is said where the policy has no objection.
    assert told is not None
    assert (told[0] == "POLICY_EXPIRED") is (refused is not None)
    again = trust.refusal(wanted, accepted=True)
    assert again is None or again[0] != "POLICY_EXPIRED"
