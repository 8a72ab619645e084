"""May this digest be loaded here: the table of outcomes as one pure function.

Dates stop new loads, never the restart of what this node had accepted; a denial stops both, and
what runs.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from holdfast_protocol import ids
from holdfast_protocol.errors import Code

from holdfast_bundles.site import names
from holdfast_bundles.site.kin import kin
from holdfast_bundles.site.outcome import Outcome
from holdfast_bundles.site.view import Approved, SiteView


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to load; ``stop`` means that what runs must stop; code and sentence say why not."""

    allowed: bool
    stop: bool = False
    code: Code | None = None
    sentence: str = ""


_YES = Verdict(allowed=True)
_DATED = {
    Outcome.STALE: (Code.TRUST_STALE, "The node has not reached the controller for too long."),
    Outcome.EXPIRED: (Code.TRUST_STALE, "The controller serves files that have expired."),
    Outcome.DAMAGED: (Code.TRUST_STALE, "The node's trust files cannot be verified."),
    Outcome.CLOCK_BEHIND: (Code.CLOCK_BEHIND, "The node's clock is behind what was signed."),
}


def may_load(
    view: SiteView,
    outcome: Outcome,
    name: str,
    digest: str,
    accepted: bool,
    also: Collection[str] = (),
) -> Verdict:
    """Return whether ``vendor/model@version`` with the manifest ``digest`` may be loaded.

    ``outcome`` is the last refresh's; ``accepted`` says that this node had accepted this digest
    before, so that this is a restart; ``also`` are digests beside those of the blobs and ancestors
    that the approved manifest names. After ``REFUSED`` the intact cache is judged as if offline.
    """
    model, version = ids.model_reference(name)
    approval = view.approval(model, version)
    made_of = kin(approval.manifest) if approval is not None and approval.digest == digest else ()
    if any(view.denied(one) for one in (digest, *also, *made_of)):
        return _no(Code.DENIED_MODEL, f"{name} is denied.", stop=True)
    role = names.bin_of("ok", names.allow_target(model, version))
    if accepted:
        unknown = view.health is Outcome.DAMAGED or view.is_broken(role)
        return _restart(approval, name, digest, unknown)
    for state in (outcome, view.health):
        if state in _DATED:
            return _no(*_DATED[state])
    return _new(approval, name, digest)


def _new(approval: Approved | None, name: str, digest: str) -> Verdict:
    if approval is None:
        return _no(Code.NOT_APPROVED, f"{name} is not approved.")
    if approval.digest != digest:
        return _no(Code.REPOS_DISAGREE, f"{name} is approved with another digest.")
    if approval.expired:
        return _no(Code.METADATA_EXPIRED, f"The approval of {name} has expired.")
    return _YES


def _restart(approval: Approved | None, name: str, digest: str, unknown: bool) -> Verdict:
    """Withdrawn and replaced are acts of officers; unreadable is not, so it stops nothing."""
    if approval is None:
        return _YES if unknown else _no(Code.NOT_APPROVED, f"{name} is no longer approved.")
    if approval.digest != digest:
        return _no(Code.REPOS_DISAGREE, f"{name} is approved with another digest.")
    return _YES


def _no(code: Code, sentence: str, *, stop: bool = False) -> Verdict:
    return Verdict(allowed=False, stop=stop, code=code, sentence=sentence)
