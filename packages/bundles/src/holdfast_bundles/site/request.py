"""A request and its signatures: signed one by one in any order, counted, assembled.

Values only; whoever holds the journal decides when a request opens and closes. Requests for
different things are different files, so any number may be open and none invalidates another.
Every change of the frame must cancel open requests: a lowered threshold would complete them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast_protocol.errors import Code, HoldfastError
from securesystemslib.exceptions import UnverifiedSignatureError

from holdfast_bundles.site import metadata
from holdfast_bundles.site.frame import Frame
from holdfast_bundles.site.keys import SigningKey
from holdfast_bundles.site.model import Proposal, RequestSignature, sha256_hex
from holdfast_bundles.site.tufapi import Metadata, Signature


def sign_payload(payload: bytes, key: SigningKey) -> RequestSignature:
    """Return the signature over ``payload``; raises ``METADATA_MALFORMED`` if not canonical."""
    metadata.read_payload(payload)
    return RequestSignature(
        keyid=key.public.keyid, sha256=sha256_hex(payload), signature=key.sign(payload)
    )


def check_signature(
    frame: Frame, proposal: Proposal, signature: RequestSignature, have: Sequence[RequestSignature]
) -> RequestSignature:
    """Return ``signature`` if it counts for ``proposal`` under today's frame.

    Raises ``NOT_AN_OFFICER``, ``SIGNED_ALREADY``, ``OTHER_BYTES`` or ``BAD_SIGNATURE``. It does
    not matter who carries the signature in.
    """
    key = frame.keys(proposal.role).get(signature.keyid)
    if key is None:
        raise HoldfastError(
            Code.NOT_AN_OFFICER, f"Key {signature.keyid[:16]!a} may not sign {proposal.role}."
        )
    if any(other.keyid == signature.keyid for other in have):
        who = frame.person(signature.keyid)
        raise HoldfastError(Code.SIGNED_ALREADY, f"{who} has signed {proposal.role} already.")
    if not signature.sha256 == proposal.sha256 == sha256_hex(proposal.payload):
        raise HoldfastError(Code.OTHER_BYTES, f"Other bytes than {proposal.role}'s were signed.")
    try:
        key.verify_signature(Signature(signature.keyid, signature.signature), proposal.payload)
    except UnverifiedSignatureError as error:
        raise HoldfastError(
            Code.BAD_SIGNATURE,
            f"The signature on {proposal.role} is not valid.",
            file=proposal.role,
        ) from error
    return signature


def missing(frame: Frame, proposal: Proposal, signatures: Sequence[RequestSignature]) -> int:
    """Return how many more officers must sign under today's frame; invalid ones do not count.

    Raises ``SITE_BINDING`` if the payload is for another site or role.
    """
    file = _file(proposal, signatures)
    if metadata.role_and_site(file.signed) != (proposal.role, frame.site):
        raise HoldfastError(Code.SITE_BINDING, f"{proposal.role} is for another role or site.")
    result = frame.delegator(proposal.role).get_verification_result(
        proposal.role, proposal.payload, file.signatures
    )
    return max(0, frame.threshold(proposal.role, file.signed.version) - len(result.signed))


def accept(
    frame: Frame,
    proposal: Proposal,
    signatures: Sequence[RequestSignature],
    current: bytes | None,
) -> bytes:
    """Return the role file to commit, after counting everything again.

    ``current`` is the role's file in force. Raises ``NOT_APPROVED`` while signatures are
    missing, ``REQUEST_CLOSED`` if the role has moved on since the proposal.
    """
    short = missing(frame, proposal, signatures)
    if short:
        raise HoldfastError(Code.NOT_APPROVED, f"{proposal.role} needs {short} more signatures.")
    held = 0
    if current is not None:
        held = metadata.read_role(proposal.role, current, frame.site).signed.version
    if metadata.read_payload(proposal.payload).signed.version != held + 1:
        raise HoldfastError(Code.REQUEST_CLOSED, f"{proposal.role} has moved to version {held}.")
    file = assemble(proposal, signatures)
    frame.verify(proposal.role, metadata.read_role(proposal.role, file, frame.site))
    return file


def assemble(proposal: Proposal, signatures: Sequence[RequestSignature]) -> bytes:
    """Return the role file of payload and signatures; from here on its bytes never change."""
    return metadata.file_bytes(_file(proposal, signatures))


def _file(proposal: Proposal, signatures: Sequence[RequestSignature]) -> Metadata[Any]:
    file = metadata.read_payload(proposal.payload)
    for one in sorted(signatures, key=lambda s: s.keyid):
        file.signatures[one.keyid] = Signature(one.keyid, one.signature)
    return file
