"""``python -m tests.console.demo [--plain] [--nodes N]``: the console over a small made-up site.

For looking at it by eye; nothing of it is a real site.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec
from holdfast_protocol.views import DeploymentView, ModelView, ReplicaView
from holdfast_tui.console.app import Console
from holdfast_tui.console.feed import Feed
from holdfast_tui.console.profile import FULL, PLAIN
from holdfast_tui.invocation import Invocation

from tests.console.demo_site import DIGEST, GIB, DemoSite, gpu, node


def furnished(nodes: int = 3) -> DemoSite:
    """Return a site with something of everything, not all of it well."""
    site = DemoSite()
    site.nodes = [node("de-1"), node("de-2", gateway="down"), node("fr-1", state="late", age_s=3.1)]
    site.nodes += [node(f"de-{n}") for n in range(4, nodes + 1)]
    site.gpus = [
        gpu("GPU-11111111-2222-3333-4444-555555555555", "de-1"),
        gpu("GPU-11111111-2222-3333-4444-666666666666", "de-1", state="degraded"),
        gpu("GPU-77", "fr-1", memory_used_bytes=None, temperature_c=None, power_mw=None),
    ]
    site.models = [_model("tiny", "approved"), _model("mid", "quarantined")]
    site.deployments = [_serving(), _loading(), _nowhere()]
    site.propose_vendor("acme", site.world.pinned)
    site.propose_vendor("beta", site.world.pinned)
    site.requests["r-2"] = msgspec.structs.replace(site.requests["r-2"], state="rejected")
    site.findings = ("de-2: its gateway is down.", "fr-1 is late.")
    for n in range(1, 40):
        site.event("NodeSeen", f"de-{n % 3 + 1}", f"de-{n % 3 + 1} was heard again.")
    return site


def _model(name: str, state: str) -> ModelView:
    return ModelView(
        name=f"acme/{name}",
        version="1.0",
        digest=DIGEST,
        state=state,  # type: ignore[arg-type]  # a test's short hand
        size_bytes=3 * GIB,
        license="Apache-2.0",
        operations=("chat", "complete"),
        parents=(),
    )


def _replica(node_id: str, state: str, **more: object) -> ReplicaView:
    view = ReplicaView(
        node=node_id,
        device="GPU-77",
        generation=3,
        state=state,
        zone=node_id[:2],
        code=None,
        message=None,
        in_flight=2,
        bytes_done=None,
        bytes_total=None,
    )
    return msgspec.structs.replace(view, **more)


def _serving() -> DeploymentView:
    return DeploymentView(
        alias="chat-small",
        model="acme/tiny",
        version="1.0",
        digest=DIGEST,
        state="ready",
        zones=("de",),
        replicas_wanted=1,
        replicas=(_replica("de-1", "ready"),),
        reason=None,
    )


def _loading() -> DeploymentView:
    return msgspec.structs.replace(
        _serving(),
        alias="embed-small",
        state="loading",
        replicas=(_replica("de-2", "fetching", bytes_done=41, bytes_total=100, in_flight=0),),
        reason="Its replicas are fetching.",
    )


def _nowhere() -> DeploymentView:
    return msgspec.structs.replace(
        _serving(),
        alias="judge",
        state="pending",
        zones=("fr",),
        replicas=(),
        reason="No node takes it in fr. fr-1 has 2.0 GiB free; 8.0 GiB are needed.",
    )


def main() -> None:
    """Run the console until it is left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--nodes", type=int, default=3)
    given = parser.parse_args()
    site = furnished(given.nodes)
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "creds" / "operator-1").mkdir(parents=True)
        one = Invocation(connect=site.connect, site_folder=Path(root))
        Console(Feed(one), "operator-1", PLAIN if given.plain else FULL).run(mouse=False)


if __name__ == "__main__":
    main()
