"""Officers, operators and their mishaps: scripted by the dice, through the API and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec
from holdfast_bundles.site import RequestSignature, sign_payload
from holdfast_controller.logic import io
from holdfast_protocol import api
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.views import ModelsAnswer

from tests.sim.ceremony import OFFICERS, OPERATORS, ZONES, Officer, ceremony
from tests.sim.ground import Ground
from tests.sim.models import BROKEN, MODELS, STICKS, UNTRUSTED, VENDOR, VENDOR_ROOT
from tests.sim.network import Hub
from tests.vendor_roots import vendor_root

ALIASES = ("chat", "code", "mail", "sums")
APPS = ("desk", "mailer")
PEOPLE = "people"


@dataclass
class People:
    """Everybody who asks the controller for something."""

    ground: Ground
    hub: Hub
    harmless: bool = False
    """Once the faults are over: officers approve what waits, nobody wishes anything new."""
    founding: bool = True
    """Whether the site begins from nothing: sticks and applications arrive."""

    def start(self) -> None:
        """Begin to act, each in a rhythm of their own."""
        for officer in ceremony().officers:
            self.ground.after(self.ground.dice.random() * 3.0, partial(self._officer, officer))
        for who in OPERATORS:
            self.ground.after(self.ground.dice.random() * 3.0, partial(self._operator, who))

    def trust_vendor(self) -> None:
        """Ask to trust the vendor of good sticks."""
        body = api.TrustVendor(vendor=VENDOR, root=VENDOR_ROOT)
        self.call((OFFICERS[0], "vendors", "trust"), body)

    def insert(self, path: str) -> None:
        """Ask to import the stick at ``path``."""
        self.call((OPERATORS[0], "imports", "start"), api.StartImportCall(path=path))

    def call(
        self,
        name: tuple[str, str, str],
        body: msgspec.Struct,
        answered: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """Ask as ``name`` (who, resource, verb); ``answered`` gets what is no error."""
        who, resource, verb = name

        def make(call: int) -> io.AnyInput:
            return io.ApiCalled(call=call, who=who, resource=resource, verb=verb, body=encode(body))

        def heard(answer: bytes) -> None:
            said = decode(answer, _Said).error
            self.ground.note(f"{who} {resource}.{verb} {'ok' if said is None else said.code}")
            if said is None:
                answered(answer)

        self.hub.ask(PEOPLE, make, heard)

    # ------------------------------------------------------------ officers

    def _officer(self, officer: Officer) -> None:
        rest_s = 5.0 if self.founding or self.harmless else 15.0
        self.ground.after(1.0 + self.ground.dice.random() * rest_s, partial(self._officer, officer))
        if self.founding and not self.harmless and self.ground.chance(0.15):
            self._wish(officer)
            return

        def listed(answer: bytes) -> None:
            requests = decode(answer, api.RequestsAnswer).requests
            waiting = [r for r in requests if r.state == "pending"]
            mine = [r for r in waiting if officer.name not in r.signed_by]
            if not self.harmless and self.ground.chance(0.2):
                mine = waiting  # whoever does not look closely signs twice
            if mine:
                self._decide(officer, self.ground.dice.choice(mine))

        self.call((officer.name, "requests", "list"), api.Nothing(), listed)

    def _wish(self, officer: Officer) -> None:
        dice = self.ground.dice
        if dice.random() < 0.5:
            vendor, root = (
                (VENDOR, VENDOR_ROOT) if dice.random() < 0.8 else (UNTRUSTED, vendor_root(1))
            )
            body = api.TrustVendor(vendor=vendor, root=root)
            self.call((officer.name, "vendors", "trust"), body)
        elif dice.random() < 0.4:
            self.call((officer.name, "apps", "revoke"), api.AppQuery(name=dice.choice(APPS)))

    def _decide(self, officer: Officer, request: api.RequestView) -> None:
        if UNTRUSTED in request.subject:
            body = api.RejectRequest(id=request.id, reason="not this one")
            self.call((officer.name, "requests", "reject"), body)
            return

        def shown(answer: bytes) -> None:
            payload = decode(answer, api.RequestDetail).payload
            signature = self._signature(officer, payload)
            body = api.SignRequest(
                id=request.id,
                sha256=signature.sha256,
                keyid=signature.keyid,
                signature=signature.signature,
            )
            self.call((officer.name, "requests", "sign"), body)

        query = api.RequestQuery(id=request.id)
        self.call((officer.name, "requests", "show"), query, shown)

    def _signature(self, officer: Officer, payload: bytes) -> RequestSignature:
        """Return a signature, once in a while one that must not count."""
        good = officer.sign(payload)
        if self.harmless or not self.ground.chance(0.25):
            return good
        match self.ground.dice.randrange(3):
            case 0:  # somebody who is no officer
                stranger = ceremony().stranger
                return RequestSignature(
                    keyid=stranger.public.keyid,
                    sha256=good.sha256,
                    signature=stranger.sign(payload),
                )
            case 1:  # over other bytes, but said to be over these
                return RequestSignature(
                    keyid=good.keyid,
                    sha256=good.sha256,
                    signature=officer.daily.sign(payload + b" "),
                )
            case _:  # the key from the safe
                return sign_payload(payload, officer.root)

    # ------------------------------------------------------------ operators

    def _operator(self, who: str) -> None:
        self.ground.after(1.0 + self.ground.dice.random() * 7.0, partial(self._operator, who))
        if self.harmless:
            return
        dice = self.ground.dice
        roll = dice.random()
        if self.founding and roll < 0.3:
            self.insert(dice.choice(sorted(STICKS)))
        elif self.founding and roll < 0.4:
            self._create_app(who)
        elif roll < 0.8:
            self.call((who, "models", "list"), api.Nothing(), lambda a: self._deploy(who, a))
        else:
            body = api.AliasCall(alias=dice.choice(ALIASES))
            self.call((who, "deployments", "undeploy"), body)

    def _deploy(self, who: str, answer: bytes) -> None:
        dice = self.ground.dice
        listed = [f"{m.name}@{m.version}" for m in decode(answer, ModelsAnswer).models]
        if dice.random() < 0.1:
            listed = sorted(one.reference for one in MODELS.values())
        if dice.random() < 0.8:
            listed = [one for one in listed if not one.startswith(BROKEN)]
        if not listed:
            return
        zones = tuple(zone for zone in ZONES if dice.random() < 0.6)
        body = api.DeployCall(
            model=dice.choice(listed),
            alias=dice.choice(ALIASES),
            zones=zones,
            replicas=dice.choice((1, 1, 2)),
        )
        self.call((who, "deployments", "deploy"), body)

    def _create_app(self, who: str) -> None:
        name = self.ground.dice.choice(APPS)
        body = api.CreateApp(
            name=name,
            zone=self.ground.dice.choice(sorted(ZONES)),
            aliases=("chat",),
            user_public="U" + name.upper() + "A" * 40,
            csr=b"csr",
            classification=self.ground.dice.choice(("0", "2")),
        )
        self.call((who, "apps", "create"), body)


class _Said(msgspec.Struct, frozen=True):
    error: api.ErrorDetail | None = None
