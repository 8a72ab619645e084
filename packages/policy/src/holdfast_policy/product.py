"""The policy that ships with the product, as text; whoever only reads it loads no engine."""

from __future__ import annotations

from importlib import resources

from holdfast_policy.logic.policy_text import PolicyText, invalid


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
