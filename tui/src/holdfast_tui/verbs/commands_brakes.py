"""``revoke``, ``model``, ``node``: what must not run any more, and what shall move away."""

from __future__ import annotations

from typing import Annotated

import typer
from holdfast_protocol import ids
from holdfast_protocol.api import LiftModel, NodeCall, RequestMade, RevokeModel, RevokeNode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.views import NodesAnswer

from holdfast_tui import invocation
from holdfast_tui.invocation import Invocation
from holdfast_tui.logic import listings
from holdfast_tui.verbs.commands_imports import waits
from holdfast_tui.verbs.commands_site import nodes

app = typer.Typer()
model = typer.Typer(help="Models: denied, and denied no longer.")
node = typer.Typer(help="Nodes: in service, out of service, revoked.")
app.add_typer(model, name="model")

Digest = Annotated[
    str, typer.Argument(metavar="DIGEST", help="sha256:… of a manifest, a blob or an ancestor.")
]
Node = Annotated[str, typer.Argument(metavar="ID", help="The node.")]
Reason = Annotated[str, typer.Option(help="Why; it is signed with the denial.")]
Lift = Annotated[bool, typer.Option("--lift", help="Take the denial back; takes two officers.")]


def revoke_model(
    ctx: typer.Context, digest: Digest, reason: Reason = "", lift: Lift = False
) -> None:
    """Deny a model everywhere; --lift takes that back."""
    one = invocation.of(ctx)
    digest = ids.digest(digest)
    if lift:
        _no_reason(reason)
        taken_back = LiftModel(digest=digest)
        made = one.ask(lambda client: client.call("models.lift", taken_back, RequestMade))
    else:
        denied = RevokeModel(digest=digest, reason=reason)
        made = one.ask(lambda client: client.call("models.revoke", denied, RequestMade))
    one.show(made, waits(made))


# The contract has both spellings; in a hurry nobody should have to remember which.
app.command(name="revoke")(revoke_model)
model.command(name="revoke")(revoke_model)

node.command(name="list")(nodes)


@node.command()
def cordon(ctx: typer.Context, name: Node) -> None:
    """Let nothing new go to a node; what runs there goes on."""
    _duty(invocation.of(ctx), "cordon", name)


@node.command()
def uncordon(ctx: typer.Context, name: Node) -> None:
    """Let a node take new replicas again."""
    _duty(invocation.of(ctx), "uncordon", name)


@node.command()
def drain(ctx: typer.Context, name: Node) -> None:
    """Move everything away from a node; each replica goes once another answers in its place."""
    _duty(invocation.of(ctx), "drain", name)


@node.command(name="revoke")
def revoke_node(ctx: typer.Context, name: Node, reason: Reason = "", lift: Lift = False) -> None:
    """Take a node out for good; --lift lets it back in."""
    one = invocation.of(ctx)
    name = ids.token(name, "node")
    if lift:
        _no_reason(reason)
        back = NodeCall(node=name)
        made = one.ask(lambda client: client.call("nodes.lift", back, RequestMade))
    else:
        out = RevokeNode(node=name, reason=reason)
        made = one.ask(lambda client: client.call("nodes.revoke", out, RequestMade))
    one.show(made, waits(made))


def _duty(one: Invocation, verb: str, name: str) -> None:
    call = NodeCall(node=ids.token(name, "node"))
    answer = one.ask(lambda client: client.call(f"nodes.{verb}", call, NodesAnswer))
    one.show(answer, listings.nodes(answer.nodes).lines())


def _no_reason(reason: str) -> None:
    if reason:
        raise HoldfastError(Code.BAD_REQUEST, "A denial that is lifted keeps no reason.")
