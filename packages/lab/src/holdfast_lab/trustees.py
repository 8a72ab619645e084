"""The officers' side of a ceremony: their keys, the frame they sign, the nodes they certify.

In a lab one process plays all officers and says so; on a real site each signs in a process of
their own and the keys never meet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_bundles.site import frame, keyfile, keys, propose, request
from holdfast_bundles.site.model import Officer, SiteCertificate

THRESHOLD = 2


@dataclass(frozen=True)
class Trustee:
    """One officer with both keys in hand."""

    person: str
    root: keys.Ed25519Key
    daily: keys.Ed25519Key

    @property
    def entry(self) -> Officer:
        """What the register says of the officer."""
        return Officer(
            person=self.person,
            root_keyid=self.root.public.keyid,
            root_public=self.root.public_hex,
            daily_keyid=self.daily.public.keyid,
            daily_public=self.daily.public_hex,
        )


def appoint(person: str, folder: Path) -> Trustee:
    """Make an officer's keys and write them below ``folder``, mode 0600."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    trustee = Trustee(person=person, root=keys.generate_key(), daily=keys.generate_key())
    keyfile.write_key(folder / "root.pem", trustee.root)
    keyfile.write_key(folder / "daily.pem", trustee.daily)
    return trustee


def found(
    site: str,
    trustees: Sequence[Trustee],
    online_public: str,
    certificates: Sequence[SiteCertificate],
) -> dict[str, bytes]:
    """Return the signed role files of a new site by role: the frame, and a bin for each node."""
    now_s = time.time()
    spec = frame.FrameSpec(
        site=site,
        officers=tuple(trustee.entry for trustee in trustees),
        threshold=THRESHOLD,
        online_public=online_public,
    )
    roles: dict[str, bytes] = {}
    for role, unsigned in frame.build_frame(spec, now_s).items():
        signed = [request.sign_payload(unsigned.payload, trustee.root) for trustee in trustees]
        roles[role] = request.assemble(unsigned, signed)
    known = frame.load_frame(roles, site)
    for certificate in certificates:
        standing = propose.Standing(frame=known, current=roles, now_s=now_s)
        proposal = propose.propose_node(standing, certificate)
        signers = trustees[:THRESHOLD]
        signatures = [request.sign_payload(proposal.payload, one.daily) for one in signers]
        for signature in signatures:
            request.check_signature(known, proposal, signature, [])
        roles[proposal.role] = request.assemble(proposal, signatures)
    return roles
