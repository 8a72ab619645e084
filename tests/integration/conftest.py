"""One site for all integration tests of a worker: founded, served, then broken and healed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.site import Site, tiny_stick

APP = "triage"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site with one imported, approved, deployed model and a granted application.

    ``tiny`` is served in Germany, ``french`` in France; ``triage`` is a German application that
    was granted both.
    """
    folder: Path = tmp_path_factory.mktemp("first-light")
    stick = tiny_stick(folder)
    made = Site(folder)
    made.ok("lab", "up", "--detach")
    try:
        serve(made, stick)
        yield made
    finally:
        made.ok("lab", "down")


def serve(site: Site, stick: Path) -> None:
    """Bring the model from the stick to an answer."""
    root = str(site.folder / "keys" / "root.json")
    trust = site.ok("vendor", "trust", "acme", root, who="officer-1")
    site.approve(trust["request"], "officer-1", "officer-2")
    asked = site.ok("import", str(stick), who="operator-1")
    site.approve(asked["request"], "officer-2", "officer-3")
    for alias, zone in (("tiny", "de"), ("french", "fr")):
        site.ok("deploy", "acme/tiny@1", "--alias", alias, "--zone", zone, "--wait", "60")
    grant = site.ok(
        "app", "create", APP, "--zone", "de", "--aliases", "tiny,french", who="operator-1"
    )
    site.approve(grant["request"], "officer-3")
