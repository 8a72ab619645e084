"""The simulation is judged too: every core that is broken on purpose must be caught, soon."""

from __future__ import annotations

import pytest

from tests.sim.history import run
from tests.sim.sabotage import VARIANTS
from tests.sim.variant import Variant

SEEDS = 240


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: str(variant.name))
def test_a_broken_core_is_caught(variant: Variant) -> None:
    broken = next((v for seed in range(SEEDS) if (v := run(seed, variant)).rule), None)
    assert broken is not None, f"{variant.name} passed {SEEDS} histories"
