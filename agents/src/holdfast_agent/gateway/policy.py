"""The policy that this gateway decides by: the one in its own verified view, switched whole.

A request is decided between two awaits, so by one policy or the other and never by both. A policy
that cannot be used takes nothing's place: the one before stays, or, where none was in force yet,
everything is denied until officers bring one that can. Once officers brought a policy, nothing
falls back to the product's own, which may be looser.
"""

from __future__ import annotations

import logging

from holdfast_bundles.site.view import SiteView
from holdfast_policy.base import base_policy, policy_of
from holdfast_policy.logic.bundle import PolicyBundle
from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import POLICY_UNKNOWN, Alarm, Decision, Policy, Question
from holdfast_protocol.errors import HoldfastError

log = logging.getLogger("holdfast.gateway")


class Closed:
    """Denies everything: which policy is in force cannot be known."""

    def decide(self, question: Question) -> Decision:
        """Return the denial."""
        return Decision(
            decision="deny",
            rules=(POLICY_UNKNOWN,),
            sentence="The policy that officers signed cannot be read here.",
        )


class PolicyInForce:
    """The site's policy as this gateway took it last; ``serial`` 0 is the product's own.

    ``refused`` says why a newer one was not taken, empty where there is none.
    """

    def __init__(self, registry: Registry, alarm: Alarm) -> None:
        """Begin with the product's own; raises ``POLICY_INVALID``."""
        self.serial = 0
        self.refused = ""
        self._registry = registry
        self._alarm = alarm
        self._policy: Policy = base_policy(registry, alarm)
        self._bundle: PolicyBundle | None = None
        self._begun = False

    def decide(self, question: Question) -> Decision:
        """Return the decision of the policy in force."""
        return self._policy.decide(question)

    def take(self, view: SiteView) -> None:
        """Take the policy of a readable ``view``; what cannot be taken is said in ``refused``."""
        try:
            self._take(view)
        except HoldfastError as error:
            if self.refused != error.message:
                log.error("The policy was not taken: %s", error.message)
            self.refused = error.message
            if not self._begun:
                self._policy = Closed()
        self._begun = True

    def _take(self, view: SiteView) -> None:
        bundle = view.policy()
        if bundle is None:
            self.refused = "The policy's file cannot be believed." if view.policy_broken else ""
            if not self._begun and view.policy_broken:
                self._policy = Closed()
            return
        serial = bundle.manifest.serial
        if bundle != self._bundle:
            if serial <= self.serial:
                # Officers signed both, but only a rising serial says which of them they mean.
                self.refused = f"Policy {serial} does not rise above policy {self.serial}."
                return
            self._policy = policy_of(bundle.text, self._registry, self._alarm)
            self._bundle, self.serial = bundle, serial
            log.info("Policy %d is in force.", serial)
        self.refused = ""
