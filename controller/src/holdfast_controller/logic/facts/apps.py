"""Facts of applications and of the brokers that serve them."""

from __future__ import annotations

from holdfast_controller.logic.facts.base import Fact


class AppAsked(Fact, frozen=True, kw_only=True, tag="app-asked"):
    """Somebody asked for an application; ``request`` waits for officers."""

    name: str
    zone: str
    aliases: tuple[str, ...]
    residency: tuple[str, ...]
    classification: str
    purposes: tuple[str, ...]
    user_public: str
    csr: bytes
    request: str


class AppGranted(Fact, frozen=True, kw_only=True, tag="app-granted"):
    """Officers signed the application's record."""

    name: str


class AppMinted(Fact, frozen=True, kw_only=True, tag="app-minted"):
    """The minter signed the account; ``user_jwt`` is None once revoked."""

    name: str
    account: str
    account_jwt: str
    user_jwt: str | None
    certificate: bytes | None
    ca: bytes


class ClaimsConfirmed(Fact, frozen=True, kw_only=True, tag="claims-confirmed"):
    """A broker's relay reported which accounts its broker has."""

    broker: str
    accounts: tuple[str, ...]
    generation: int
