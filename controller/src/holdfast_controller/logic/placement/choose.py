"""The placement decision: hard filters, each with its own reason, then the best fit.

Pure and total: the same need and candidates give the same choice in any order, and every node that
was not possible is named with the one constraint that failed first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, assert_never

import msgspec
from holdfast_protocol.api import Rejection

from holdfast_controller.logic import facts
from holdfast_controller.logic.placement.candidates import Candidate, Room

FORMATS: Final = {"xllamacpp": ("gguf",), "llama-server": ("gguf",), "vllm": ("safetensors",)}
"""By engine: the weight formats it loads."""

LEGAL_CONSTRAINTS: Final = frozenset(
    {"denied", "not-approved", "node-denied", "certificate", "certificate-expired", "zone"}
    | {"jurisdiction"}
)
"""Constraints that no amount of memory lifts."""

_UNFIT_TRUST: Final = ("STALE", "EXPIRED", "DAMAGED", "CLOCK_BEHIND")


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One replica that is wanted; ``territory`` is the jurisdiction of ``zone``."""

    alias: str
    zone: str
    territory: str
    approved: bool
    denied: bool
    format: str
    engine: str
    claim_bytes: int
    avoid_nodes: tuple[str, ...] = ()
    """Nodes where this model failed for this wish."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Where the replica goes, and the room the decision rested on."""

    node: str
    device: str
    zone: str
    claim_bytes: int
    free_bytes: int


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A choice, or none; with the constraint of every node that could not be chosen."""

    choice: Choice | None
    rejections: tuple[Rejection, ...]


class _Fails(NamedTuple):
    constraint: str
    sentence: str


def choose(need: Need, candidates: Sequence[Candidate]) -> Decision:
    """Return where ``need`` goes among ``candidates``.

    Best fit: the device with the least room left over, so that large rooms stay whole; GPUs before
    CPUs; ties by node, then device. A node holds at most one replica of an alias.
    """
    rejections: list[Rejection] = []
    possible: list[tuple[Candidate, Room]] = []
    for candidate in sorted(candidates, key=lambda each: each.node):
        failed = _first_failure(need, candidate)
        if failed is None:
            possible += [(candidate, room) for room in _rooms(need, candidate)]
        else:
            rejections.append(
                Rejection(
                    node=candidate.node, constraint=failed.constraint, sentence=failed.sentence
                )
            )
    if not possible:
        return Decision(choice=None, rejections=tuple(rejections))
    best, room = min(possible, key=lambda pair: _score(need, *pair))
    choice = Choice(
        node=best.node,
        device=room.uuid,
        zone=need.zone,
        claim_bytes=need.claim_bytes,
        free_bytes=room.free_bytes,
    )
    return Decision(choice=choice, rejections=tuple(rejections))


def may_stay(need: Need, node: str, certificate: facts.NodeCertified | None, denied: bool) -> bool:
    """Tell whether a replica may go on where it runs: its model and its node's certificate.

    Dates stop new loads, never what runs, so an expired certificate is no reason to withdraw.
    """
    candidate = Candidate(
        node=node,
        status="ok",
        certificate=certificate,
        expired=False,
        denied=denied,
        reported_jurisdiction="",
        trust="",
        engine="",
        rooms=(),
        aliases=frozenset(),
    )
    return all(filter_(need, candidate) is None for filter_ in _LEGAL)


def _score(need: Need, candidate: Candidate, room: Room) -> tuple[int, int, str, str]:
    last_resort = 1 if room.kind == "cpu" else 0
    return (last_resort, room.free_bytes - need.claim_bytes, candidate.node, room.uuid)


def _rooms(need: Need, candidate: Candidate) -> list[Room]:
    return [
        room
        for room in candidate.rooms
        if room.health == "ok" and room.free_bytes >= need.claim_bytes
    ]


def _first_failure(need: Need, candidate: Candidate) -> _Fails | None:
    for filter_ in (*_LEGAL, *_FITTING):
        failed = filter_(need, candidate)
        if failed is not None:
            return failed
    return None


def _model(need: Need, _: Candidate) -> _Fails | None:
    if need.denied:
        return _Fails("denied", "The model is denied by an officer.")
    if not need.approved:
        return _Fails("not-approved", "The model is not approved for this site.")
    return None


def _certificate(need: Need, candidate: Candidate) -> _Fails | None:
    node = candidate.node
    if candidate.denied:
        return _Fails("node-denied", f"{node} is revoked by an officer.")
    if candidate.certificate is None:
        return _Fails("certificate", f"{node} has no site certificate.")
    if candidate.expired:
        return _Fails("certificate-expired", f"The site certificate of {node} has expired.")
    if need.zone not in candidate.certificate.zones:
        zones = ", ".join(candidate.certificate.zones)
        return _Fails("zone", f"{node} is certified for zone {zones}, not for {need.zone}.")
    return None


def _territory(need: Need, candidate: Candidate) -> _Fails | None:
    assert candidate.certificate is not None  # the certificate's filter comes first
    where = candidate.certificate.jurisdiction
    if where != need.territory and not where.startswith(f"{need.territory}-"):
        return _Fails(
            "jurisdiction",
            f"{candidate.node} stands in {where}; zone {need.zone} is {need.territory}.",
        )
    return None


def _state(_: Need, candidate: Candidate) -> _Fails | None:
    if candidate.status not in ("ok", "late"):
        return _Fails("node-state", f"{candidate.node} is {candidate.status}.")
    return None


def _duty(_: Need, candidate: Candidate) -> _Fails | None:
    match candidate.duty:
        case "in-service":
            return None
        case "cordoned":
            return _Fails("cordoned", f"{candidate.node} is cordoned: nothing new goes there.")
        case "draining":
            return _Fails("draining", f"{candidate.node} is being drained: nothing new goes there.")
        case _:
            assert_never(candidate.duty)


def _claims_to_be(_: Need, candidate: Candidate) -> _Fails | None:
    signed = candidate.certificate
    if signed is not None and candidate.reported_jurisdiction not in ("", signed.jurisdiction):
        return _Fails(
            "jurisdiction-reported",
            f"{candidate.node} reports {candidate.reported_jurisdiction}, "
            f"but is certified for {signed.jurisdiction}.",
        )
    return None


def _trust(_: Need, candidate: Candidate) -> _Fails | None:
    if candidate.trust.upper() in _UNFIT_TRUST:
        return _Fails("trust", f"The site trust of {candidate.node} is {candidate.trust.lower()}.")
    return None


def _engine(need: Need, candidate: Candidate) -> _Fails | None:
    if need.format not in FORMATS.get(need.engine, ()):
        return _Fails("format", f"Engine {need.engine} does not load {need.format} files.")
    if candidate.engine.split(" ")[0] != need.engine:
        has = candidate.engine or "no engine"
        return _Fails("engine", f"{candidate.node} runs {has}, not {need.engine}.")
    return None


def _apart(need: Need, candidate: Candidate) -> _Fails | None:
    if need.alias in candidate.aliases:
        return _Fails("one-per-node", f"{candidate.node} holds a replica of {need.alias} already.")
    if candidate.node in need.avoid_nodes:
        return _Fails("failed-here", f"{need.alias} failed on {candidate.node} before.")
    return None


def _health(_: Need, candidate: Candidate) -> _Fails | None:
    if not candidate.rooms:
        return _Fails("device", f"{candidate.node} reports no device.")
    if all(room.health != "ok" for room in candidate.rooms):
        worst = ", ".join(sorted({room.health for room in candidate.rooms}))
        return _Fails("device-health", f"No device of {candidate.node} is healthy: {worst}.")
    return None


def _memory(need: Need, candidate: Candidate) -> _Fails | None:
    rooms = [room for room in candidate.rooms if room.health == "ok"]
    best = max(rooms, key=lambda room: (room.free_bytes, room.uuid))
    if best.free_bytes < need.claim_bytes:
        return _Fails(
            "memory",
            f"{candidate.node} has {_mib(best.free_bytes)} MiB free on its best device of "
            f"{_mib(best.total_bytes)} MiB; {_mib(need.claim_bytes)} MiB are needed.",
        )
    return None


def _mib(size_bytes: int) -> int:
    return size_bytes // (1024 * 1024)


_Filter = Callable[[Need, Candidate], _Fails | None]
_LEGAL: Final[tuple[_Filter, ...]] = (_model, _certificate, _territory)
_FITTING: Final[tuple[_Filter, ...]] = (
    _state, _duty, _claims_to_be, _trust, _engine, _apart, _health, _memory,
)  # fmt: skip
