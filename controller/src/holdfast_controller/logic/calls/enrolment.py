"""Nodes that come: a code is made, a new node uses it, an old one's certificate is renewed.

Where a node is, its code says and never the node. A node with a certificate in force gets no
other keys: it is revoked first, so that two machines never answer under one name unnoticed.
"""

from __future__ import annotations

from typing import Final

from holdfast_bundles.site.model import SiteCertificate, sha256_hex
from holdfast_bundles.site.propose import propose_node
from holdfast_protocol import api, codec, ids, limits
from holdfast_protocol.configs import BrokerEntry
from holdfast_protocol.enrolment import (
    CodeAnswer,
    CreateCode,
    EnrolAnswer,
    EnrolRequest,
    NodeCredentials,
    NodeKeys,
    Stage,
)
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import nkeys, x509
from holdfast_protocol.identity.nkeys import Kind
from holdfast_protocol.identity.proof import proven
from msgspec.structs import replace

from holdfast_controller.logic import facts, requests, trust
from holdfast_controller.logic.calls.ask import Ask, Outcome, answered
from holdfast_controller.logic.calls.requests import asked as ask_officers
from holdfast_controller.logic.codes import NodeCode
from holdfast_controller.logic.reconcile import View

DAY_S: Final = 24 * 3600
CERTIFICATE_LIFE_DAYS: Final = 400
_KEY_HEX: Final = 64


def code(ask: Ask, call: CreateCode) -> Outcome:
    """A one-time code for a node of a zone; the same again answers with what came of it.

    Raises ``ALREADY_EXISTS`` for a node in force, ``BAD_REQUEST`` for a zone whose nodes cannot be
    enrolled or a life out of bounds, ``BUSY`` where too many codes are open.
    """
    view = ask.view
    known = view.state.codes.get(call.nonce)
    if known is not None:
        if known.made != _made(ask, call, known.made.at_ms):
            raise HoldfastError(Code.ALREADY_EXISTS, "There is another code of this nonce.")
        return answered(_code_answer(view, known))
    made = _made(ask, call, view.now_ms)
    _must_be_free(view, made.node)
    unused = [each for each in view.state.codes.values() if _open(view, each)]
    if len(unused) >= limits.CODES_OPEN:
        raise HoldfastError(Code.BUSY, f"{limits.CODES_OPEN} codes wait to be used already.")
    return Outcome([made], lambda: _code_answer(view, view.state.codes[call.nonce]))


def enrol(view: View, nonce: str, body: bytes) -> Outcome:
    """What a new node says of itself, with the proof of its code's secret; the same again asks.

    Raises ``CODE_REFUSED``, ``CODE_USED`` for other keys than those that used the code,
    ``CODE_EXPIRED``, and ``NOT_APPROVED`` once officers said no.
    """
    known = view.state.codes.get(nonce)
    if known is None:
        raise HoldfastError(Code.CODE_REFUSED, "There is no such code, or its time has passed.")
    if len(body) > limits.ENROL_BYTES:
        raise HoldfastError(Code.TOO_LARGE, f"An enrolment has at most {limits.ENROL_BYTES} bytes.")
    said = codec.decode(body, EnrolRequest)
    keys = proven(known.made.secret_public, nonce, said)
    if (keys.node, keys.zone) != (known.made.node, known.made.zone):
        raise HoldfastError(
            Code.CODE_REFUSED, f"The code is for {known.made.node} in {known.made.zone}."
        )
    if known.asked is not None:
        if known.asked.keys != said.keys:
            raise HoldfastError(
                Code.CODE_USED, f"The code of {known.made.node} was used with other keys."
            )
        return answered(_enrol_answer(view, known))
    if not _open(view, known):
        raise HoldfastError(Code.CODE_EXPIRED, f"The code of {known.made.node} has expired.")
    _must_be_free(view, known.made.node)
    return _asked(view, known, said, keys)


def renew(ask: Ask, call: api.NodeCall) -> Outcome:
    """A request for a later end of a node's certificate, for the same keys.

    Raises ``NOT_FOUND`` without one, ``BAD_REQUEST`` for a revoked node.
    """
    state, now_s = ask.view.state, ask.view.now_s
    known = trust.certificate_of(state, ids.token(call.node, "node"))
    if known is None:
        raise HoldfastError(Code.NOT_FOUND, f"Node {call.node} has no site certificate.")
    if f"node:{call.node}" in state.denied:
        raise HoldfastError(Code.BAD_REQUEST, f"{call.node} is revoked.")
    renewed = replace(known, not_after_s=_not_after_s(now_s))
    asking = requests.Asking(
        kind="node",
        about=call.node,
        summary=f"Renew the site certificate of {call.node} for the same keys.",
        by=ask.who,
        now_s=now_s,
    )
    return ask_officers(state, propose_node(trust.standing(state, now_s), renewed), asking)


def _made(ask: Ask, call: CreateCode, at_ms: int) -> facts.NodeCodeMade:
    site = ask.view.state.founded()
    node = ids.token(call.node, "node")
    if call.zone not in site.zones:
        raise HoldfastError(Code.BAD_REQUEST, f"There is no zone {call.zone[:80]!a} in this site.")
    if call.zone != site.zone:
        # The link of another jurisdiction's broker carries what its members may say and hear,
        # member by member; its credentials would have to be made anew.
        raise HoldfastError(
            Code.BAD_REQUEST,
            f"Nodes of {call.zone} stand behind another broker and are certified at the ceremony.",
        )
    if not limits.CODE_TTL_S_MIN <= call.ttl_s <= limits.CODE_TTL_S_MAX:
        raise HoldfastError(
            Code.BAD_REQUEST,
            f"A code lives {limits.CODE_TTL_S_MIN} to {limits.CODE_TTL_S_MAX} seconds.",
        )
    x509.spki_sha256(call.csr)
    return facts.NodeCodeMade(
        nonce=ids.token(call.nonce, "nonce"),
        node=node,
        zone=call.zone,
        jurisdiction=site.zones[call.zone],
        secret_public=_hex_key(call.secret_public, "The code's public half"),
        user_public=nkeys.check_public(call.user_public, Kind.USER),
        csr=call.csr,
        by=ask.who,
        at_ms=at_ms,
        not_after_ms=at_ms + call.ttl_s * 1000,
    )


def _asked(view: View, known: NodeCode, said: EnrolRequest, keys: NodeKeys) -> Outcome:
    state, now_s, made = view.state, view.now_s, known.made
    certificate = _certificate(known, keys, now_s)
    proposal = propose_node(trust.standing(state, now_s), certificate)
    before = trust.certificate_of(state, made.node)
    replaces = "" if before is None else "in place of its former keys, "
    asking = requests.Asking(
        kind="node",
        about=made.node,
        summary=f"Certify the node {made.node} in {made.zone} ({made.jurisdiction}), "
        f"{replaces}fingerprint {certificate.fingerprint}.",
        by=made.by,
        now_s=now_s,
    )
    waits = requests.made(state, proposal, asking)
    used = facts.NodeAsked(nonce=made.nonce, node=made.node, request=waits.id, keys=said.keys)
    return Outcome([waits, used], lambda: _enrol_answer(view, state.codes[made.nonce]))


def _certificate(known: NodeCode, keys: NodeKeys, now_s: float) -> SiteCertificate:
    if keys.nats_public == keys.gateway_nats_public:
        raise HoldfastError(Code.BAD_REQUEST, "Agent and gateway need keys of their own.")
    return SiteCertificate(
        node=known.made.node,
        jurisdiction=known.made.jurisdiction,
        zones=(known.made.zone,),
        nats_public=nkeys.check_public(keys.nats_public, Kind.USER),
        gateway_nats_public=nkeys.check_public(keys.gateway_nats_public, Kind.USER),
        x25519_public=_hex_key(keys.x25519_public, "The exchange key"),
        tls_spki_sha256=x509.spki_sha256(keys.csr),
        limits={},
        not_after_s=_not_after_s(now_s),
        gateway_tls_spki_sha256=x509.spki_sha256(keys.gateway_csr),
    )


def _not_after_s(now_s: float) -> int:
    # Whole days, so that the same question twice a day is the same request.
    return (int(now_s) // DAY_S + CERTIFICATE_LIFE_DAYS) * DAY_S


def _must_be_free(view: View, node: str) -> None:
    certified = trust.certificate_of(view.state, node) is not None
    if certified and f"node:{node}" not in view.state.denied:
        raise HoldfastError(
            Code.ALREADY_EXISTS, f"Node {node} has a certificate in force; revoke it first."
        )


def _open(view: View, known: NodeCode) -> bool:
    return known.asked is None and view.now_ms < known.made.not_after_ms


def _hex_key(text: str, what: str) -> str:
    if len(text) != _KEY_HEX or not set(text) <= set("0123456789abcdef"):
        raise HoldfastError(Code.BAD_REQUEST, f"{what} is not a key in hex.")
    return text


def _code_answer(view: View, known: NodeCode) -> CodeAnswer:
    site, issuer, minted = view.state.founded(), view.documents.issuer, known.minted
    broker = next((each for each in issuer.brokers if each.zone == known.made.zone), None)
    return CodeAnswer(
        node=known.made.node,
        state="minting" if minted is None else "ready",
        site=site.name,
        zone=known.made.zone,
        jurisdiction=known.made.jurisdiction,
        not_after=known.made.not_after_ms / 1000,
        servers=_servers(broker),
        root_sha256=sha256_hex(_root(view)),
        controller_key=issuer.key.public_key().public_bytes_raw().hex(),
        zones=site.zones,
        user_jwt=None if minted is None else minted.user_jwt,
        certificate=None if minted is None else minted.certificate,
        ca=None if minted is None else minted.ca,
        domain=None if minted is None else minted.domain,
    )


def _servers(broker: BrokerEntry | None) -> tuple[str, ...]:
    return () if broker is None else broker.servers


def _root(view: View) -> bytes:
    """The first root: a node climbs from it to the newest, as every other node does."""
    return view.state.files["1.root.json"]


def _enrol_answer(view: View, known: NodeCode) -> EnrolAnswer:
    assert known.asked is not None, "the code was used"
    request = view.state.requests[known.asked.request]
    if request.state in ("rejected", "expired"):
        raise HoldfastError(
            Code.NOT_APPROVED, f"The request of {known.made.node} is {request.state}."
        )
    stage: Stage = "pending" if request.state == "pending" else "minting"
    keys = codec.decode(known.asked.keys, NodeKeys)
    return EnrolAnswer(
        node=known.made.node,
        state=stage if known.issued is None else "ready",
        request=request.made.id,
        fingerprint=_certificate(known, keys, view.now_s).fingerprint,
        approvals=len(request.signatures),
        needed=request.made.needed,
        credentials=None if known.issued is None else _credentials(view, known.issued),
    )


def _credentials(view: View, issued: facts.NodeMinted) -> NodeCredentials:
    return NodeCredentials(
        agent_jwt=issued.agent_jwt,
        gateway_jwt=issued.gateway_jwt,
        certificate=issued.certificate,
        gateway_certificate=issued.gateway_certificate,
        ca=issued.ca,
        root=_root(view),
        marks=codec.encode(trust.marks(view.state)),
    )
