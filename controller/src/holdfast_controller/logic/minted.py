"""The minter's answers as facts."""

from __future__ import annotations

from typing import assert_never

from holdfast_protocol.minting import (
    MintAnswer,
    MintedApplication,
    MintedCode,
    MintedNode,
    MintRefused,
)

from holdfast_controller.logic import facts

MintedFact = facts.AppMinted | facts.NodeCodeMinted | facts.NodeMinted


def fact_of(reply: MintAnswer | None) -> MintedFact | None:
    """Return what the minter signed, None where it was silent or refused."""
    match reply:
        case None | MintRefused():
            return None
        case MintedApplication():
            return facts.AppMinted(
                name=reply.app,
                account=reply.account,
                account_jwt=reply.account_jwt,
                user_jwt=reply.user_jwt,
                certificate=reply.certificate,
                ca=reply.ca,
            )
        case MintedCode():
            return facts.NodeCodeMinted(
                nonce=reply.nonce,
                node=reply.node,
                user_jwt=reply.user_jwt,
                certificate=reply.certificate,
                ca=reply.ca,
                domain=reply.domain,
            )
        case MintedNode():
            return facts.NodeMinted(
                nonce=reply.nonce,
                node=reply.node,
                agent_jwt=reply.agent_jwt,
                gateway_jwt=reply.gateway_jwt,
                certificate=reply.certificate,
                gateway_certificate=reply.gateway_certificate,
                ca=reply.ca,
            )
        case _:
            assert_never(reply)
