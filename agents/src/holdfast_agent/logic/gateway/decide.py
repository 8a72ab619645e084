"""Who may be asked: from an application's request to the legal candidates, or the refusal.

Everything rests on what this gateway verified itself: the application's record and the nodes'
certificates in its own view of the site's trust, and the controller's signed routes and grants.
Both must agree; either alone can only take away. The executing gateway decides again with the same
function.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from holdfast_policy.logic.labels import Label, Narrowing, ceiling, narrow
from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import AppFacts, ModelFacts, NodeFacts, Policy, Question
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import Operation, Route, RouteTarget

from holdfast_agent.logic.gateway.table import Table


class RecordFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An application's record: who it is, and its ceiling as written."""

    app: AppFacts
    residency: tuple[str, ...]
    classification: int | str
    purposes: tuple[str, ...]


class Trust(Protocol):
    """The site's trust as this gateway verified it; a value."""

    @property
    def usable(self) -> bool:
        """Whether there is a verified view at all."""
        ...

    def record(self, app: str) -> RecordFacts | None:
        """The application's record in force; None where there is none or it was revoked."""
        ...

    def node(self, node: str) -> NodeFacts | None:
        """What the node's certificate says; None where there is none or it was revoked."""
        ...

    def model_denied(self, digest: str) -> bool:
        """Whether an officer denied the model."""
        ...

    def exchange_key(self, node: str) -> bytes | None:
        """The node's X25519 public key; None without a certificate in force."""
        ...


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, by whom, for data labelled how."""

    zone: str
    app: str
    alias: str
    op: Operation
    narrowing: Narrowing


class Legal(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request may be answered; ``targets`` is never empty."""

    label: Label
    label_digest: str
    route: Route
    targets: tuple[RouteTarget, ...]


class Judge:
    """Decides by one policy and registry over the facts it is handed."""

    def __init__(self, policy: Policy, registry: Registry) -> None:
        self._policy = policy
        self._registry = registry

    def decide(self, asked: Asked, table: Table, trust: Trust, now_s: float) -> Legal:
        """Return where ``asked`` may be answered.

        Raises ``TRUST_STALE`` without a verified view, ``NOT_GRANTED``, ``LABEL_REFUSED``,
        ``NOT_LOADED``, ``OPERATION_UNSUPPORTED``, ``DENIED_MODEL``, ``NO_LEGAL_PLACEMENT``.
        """
        if not trust.usable:
            raise HoldfastError(Code.TRUST_STALE, "There is no verified view of the site's trust.")
        record = trust.record(asked.app)
        if not self._granted(asked, record, table) or record is None:
            raise HoldfastError(Code.NOT_GRANTED, f"{asked.alias} is not granted to {asked.app}.")
        label = self._label(record, asked.narrowing)
        route = table.routes.get(asked.alias)
        # Officers' word comes first: a denied model has no replica, but waiting brings none.
        denied = route is not None and trust.model_denied(route.digest)
        if route is None or not (route.targets or denied):
            raise HoldfastError(Code.NOT_LOADED, f"{asked.alias} has no replica.")
        if asked.op not in route.operations:
            raise HoldfastError(
                Code.OPERATION_UNSUPPORTED, f"{asked.alias} does not do {asked.op}."
            )
        if denied:
            raise HoldfastError(Code.DENIED_MODEL, f"The model of {asked.alias} is denied.")
        model = ModelFacts(digest=route.digest)
        targets = tuple(
            target
            for target in route.targets
            if target.zone == asked.zone
            and self._legal(asked, record, label, model, trust.node(target.node), now_s)
        )
        if not targets:
            raise HoldfastError(
                Code.NO_LEGAL_PLACEMENT, f"No replica of {asked.alias} may answer {asked.app}."
            )
        return Legal(label=label, label_digest=label.digest(), route=route, targets=targets)

    def _granted(self, asked: Asked, record: RecordFacts | None, table: Table) -> bool:
        return (
            record is not None
            and not record.app.denied
            and record.app.zone == asked.zone
            and asked.alias in record.app.aliases
            and table.granted(asked.app, asked.zone, asked.alias)
        )

    def _label(self, record: RecordFacts, said: Narrowing) -> Label:
        top = ceiling(self._registry, record.residency, record.classification, record.purposes)
        return narrow(self._registry, top, said)

    def _legal(
        self,
        asked: Asked,
        record: RecordFacts,
        label: Label,
        model: ModelFacts,
        node: NodeFacts | None,
        now_s: float,
    ) -> bool:
        if node is None:
            return False
        question = Question(
            act="infer",
            app=record.app,
            alias=asked.alias,
            label=label,
            node=node,
            model=model,
            now_s=now_s,
        )
        return self._policy.decide(question).allowed
