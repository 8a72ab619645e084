"""A one-time code for a new node: its secrets made here, its public part by the site.

The secrets stand in the file that is handed over and nowhere else: the controller learns their
public halves only.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Final

from holdfast_protocol.enrolment import CodeAnswer, CreateCode, NodeCode, code_text
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import nkeys, x509
from holdfast_protocol.identity.proof import public_of

from holdfast_tui.client import Client
from holdfast_tui.logic import numbers

MADE_S: Final = 20.0
POLL_S: Final = 0.2
_NONCE_BYTES: Final = 16
_SECRET_BYTES: Final = 32


async def make(client: Client, node: str, zone: str, ttl_s: int) -> NodeCode:
    """Return a new code for ``node``; raises what the controller refuses, ``DEADLINE`` in the end.

    A code that comes too late stays unused and expires.
    """
    user, key = nkeys.KeyPair.generate(nkeys.Kind.USER), x509.new_key()
    secret = secrets.token_hex(_SECRET_BYTES)
    call = CreateCode(
        node=node,
        zone=zone,
        nonce=secrets.token_hex(_NONCE_BYTES),
        secret_public=public_of(secret),
        user_public=user.public,
        csr=x509.new_csr(key),
        ttl_s=ttl_s,
    )
    made = await _ready(client, call)
    if made.user_jwt is None or made.certificate is None or made.ca is None or made.domain is None:
        raise HoldfastError(Code.DEFECT, f"The code of {node} lacks a part.")
    return NodeCode(
        site=made.site,
        node=node,
        zone=zone,
        jurisdiction=made.jurisdiction,
        nonce=call.nonce,
        secret=secret,
        not_after_s=int(made.not_after),
        servers=made.servers,
        user_jwt=made.user_jwt,
        user_seed=user.seed(),
        certificate=made.certificate,
        key=key,
        ca=made.ca,
        ca_sha256=x509.certificate_sha256(made.ca),
        root_sha256=made.root_sha256,
        controller_key=made.controller_key,
        domain=made.domain,
        zones=made.zones,
    )


def text_of(code: NodeCode) -> str:
    """Return the printable file of ``code``, with what a person should know of it on top."""
    return code_text(
        code,
        [
            f"One-time code for the node {code.node} of {code.site}, zone {code.zone}.",
            f"Valid once, until {numbers.moment(code.not_after_s)}. Whoever holds it can use it.",
            f"CA   sha256:{code.ca_sha256}",
            f"root sha256:{code.root_sha256}",
            "On the node: holdfast-agent enroll --code FILE --dir DIR",
        ],
    )


async def _ready(client: Client, call: CreateCode) -> CodeAnswer:
    ends_at = time.monotonic() + MADE_S
    while True:
        made = await client.call("nodes.code", call, CodeAnswer)
        if made.state == "ready":
            return made
        if time.monotonic() >= ends_at:
            raise HoldfastError(Code.DEADLINE, f"The minter did not sign the code of {call.node}.")
        await asyncio.sleep(POLL_S)
