"""A whole site in one heap: controller, nodes, brokers, helpers, people."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial
from random import Random

from holdfast_controller.journal.memory import MemoryJournal
from holdfast_controller.journal.port import Commit

from tests.sim.ceremony import BROKERS, NODES, START_S, ceremony
from tests.sim.controller import Controller, folded
from tests.sim.engines import Engines
from tests.sim.ground import Ground
from tests.sim.models import STICKS, Weights
from tests.sim.network import Hub, Network
from tests.sim.node import Node
from tests.sim.people import People
from tests.sim.servants import Importer, Minter, Relay
from tests.sim.variant import Variant
from tests.sim.witness import Witness


@dataclass
class Site:
    """Everything of one history."""

    ground: Ground
    hub: Hub
    witness: Witness
    controller: Controller
    nodes: dict[str, Node]
    relays: dict[str, Relay]
    importer: Importer
    minter: Minter
    people: People
    forged: bool = False
    """Somebody stole the controller's key: what is safe stays safe, what lives may not."""
    faults: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start every program; people begin to act."""
        self.controller.start()
        for relay in self.relays.values():
            relay.start()
        for node in self.nodes.values():
            node.start()
        self.people.start()


def new_site(seed: int, variant: Variant) -> Site:
    """Return the site of ``seed``, not started: its size, its machines, its past."""
    dice = Random(seed)
    ground = Ground(dice=dice)
    count = dice.randint(3, len(NODES))
    names = tuple(NODES)[:count]
    net = Network(ground)
    hub = Hub(ground, net)
    importer, minter = Importer(ground), Minter(ground)
    journal = MemoryJournal()
    serving = dice.random() < 0.75
    if serving:
        # Most histories begin in a site that serves already: officers' work is dear to compute.
        for commit in past(names):
            journal.append_now(journal.tail, commit)
        importer.stored = {one.digest: one for one in _first_models()}
    witness = Witness(journal)
    witness.look()
    founding = ceremony().founding(names)
    controller = Controller(ground, hub, witness, founding, variant, importer, minter)
    hub.tell_controller = controller.tell
    nodes = {}
    for name in names:
        engines = Engines(ground, name, gpus=dice.choice((1, 2)), memory_gib=dice.choice((16, 24)))
        simulated = dice.random() < 0.5
        nodes[name] = Node(ground, hub, witness, name, variant, engines, simulated)
        if serving:
            nodes[name].disk.trust.enrol(folded(list(past(names))).files, ground.now_s)
    relays = {one.name: Relay(ground, hub, one.name) for one in BROKERS}
    people = People(ground, hub, founding=not serving)
    return Site(ground, hub, witness, controller, nodes, relays, importer, minter, people)


@cache
def past(names: tuple[str, ...]) -> tuple[Commit, ...]:
    """Return the commits of a site of ``names`` in which two sticks were let in, in calm weather.

    Made by the product's own core, once a process.
    """
    ground = Ground(dice=Random(0), now_s=START_S - 600.0)
    hub = Hub(ground, Network(ground))
    journal = MemoryJournal()
    controller = Controller(
        ground,
        hub,
        Witness(journal),
        ceremony().founding(names),
        Variant(),
        Importer(ground),
        Minter(ground),
    )
    hub.tell_controller = controller.tell
    people = People(ground, hub, harmless=True)
    controller.start()
    people.start()
    ground.after(1.0, people.trust_vendor)
    for path in ("/media/one", "/media/two"):
        ground.after(30.0, partial(people.insert, path))
    stored = controller.witness.stored
    while len(stored) < len(_first_models()):
        ground.run_until(ground.now_s + 1.0)
    return tuple(journal.read_now(0, 1_000_000))


def _first_models() -> tuple[Weights, ...]:
    return (*STICKS["/media/one"], *STICKS["/media/two"])
