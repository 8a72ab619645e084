"""One history from a seed: faults, then calm; what came of it, and the trace that shows how."""

from __future__ import annotations

from dataclasses import dataclass

from tests.sim import calm, faults
from tests.sim.ceremony import START_S
from tests.sim.ground import BrokenError
from tests.sim.site import Site, new_site
from tests.sim.variant import Variant

CALM_WITHIN_S = 300.0
LOOK_EVERY_S = 3.0


@dataclass(frozen=True)
class Verdict:
    """What a seed came to; ``rule`` is None where every rule held."""

    seed: int
    trace: str
    steps: int
    simulated_s: float
    rule: str | None = None
    detail: str = ""
    tail: tuple[str, ...] = ()


def run(seed: int, variant: Variant | None = None) -> Verdict:
    """Return what became of the history of ``seed``."""
    site = new_site(seed, variant or Variant())
    try:
        _live(site)
    except BrokenError as broken:
        return _verdict(site, seed, broken.rule, broken.detail)
    return _verdict(site, seed, None, "")


def _live(site: Site) -> None:
    ground = site.ground
    ground.weather = faults.weather_of(site)
    site.start()
    faults.begin(site, every_s=1.5 + ground.dice.random() * 6.0)
    ground.run_until(ground.now_s + 10.0 + ground.dice.random() ** 2 * 50.0)
    faults.heal(site)
    _come_to_rest(site)
    site.controller.check_fold()
    site.witness.look()
    lost = [
        event
        for node in site.nodes.values()
        for event in node.emitted
        if event not in node.disk.spool
        and (event.node, event.boot, event.seq) not in site.witness.events
    ]
    if lost:
        raise BrokenError("no event of a spool is lost", f"{len(lost)}, the first {lost[0]}")


def _come_to_rest(site: Site) -> None:
    """Run until all is as it must become; a stolen key leaves only safety to be judged."""
    ground = site.ground
    if site.forged:
        ground.run_until(ground.now_s + 40.0)
        return
    end_s = ground.now_s + CALM_WITHIN_S
    why: str | None = "nothing was looked at"
    while why is not None and ground.now_s < end_s:
        ground.run_until(ground.now_s + LOOK_EVERY_S)
        why = calm.missing(site)
    if why is not None:
        raise BrokenError("what was wished comes true", why)


def _verdict(site: Site, seed: int, rule: str | None, detail: str) -> Verdict:
    ground = site.ground
    return Verdict(
        seed=seed,
        trace=ground.trace.digest,
        steps=ground.steps,
        simulated_s=ground.now_s - START_S,
        rule=rule,
        detail=detail,
        tail=tuple(ground.trace.tail),
    )
