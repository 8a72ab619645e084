"""``python -m tests.sim --seed N --runs K [--steps]``: histories by seed, and what broke."""

from __future__ import annotations

import argparse
import sys
import time

from tests.sim.history import Verdict, run


def show(verdict: Verdict) -> None:
    """Print why a history failed: seed, rule, the last lines of its trace."""
    sys.stdout.write("\n".join(("", *verdict.tail, "")))
    sys.stdout.write(f"\nseed {verdict.seed} broke: {verdict.rule}\n  {verdict.detail}\n")


def main() -> int:
    """Run the asked histories; 0 when every rule held in all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds from there")
    parser.add_argument("--steps", action="store_true", help="print each history's numbers")
    asked = parser.parse_args()
    began_s = time.perf_counter()
    failed = 0
    for seed in range(asked.seed, asked.seed + asked.runs):
        verdict = run(seed)
        if asked.steps:
            sys.stdout.write(
                f"seed {seed} steps {verdict.steps} simulated {verdict.simulated_s:.0f} s "
                f"trace {verdict.trace}\n"
            )
        if verdict.rule is not None:
            failed += 1
            show(verdict)
    took_s = time.perf_counter() - began_s
    sys.stdout.write(
        f"{asked.runs} histories, {failed} broke a rule, {asked.runs / took_s:.1f} a second\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
