"""A denial of a blob or an ancestor stops every approved model that is made of it, on the node."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_bundles import manifest
from holdfast_bundles.site import Outcome, may_load, propose_withdraw
from holdfast_bundles.site.names import deny_target
from holdfast_protocol.errors import Code

from tests.unit.bundles.site_world import NOW, new_site
from tests.unit.bundles.test_documents import GOOD, digest

NAME = "acme/llm@1.0"
MADE_OF = {
    "config": 1,
    "weights": 2,
    "document": 3,
    "bom": 4,
    "chunks": 5,
    "probes": 6,
    "parent": 9,
}


@pytest.mark.parametrize("number", MADE_OF.values(), ids=MADE_OF)
def test_each_part_denies_the_whole_and_two_lift_it(tmp_path: Path, number: int) -> None:
    site = new_site()
    model = site.allow("acme/llm", data=manifest.to_bytes(GOOD))
    site.deny(digest(8))
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    view = trust.view(NOW)
    assert may_load(view, Outcome.FRESH, NAME, model, accepted=True).allowed
    assert not view.denied_model(model)

    site.deny(digest(number))
    site.publish()
    trust.refresh(site.fetch, NOW)
    for view in (trust.view(NOW), site.trust(tmp_path).view(NOW)):
        assert view.denied_model(model)
        for accepted in (False, True):
            said = may_load(view, Outcome.FRESH, NAME, model, accepted)
            assert (said.allowed, said.stop, said.code) == (False, True, Code.DENIED_MODEL)

    site.commit(propose_withdraw(site.at(), "no", deny_target(digest(number))), 0, 1)
    site.publish()
    trust.refresh(site.fetch, NOW)
    view = trust.view(NOW)
    assert may_load(view, Outcome.FRESH, NAME, model, accepted=False).allowed
    assert not view.denied_model(model)


def test_what_is_no_manifest_is_made_of_nothing(tmp_path: Path) -> None:
    site = new_site()
    model = site.allow("acme/llm", data=b"{}")
    site.publish()
    trust = site.trust(tmp_path)
    trust.refresh(site.fetch, NOW)
    assert not trust.view(NOW).denied_model(model)
