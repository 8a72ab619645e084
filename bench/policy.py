"""What a decision costs: Cedar at eleven policies, remembered, and beside the second opinion alone.

``python bench/policy.py [--json] [--decisions N]``; about a second. A hundred questions are put
to each way in turn, over and over, so that all meet the same load; the label is made anew each time
as a request's is. The ratios are to the second opinion alone: the same rules as plain Python. What
reads the clock costs 0.1 us of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import msgspec
from holdfast_policy.base import base_policy, base_text
from holdfast_policy.cedar.engine import Engine
from holdfast_policy.cedar.shell import CedarPolicy
from holdfast_policy.logic.invariants import Invariants
from holdfast_policy.logic.labels import ceiling
from holdfast_policy.logic.registry import Registry, of_zones
from holdfast_policy.port import AppFacts, Decision, ModelFacts, NodeFacts, Question

NODES = 8
BLOCK = 100
_COLD = "cedar, new model"

APP = AppFacts(app="triage", zone="de", aliases=frozenset({"chat", "embed"}))
MODEL = ModelFacts(digest="sha256:" + "0" * 64)
HOSTS = [
    NodeFacts(node=f"de-{n}", jurisdiction="DE", zones=frozenset({"de"}), not_after_s=2**31)
    for n in range(NODES)
]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A way to a decision: microseconds, and how many times the second opinion alone."""

    p50_us: float
    p99_us: float
    ratio_p50: float
    ratio_p99: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Every way, by name; ``start_ms`` is parsing and validating everything once."""

    policies: int
    start_ms: float
    ways: dict[str, Way]


def measure(decisions: int) -> Result:
    """Return every number."""
    registry = of_zones({"de": "DE", "fr": "FR"})
    started = time.perf_counter()
    engine = Engine(base_text(), registry)
    start_ms = (time.perf_counter() - started) * 1000
    invariants = Invariants(registry)
    ways: dict[str, Callable[[Question], Decision]] = {
        "invariants": invariants.decide,
        "cedar": engine.ask,
        "cedar, remembered": CedarPolicy(engine).decide,
        "both, remembered": base_policy(registry, _no_alarm).decide,
    }
    samples: dict[str, list[float]] = {name: [] for name in [*ways, _COLD]}
    for turn in range(decisions // BLOCK + 1):
        for name, decide in ways.items():
            samples[name] += [_timed(decide, _question(registry, n, MODEL)) for n in range(BLOCK)]
        fresh = ModelFacts(digest=f"sha256:{turn:064x}")
        samples[_COLD] += [_timed(engine.ask, _question(registry, n, fresh)) for n in range(NODES)]
    cut = {name: _points(taken[BLOCK if name != _COLD else 0 :]) for name, taken in samples.items()}
    p50, p99 = cut["invariants"]
    return Result(
        policies=len(engine.rules),
        start_ms=start_ms,
        ways={
            name: Way(p50_us=a, p99_us=b, ratio_p50=a / p50, ratio_p99=b / p99)
            for name, (a, b) in cut.items()
        },
    )


def _question(registry: Registry, n: int, model: ModelFacts) -> Question:
    return Question(
        act="infer",
        app=APP,
        alias="chat",
        label=ceiling(registry, ["BLOC-EU"], 0, ["study"]),
        node=HOSTS[n % NODES],
        model=model,
        now_s=float(n),
    )


def _timed(decide: Callable[[Question], Decision], question: Question) -> float:
    started = time.perf_counter()
    decision = decide(question)
    took = time.perf_counter() - started
    assert decision.allowed, decision
    return took * 1e6


def _points(taken: list[float]) -> tuple[float, float]:
    taken = sorted(taken)
    return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


def _no_alarm(question: Question, decision: Decision) -> None:
    raise AssertionError(decision)


def table(result: Result) -> str:
    """Return the run as a table."""
    lines = [
        f"{result.policies} policies, parsed and validated in {result.start_ms:.1f} ms",
        f"{'way':<20}{'p50 us':>9}{'p99 us':>9}{'x p50':>8}{'x p99':>8}",
    ]
    for name, way in result.ways.items():
        lines.append(
            f"{name:<20}{way.p50_us:>9.2f}{way.p99_us:>9.2f}"
            f"{way.ratio_p50:>8.2f}{way.ratio_p99:>8.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object on the last line")
    parser.add_argument("--decisions", type=int, default=3000)
    given = parser.parse_args()
    result = measure(given.decisions)
    print(table(result))
    if given.json:
        print(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
