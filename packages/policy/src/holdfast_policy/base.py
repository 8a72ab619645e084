"""The policy that ships with the product: Cedar over the base policies, with a second opinion.

Importing this loads Cedar's native library; only programs that decide do so.
"""

from __future__ import annotations

from importlib import resources

from holdfast_policy.cedar.engine import Engine
from holdfast_policy.cedar.shell import CedarPolicy
from holdfast_policy.combined import CombinedPolicy
from holdfast_policy.logic.invariants import Invariants
from holdfast_policy.logic.policy_text import PolicyText, invalid
from holdfast_policy.logic.registry import Registry
from holdfast_policy.port import Alarm


def base_text() -> PolicyText:
    """Return the base policy; raises ``POLICY_INVALID`` where its files are not there."""
    folder = resources.files("holdfast_policy") / "policies"
    try:
        return PolicyText(
            schema=(folder / "schema.cedarschema").read_text(encoding="utf-8"),
            policies=(folder / "base.cedar").read_text(encoding="utf-8"),
        )
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"its files cannot be read: {error}") from error


def base_policy(registry: Registry, alarm: Alarm) -> CombinedPolicy:
    """Return the policy of a site with ``registry``; raises ``POLICY_INVALID``.

    ``alarm`` is told of decisions that no question should lead to.
    """
    engine = Engine(base_text(), registry)
    return CombinedPolicy(CedarPolicy(engine), Invariants(registry), alarm)
