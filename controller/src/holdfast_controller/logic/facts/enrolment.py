"""Facts of enrolment: a one-time code, its use, and what came of it. No secret stands here."""

from __future__ import annotations

from holdfast_controller.logic.facts.base import Fact


class NodeCodeMade(Fact, frozen=True, kw_only=True, tag="node-code-made"):
    """An officer made a one-time code; of its secret only the public half is known here."""

    nonce: str
    node: str
    zone: str
    jurisdiction: str
    secret_public: str
    user_public: str
    csr: bytes
    by: str
    at_ms: int
    not_after_ms: int


class NodeCodeMinted(Fact, frozen=True, kw_only=True, tag="node-code-minted"):
    """The minter signed the code's bootstrap user."""

    nonce: str
    node: str
    user_jwt: str
    certificate: bytes
    ca: bytes
    domain: str


class NodeAsked(Fact, frozen=True, kw_only=True, tag="node-asked"):
    """A node used the code; ``request`` waits for officers."""

    nonce: str
    node: str
    request: str
    keys: bytes


class NodeMinted(Fact, frozen=True, kw_only=True, tag="node-minted"):
    """The minter signed a certified node's two users and their certificates."""

    nonce: str
    node: str
    agent_jwt: str
    gateway_jwt: str
    certificate: bytes
    gateway_certificate: bytes
    ca: bytes


EnrolmentFact = NodeCodeMade | NodeCodeMinted | NodeAsked | NodeMinted
