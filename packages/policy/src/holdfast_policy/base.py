"""The policy that ships with the product: Cedar over the base policies, with a second opinion.

Importing this loads Cedar's native library; only programs that decide do so.
"""

from __future__ import annotations

from holdfast_policy.cedar.engine import Engine
from holdfast_policy.cedar.shell import CedarPolicy
from holdfast_policy.combined import CombinedPolicy
from holdfast_policy.logic.invariants import Invariants
from holdfast_policy.logic.policy_text import PolicyText
from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import Alarm
from holdfast_policy.product import base_text as base_text


def base_policy(registry: Registry, alarm: Alarm) -> CombinedPolicy:
    """Return the policy of a site with ``registry``; raises ``POLICY_INVALID``.

    ``alarm`` is told of decisions that no question should lead to.
    """
    return policy_of(base_text(), registry, alarm)


def policy_of(text: PolicyText, registry: Registry, alarm: Alarm) -> CombinedPolicy:
    """Return the policy that ``text`` makes, with the second opinion; raises ``POLICY_INVALID``."""
    engine = Engine(text, registry)
    return CombinedPolicy(CedarPolicy(engine), Invariants(registry), alarm)
