"""An independent reader of the journal: what officers signed, what was wished, what must be so.

It reads committed records only and shares no code with the fold, so that what the controller made
of its records can be held against them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from holdfast_controller.journal.memory import MemoryJournal
from holdfast_controller.journal.port import Commit
from holdfast_controller.logic import facts, records
from holdfast_controller.logic.facts import AnyFact

from tests.sim.ceremony import ceremony
from tests.sim.ground import BrokenError


@dataclass
class Petition:
    """A request with the people whose signatures were verified here."""

    made: facts.RequestMade
    people: set[str] = field(default_factory=set)
    state: str = "pending"

    @property
    def needed(self) -> int:
        """How many officers the site's rules ask for, whatever the record says."""
        prefix = self.made.role.partition("-")[0]
        lifts = prefix == "no" and self.made.version > 1
        return 2 if prefix == "ok" or lifts else 1


@dataclass
class Witness:
    """What the journal says, read record by record."""

    journal: MemoryJournal
    petitions: dict[str, Petition] = field(default_factory=dict)
    approved: dict[str, str] = field(default_factory=dict)
    """Manifest digest to ``vendor/model@version``."""
    stored: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    wishes: dict[str, facts.DeploymentWished] = field(default_factory=dict)
    wished: set[tuple[str, str, int, tuple[str, ...]]] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    failed: dict[str, set[str]] = field(default_factory=dict)
    """Alias to the nodes where its model failed since it was wished."""
    placed: dict[tuple[str, str], facts.ReplicaPlaced] = field(default_factory=dict)
    apps: dict[str, facts.AppAsked] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    events: set[tuple[str, str, int]] = field(default_factory=set)
    _read: int = 0

    def look(self) -> None:
        """Read what was committed since the last look, and judge it."""
        for commit in self.journal.read_now(self._read, 10_000):
            self._read = commit.number
            self._commit(commit)

    def _commit(self, commit: Commit) -> None:
        for record in commit.records:
            fact = records.decode(record.body).fact
            self._trust(fact)
            self._serving(fact)

    def _trust(self, fact: AnyFact) -> None:
        match fact:
            case facts.RequestMade():
                if fact.id in self.petitions:
                    raise BrokenError("requests have one id", fact.id)
                self.petitions[fact.id] = Petition(made=fact)
            case facts.RequestSigned():
                self._signed(fact)
            case facts.RequestCommitted():
                self._committed(fact.id)
            case facts.RequestRejected():
                self.petitions[fact.id].state = "rejected"
            case facts.ModelAllowed():
                name = f"{fact.name}@{fact.version}"
                if self.approved.get(fact.digest) != name:
                    raise BrokenError("a model is approved by a request", f"{name} {fact.digest}")
            case facts.Denied():
                self.denied.add(fact.what)
                kind, _, name = fact.what.partition(":")
                if kind == "app":
                    self.revoked.add(name)
            case _:
                pass

    def _signed(self, fact: facts.RequestSigned) -> None:
        petition = self.petitions[fact.id]
        person = ceremony().person(fact.keyid)
        key = next(
            (o.daily for o in ceremony().officers if o.daily.public.keyid == fact.keyid), None
        )
        if person is None or key is None:
            raise BrokenError("only officers sign", f"{fact.id} by {fact.keyid}")
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public_hex))
        try:
            public.verify(bytes.fromhex(fact.signature), petition.made.payload)
        except InvalidSignature as error:
            raise BrokenError("signatures are over the payload", fact.id) from error
        petition.people.add(person)

    def _committed(self, request_id: str) -> None:
        petition = self.petitions[request_id]
        if petition.state != "pending" or len(petition.people) < petition.needed:
            raise BrokenError(
                "a request takes effect with its officers",
                f"{request_id} {petition.state} has {sorted(petition.people)}",
            )
        petition.state = "committed"
        if petition.made.kind in ("import", "allow"):
            name = petition.made.subject.removeprefix("allow/").removesuffix("/manifest.json")
            model, _, version = name.rpartition("/")
            self.approved[petition.made.about] = f"{model}@{version}"

    def _serving(self, fact: AnyFact) -> None:
        match fact:
            case facts.ImportStarted():
                self.imports.add(fact.id)
            case facts.ModelCommitted():
                self.stored.add(fact.digest)
            case facts.DeploymentWished():
                self.wishes[fact.alias] = fact
                self.wished.add((fact.alias, fact.name, fact.replicas, fact.zones))
                self.failed[fact.alias] = set()
            case facts.DeploymentWithdrawn():
                self.wishes.pop(fact.alias, None)
                self.withdrawn.add(fact.alias)
            case facts.ReplicaPlaced():
                self._placed(fact)
            case facts.ReplicaWithdrawn():
                if fact.reason == "failed" and fact.alias in self.failed:
                    self.failed[fact.alias].add(fact.node)
            case facts.AppAsked():
                self.apps[fact.name] = fact
                self.granted.discard(fact.name)
            case facts.AppGranted():
                self.granted.add(fact.name)
            case facts.EventRecorded():
                key = (fact.node, fact.boot, fact.number)
                if key in self.events:
                    raise BrokenError("an event is journalled once", str(key))
                self.events.add(key)
            case _:
                pass

    def _placed(self, fact: facts.ReplicaPlaced) -> None:
        key = (fact.node, fact.slot)
        if key in self.placed:
            raise BrokenError("a slot's name is used once", f"{fact.slot} on {fact.node}")
        self.placed[key] = fact
