"""What must be asked of the minter for codes and nodes: derived from the state."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_protocol import limits
from holdfast_protocol.codec import decode
from holdfast_protocol.enrolment import NodeKeys
from holdfast_protocol.minting import MintCode, MintNode

from holdfast_controller.logic.codes import NodeCode
from holdfast_controller.logic.reconcile.view import View


def mints(view: View) -> Iterator[tuple[str, MintCode | MintNode]]:
    """Return what is to be minted, by the key of its question."""
    for nonce, code in sorted(view.state.codes.items()):
        if code.minted is None and view.now_ms < code.made.not_after_ms:
            yield f"code:{nonce}", _code(code)
        elif certified(view, code) and code.issued is None:
            yield f"node:{nonce}", _node(view, code)


def certified(view: View, code: NodeCode) -> bool:
    """Tell whether officers certified the node that used ``code``, and nobody revoked it."""
    if code.asked is None or f"node:{code.made.node}" in view.state.denied:
        return False
    request = view.state.requests.get(code.asked.request)
    return request is not None and request.state == "committed"


def _code(code: NodeCode) -> MintCode:
    made = code.made
    return MintCode(
        nonce=made.nonce,
        node=made.node,
        user_public=made.user_public,
        csr=made.csr,
        # A node that used its code in time waits with the same user until officers have decided.
        not_after_s=made.not_after_ms // 1000 + limits.REQUEST_LIFE_S,
    )


def _node(view: View, code: NodeCode) -> MintNode:
    assert code.asked is not None, "only a used code was certified"
    keys = decode(code.asked.keys, NodeKeys)
    return MintNode(
        nonce=code.made.nonce,
        node=code.made.node,
        csr=keys.csr,
        gateway_csr=keys.gateway_csr,
        files=dict(sorted(view.state.files.items())),
    )
