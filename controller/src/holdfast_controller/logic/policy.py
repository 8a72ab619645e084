"""The policy as the controller knows it: what is in force, and questions about the site.

Everything comes from files that officers signed: the application's record, the node's certificate,
the bundle. Cedar never runs in this process; the checker decides in one of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from holdfast_bundles.site import metadata, names
from holdfast_bundles.site.entries import Document, entries
from holdfast_bundles.site.facts import app_facts, node_facts
from holdfast_bundles.site.model import AppRecord, SiteCertificate, within_defaults
from holdfast_policy.logic.bundle import PolicyBundle, document
from holdfast_policy.logic.labels import Label, Narrowing, ceiling, narrow
from holdfast_policy.logic.registry import Registry, of_zones
from holdfast_policy.port import ModelFacts, Question
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import WHAT_IF_QUESTIONS

from holdfast_controller.logic.facts import PolicyAdopted
from holdfast_controller.logic.state import State

ENDS_SOON_S: Final = 14 * 24 * 3600


def serial(state: State) -> int:
    """Return the serial of the policy in force; 0 is the product's own."""
    return 0 if state.policy is None else state.policy.serial


def expired(policy: PolicyAdopted | None, now_s: float) -> bool:
    """Tell whether the policy's date has passed: grants and new models stop, what runs goes on."""
    return policy is not None and now_s >= policy.not_after_s


def in_date(state: State, now_s: float) -> None:
    """Raise ``POLICY_EXPIRED`` where nothing new may begin."""
    if expired(state.policy, now_s):
        raise HoldfastError(
            Code.POLICY_EXPIRED, f"Policy {serial(state)} has passed its date; nothing new begins."
        )


def bundle_in_force(state: State) -> bytes | None:
    """Return the document of the bundle in force; None is the product's own policy."""
    if state.policy is None:
        return None
    held = _document(state, "ok", names.POLICY_TARGET)
    assert isinstance(held, PolicyBundle), "it was read before it was accepted"
    return document(held)


def record(state: State, app: str) -> AppRecord | None:
    """Return the application's record that stands, denied or not; None where there is none."""
    target = names.app_target(app)
    wide = _document(state, "ok", target)
    if isinstance(wide, AppRecord):
        return wide
    narrow_one = _document(state, "ap", target)
    zones = state.founded().zones
    if isinstance(narrow_one, AppRecord) and within_defaults(narrow_one, zones):
        return narrow_one
    return None


def certificate(state: State, node: str) -> SiteCertificate | None:
    """Return the node's site certificate, denied or not; None where there is none."""
    held = _document(state, "ok", names.node_target(node))
    return held if isinstance(held, SiteCertificate) else None


def question(state: State, place: Place, said: Narrowing, now_s: float) -> Question:
    """Return the question of a request for ``place``.

    Raises ``NOT_FOUND`` for what there is not, ``LABEL_REFUSED`` for a label that widens.
    """
    return Files(state).question(place, said, now_s)


class Place(NamedTuple):
    """Who asks what, where it would be answered."""

    app: str
    alias: str
    node: str


class Files:
    """The officers' documents of one moment, each read once: reading verifies, and is slow."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._registry = of_zones(state.founded().zones)
        self._apps: dict[str, AppRecord | None] = {}
        self._nodes: dict[str, SiteCertificate | None] = {}

    def record(self, app: str) -> AppRecord | None:
        """Return the application's record that stands, denied or not; None without one."""
        if app not in self._apps:
            self._apps[app] = record(self._state, app)
        return self._apps[app]

    def certificate(self, node: str) -> SiteCertificate | None:
        """Return the node's site certificate, denied or not; None without one."""
        if node not in self._nodes:
            self._nodes[node] = certificate(self._state, node)
        return self._nodes[node]

    def question(self, place: Place, said: Narrowing, now_s: float) -> Question:
        """Return the question for ``place``; raises as :func:`question`."""
        denied = self._state.denied
        signed, certified = self.record(place.app), self.certificate(place.node)
        if signed is None:
            raise HoldfastError(Code.NOT_FOUND, f"There is no application {place.app[:80]!a}.")
        if certified is None:
            raise HoldfastError(Code.NOT_FOUND, f"There is no node {place.node[:80]!a}.")
        return Question(
            act="infer",
            app=app_facts(signed, denied=f"app:{place.app}" in denied),
            alias=place.alias,
            label=narrow(self._registry, _ceiling(self._registry, signed), said),
            node=node_facts(certified, denied=f"node:{place.node}" in denied),
            model=_model(self._state, place.alias),
            now_s=now_s,
        )


def live(state: State, now_s: float) -> Iterator[tuple[str, Question]]:
    """Yield what applications may ask today, by ``APP/ALIAS/NODE``: live placements times aliases.

    Raises ``TOO_LARGE`` for more than one look can decide.
    """
    files, by_alias = Files(state), state.replicas_by_alias()
    number = 0
    for app in sorted(state.apps):
        signed = files.record(app) if state.apps[app].granted else None
        for alias in () if signed is None else sorted(signed.aliases):
            nodes = sorted({replica.placed.node for replica in by_alias.get(alias, ())})
            for node in nodes:
                number += 1
                if number > WHAT_IF_QUESTIONS:
                    raise HoldfastError(
                        Code.TOO_LARGE, f"More than {WHAT_IF_QUESTIONS} placements would be asked."
                    )
                asked = files.question(Place(app, alias, node), Narrowing(), now_s)
                yield f"{app}/{alias}/{node}", asked


def findings(state: State, now_s: float) -> Iterator[str]:
    """Yield what is not well with the policy's dates."""
    policy = state.policy
    if policy is None:
        return
    if expired(policy, now_s):
        yield f"Policy {policy.serial} has passed its date: no grants and no new models."
    elif policy.not_after_s - now_s < ENDS_SOON_S:
        days = int((policy.not_after_s - now_s) // (24 * 3600))
        yield f"Policy {policy.serial} ends in {days} days; officers must bring the next one."


def _ceiling(registry: Registry, signed: AppRecord) -> Label:
    return ceiling(registry, signed.residency, signed.classification, signed.purposes)


def _model(state: State, alias: str) -> ModelFacts:
    deployment = state.deployments.get(alias)
    if deployment is None:
        raise HoldfastError(Code.NOT_FOUND, f"There is no deployment {alias[:80]!a}.")
    model = state.models.get(deployment.wish.digest)
    denied = model is None or state.is_denied(model)
    return ModelFacts(digest=deployment.wish.digest, denied=denied)


def _document(state: State, prefix: names.Prefix, target: str) -> Document | None:
    role = names.bin_of(prefix, target)
    if role not in state.versions:
        return None
    signed = metadata.read_role(role, _file(state, role), state.founded().name).signed
    return next((e.document for e in entries(role, signed) if e.path == target), None)


def _file(state: State, role: str) -> bytes:
    return state.files[f"{state.versions[role]}.{role}.json"]
