"""Denials at the agent: heard at once, kept over restarts, read from the site's real files."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_agent.logic import io
from holdfast_agent.logic.trust import NodeTrust
from holdfast_bundles import manifest
from holdfast_bundles.site import Outcome, propose_node, propose_withdraw
from holdfast_bundles.site.names import deny_target
from msgspec.structs import replace

from tests.unit.agent.core_world import Agent, Trust, digest, placement
from tests.unit.bundles.site_world import NOW, certificate, new_site
from tests.unit.bundles.test_documents import GOOD
from tests.unit.bundles.test_documents import digest as part


def test_news_are_fetched_at_once_even_right_after_other_news() -> None:
    agent = Agent()
    for snapshot in (2, 3, 4):
        before = len(agent.asked(io.RefreshTrust))
        document = agent.document(snapshot, placement(), snapshot=snapshot)
        [stored] = agent.tell(io.DesiredArrived(document=document))
        assert isinstance(stored, io.StoreDesired)
        agent.tell(io.DesiredStored(digest=stored.digest))
        assert len(agent.asked(io.RefreshTrust)) == before + 1, "no clock has moved"
        agent.tell(io.TrustRefreshed(view=Trust(snapshot=snapshot, approved={digest("chat")})))


def test_an_announced_trust_that_is_not_there_is_asked_for_once_a_second() -> None:
    agent = Agent()
    document = agent.document(2, placement(), snapshot=9)
    [stored] = agent.tell(io.DesiredArrived(document=document))
    assert isinstance(stored, io.StoreDesired)
    agent.tell(io.DesiredStored(digest=stored.digest))
    answered = 0
    for _ in range(50):
        if len(agent.asked(io.RefreshTrust)) > answered:
            answered += 1
            agent.tell(io.TrustRefreshed(view=Trust(snapshot=1)))
        agent.tick(0.1)
    assert 4 <= answered <= 7


def test_a_restart_does_not_load_what_was_accepted_and_then_denied() -> None:
    denied = Trust(snapshot=2, outcome="offline_ok", denials={digest("chat")})
    agent = Agent(denied, accepted={digest("chat")})
    agent.desire(1, placement())
    for _ in range(100):
        agent.tick(2.0)
        agent.tell(io.TrustRefreshed(view=denied))
    assert not agent.asked(io.Fetch)
    assert not agent.asked(io.StartEngine)
    lifted = Trust(snapshot=3, approved={digest("chat")})
    agent.tell(io.TrustRefreshed(view=lifted))
    assert agent.asked(io.Fetch), "a lifted denial needs nobody to deploy again"


@pytest.mark.parametrize("what", ["node:de-1", "model", part(2), part(9)])
def test_the_real_files_stop_what_runs_here(tmp_path: Path, what: str) -> None:
    site = new_site()
    site.commit(propose_node(site.at(), certificate("de-1")), 0, 1)
    model = site.allow("acme/chat", "1", manifest.to_bytes(GOOD))
    served = replace(placement(), manifest_digest=model)
    what = model if what == "model" else what
    trust = site.trust(tmp_path)

    def read() -> NodeTrust:
        site.publish()
        outcome = trust.refresh(site.fetch, NOW).outcome
        return NodeTrust("de-1", outcome, trust.view(NOW))

    before = read()
    assert (before.denied(served), before.refusal(served, False)) == (False, None)
    site.deny(what)
    denied = read()
    restarted = NodeTrust("de-1", Outcome.OFFLINE_OK, site.trust(tmp_path).view(NOW))
    for view in (denied, restarted):
        assert view.denied(served)
        assert view.refusal(served, True) is not None
    site.commit(propose_withdraw(site.at(), "no", deny_target(what)), 0, 1)
    lifted = read()
    assert (lifted.denied(served), lifted.refusal(served, False)) == (False, None)
