"""Whether a fetch ticket lets one node have one blob now: values in, a refusal or nothing out."""

from __future__ import annotations

from holdfast_protocol.codec import decode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.signed import TICKET_CONTEXT, FetchTicket, from_header, open_signed

_URI_PREFIX = "holdfast:node:"


def node_of_uris(uris: list[str]) -> str:
    """Return the one node that a client certificate names; raises ``TICKET_REFUSED``."""
    nodes = [uri.removeprefix(_URI_PREFIX) for uri in uris if uri.startswith(_URI_PREFIX)]
    if len(nodes) != 1:
        raise _refused("the client's certificate names no node")
    return nodes[0]


def check(header: str, public_key: bytes, node: str, digest: str, now_s: float) -> FetchTicket:
    """Return the ticket if it lets ``node`` have ``digest`` at ``now_s`` (Unix seconds).

    Raises ``TICKET_REFUSED``; the reason never tells what another node may have.
    """
    try:
        payload = open_signed(from_header(header), public_key, TICKET_CONTEXT)
        ticket = decode(payload, FetchTicket)
    except HoldfastError as error:
        raise _refused("it is not signed by the controller") from error
    if ticket.node != node:
        raise _refused("it was made for another node")
    if digest != ticket.manifest_digest and digest not in ticket.digests:
        raise _refused("it does not name this blob")
    if now_s > ticket.not_after:
        raise _refused("its time is over")
    return ticket


def _refused(why: str) -> HoldfastError:
    return HoldfastError(Code.TICKET_REFUSED, f"The fetch ticket is refused: {why}.")
