"""``policy``: bundles written, checked, proposed; what is in force, why, and what would change."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from holdfast_protocol.api import Nothing, RequestMade
from holdfast_protocol.errors import TABLE, Code, HoldfastError
from holdfast_protocol.policing import (
    ExplainPolicy,
    PolicyAnswer,
    PolicyDecision,
    ProposePolicy,
    TryPolicy,
    WhatIfAnswer,
)

from holdfast_tui import invocation
from holdfast_tui.logic import policies
from holdfast_tui.verbs.commands_imports import waits

LOOK_S: Final = 30.0
"""The controller lets a checker look first, which takes up to half of this."""

app = typer.Typer()
policy = typer.Typer(help="The site's policy: bundles, decisions, what would change.")
app.add_typer(policy, name="policy")

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="manifest.json, schema, *.cedar, golden.json.")
]


@policy.command()
def show(ctx: typer.Context) -> None:
    """What is in force: serial, digest, dates, rules; and which node is behind."""
    one = invocation.of(ctx)
    answer = one.ask(
        lambda client: client.call("policy.show", Nothing(), PolicyAnswer, answer_s=LOOK_S)
    )
    one.show(answer, policies.standing(answer))


@policy.command()
def check(ctx: typer.Context, folder: Folder) -> None:
    """Tell whether a bundle is one: text, rules, golden decisions. Needs no site."""
    from holdfast_policy import checker
    from holdfast_policy.folder import read_folder
    from holdfast_policy.logic.bundle import document
    from holdfast_policy.logic.verdict import CheckAnswer, CheckRequest

    one = invocation.of(ctx)
    serial, digest = None, None
    try:
        bundle = read_folder(folder)
        serial, digest = bundle.manifest.serial, bundle.digest
        seen = checker.ask(CheckRequest(candidate=document(bundle)))
    except HoldfastError as error:
        if TABLE[error.code].exit_code == 2:
            raise
        seen = CheckAnswer(problems=(error.message,))
    verdict = policies.Verdict(
        ok=seen.ok,
        code=None if seen.ok else Code.POLICY_INVALID.value,
        serial=serial,
        digest=digest,
        rules=tuple(rule.id for rule in seen.rules),
        cases=seen.cases,
        problems=seen.problems,
    )
    one.show(verdict, policies.verdict(verdict))
    if not seen.ok:
        raise typer.Exit(4)


@policy.command()
def pack(
    ctx: typer.Context,
    folder: Folder,
    serial: Annotated[int, typer.Option(min=1, help="Above the policy in force.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="Its last day, YYYY-MM-DD.")],
    prev: Annotated[
        str | None,
        typer.Option(metavar="DIGEST", help="Of the policy in force: holdfast policy show."),
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Its first day; today.")
    ] = None,
) -> None:
    """Write a folder's manifest, and the product's own part where it is missing."""
    from holdfast_policy.folder import pack as packed

    one = invocation.of(ctx)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    dates = (_day_s(begin or today), _day_s(until) + policies.DAY_S)
    bundle = packed(folder, serial, prev, dates)
    one.show(
        {"serial": serial, "digest": bundle.digest, "manifest": str(folder / "manifest.json")},
        [f"Policy {serial} is {bundle.digest}. Next: holdfast policy check {folder}."],
    )


@policy.command()
def explain(
    ctx: typer.Context,
    application: Annotated[str, typer.Option("--app", help="The application that asks.")],
    alias: Annotated[str, typer.Option(help="What it asks.")],
    node: Annotated[str, typer.Option(help="Where it would be answered.")],
    residency: Annotated[str | None, typer.Option(help="As a request would narrow it.")] = None,
    classification: Annotated[str | None, typer.Option(help="[SCHEME:]LEVEL.")] = None,
    purpose: Annotated[str | None, typer.Option(help="One of the record's.")] = None,
) -> None:
    """May this application have this alias answered on this node, and by which rules?"""
    one = invocation.of(ctx)
    question = ExplainPolicy(
        app=application,
        alias=alias,
        node=node,
        residency=residency,
        classification=classification,
        purpose=purpose,
    )
    answer = one.ask(
        lambda client: client.call("policy.explain", question, PolicyDecision, answer_s=LOOK_S)
    )
    one.show(answer, policies.decision(answer))


@policy.command(name="what-if")
def what_if(ctx: typer.Context, folder: Folder) -> None:
    """Every decision that a bundle would change on this site today."""
    one = invocation.of(ctx)
    body = TryPolicy(bundle=_document(folder))
    answer = one.ask(
        lambda client: client.call("policy.what-if", body, WhatIfAnswer, answer_s=LOOK_S)
    )
    one.show(answer, policies.flips(answer))


@policy.command()
def propose(
    ctx: typer.Context,
    folder: Folder,
    acknowledge: Annotated[
        str,
        typer.Option(metavar="ID,...", help="Each decision that shall turn from deny to allow."),
    ] = "",
) -> None:
    """Ask two officers to bring a bundle into force."""
    one = invocation.of(ctx)
    named = tuple(word.strip() for word in acknowledge.split(",") if word.strip())
    body = ProposePolicy(bundle=_document(folder), acknowledge=named)
    made = one.ask(lambda client: client.call("policy.propose", body, RequestMade, answer_s=LOOK_S))
    one.show(made, waits(made))


def _document(folder: Path) -> bytes:
    from holdfast_policy.folder import read_folder
    from holdfast_policy.logic.bundle import document

    return document(read_folder(folder))


def _day_s(text: str) -> int:
    try:
        day = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise HoldfastError(Code.BAD_REQUEST, f"{text[:40]!a} is no day YYYY-MM-DD.") from error
    return int(day.timestamp())
