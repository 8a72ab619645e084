"""What goes wrong in a history: kills, partitions, lost devices, thieves, denials, bad weather."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from holdfast_bundles.site import propose_deny
from holdfast_controller.journal.port import Record, following
from holdfast_controller.logic import io, records, requests, trust
from holdfast_protocol import codec
from holdfast_protocol.limits import GIB
from holdfast_protocol.messages import EngineSettings, Placement
from holdfast_protocol.signed import DESIRED_CONTEXT, sign

from tests.sim.ceremony import ZONES, ceremony
from tests.sim.controller import folded
from tests.sim.ground import Weather
from tests.sim.models import MODELS
from tests.sim.network import CONTROLLER, HUB
from tests.sim.node import Node, payload_of
from tests.sim.people import PEOPLE
from tests.sim.site import Site


def weather_of(site: Site) -> Weather:
    """Return the weather of a history: from fair to foul."""
    foul = site.ground.dice.random()
    return Weather(
        loss=0.08 * foul,
        repeat=0.06 * foul,
        delay_s=0.02 + 0.5 * foul,
        doubt=0.02 * foul,
        crash=0.02 * foul,
        failure=0.3 * foul,
    )


def begin(site: Site, every_s: float) -> None:
    """Let something go wrong about every ``every_s`` while the weather is not calm."""

    def again() -> None:
        if site.people.harmless:
            return
        fault = site.ground.dice.choice(_FAULTS)
        fault(site)
        site.ground.after(site.ground.dice.random() * 2.0 * every_s, again)

    site.ground.after(site.ground.dice.random() * every_s, again)


def heal(site: Site) -> None:
    """End every fault: what is broken for good is switched off, everything else works again."""
    ground = site.ground
    ground.note("faults end")
    site.people.harmless = True
    ground.weather = Weather()
    for party in sorted(site.hub.net.cut):
        _join(site, party)
    site.controller.kept_down = False
    ground.after(0.1, site.controller.start)
    for node in site.nodes.values():
        node.in_flight = {}
        node.engines.foreign_bytes.clear()
        if not ground.chance(0.2):
            node.engines.lost.clear()
        node.start()


# ------------------------------------------------------------ programs and lines


def _kill_controller(site: Site) -> None:
    site.controller.kill()


def _kill_node(site: Site) -> None:
    _some_node(site).kill()


def _kill_helper(site: Site) -> None:
    deaths = [site.importer.die, site.minter.die, *(one.die for one in site.relays.values())]
    site.ground.dice.choice(deaths)()


def _cut(site: Site) -> None:
    """Cut somebody off for a while."""
    parties = [CONTROLLER, HUB, PEOPLE, *site.nodes, *site.relays]
    party = site.ground.dice.choice(parties)
    if party in site.hub.net.cut:
        return
    site.ground.note(f"{party} cut off")
    site.hub.net.cut.add(party)
    site.ground.after(1.0 + site.ground.dice.random() * 15.0, lambda: _join(site, party))


def _join(site: Site, party: str) -> None:
    if party not in site.hub.net.cut:
        return
    site.ground.note(f"{party} is back")
    site.hub.net.cut.discard(party)
    if party in (HUB, CONTROLLER):
        site.controller.tell(io.BusReturned())
    for name, node in site.nodes.items():
        if party in (HUB, name):
            node.reconnected()


def _wipe(site: Site) -> None:
    """Restart the broker with an empty store."""
    site.hub.wipe()
    if site.ground.chance(0.5):
        site.controller.tell(io.BusReturned())


def _switch_off(site: Site) -> None:
    """Switch a node off for good, if it is not the last of its zone."""
    node = _some_node(site)
    zone = node.name.partition("-")[0]
    others = [n for n in site.nodes.values() if n.name.startswith(zone) and not n.gone]
    if len(others) > 1 and site.ground.chance(0.3):
        site.ground.note(f"{node.name} is switched off")
        node.gone = True
        node.kill()


# ------------------------------------------------------------ engines and devices


def _fail_engine(site: Site) -> None:
    _some_node(site).engines.fail_one()


def _lose_device(site: Site) -> None:
    engines = _some_node(site).engines
    uuid = site.ground.dice.choice(engines.uuids)
    if uuid in engines.lost:
        engines.lost.discard(uuid)
    else:
        engines.lose(uuid)


def _grab_memory(site: Site) -> None:
    """Let a foreign process take memory of a device, or give it back."""
    engines = _some_node(site).engines
    uuid = site.ground.dice.choice(engines.uuids)
    free = max(0, engines.free_bytes(uuid))
    engines.foreign_bytes[uuid] = int(free * site.ground.dice.choice((0.0, 0.5, 1.0)))


def _busy(site: Site) -> None:
    """Let requests run on some slots, so that they drain."""
    node = _some_node(site)
    node.in_flight = dict.fromkeys(node.engines.ready_slots(), 1)
    site.ground.after(site.ground.dice.random() * 40.0, lambda: node.in_flight.clear())


# ------------------------------------------------------------ officers' and thieves' acts


def _deny(site: Site) -> None:
    """Let a request to deny a model reach the journal while the controller is down."""
    dice = site.ground.dice
    wished = sorted({wish.digest for wish in site.witness.wishes.values()})
    if wished and dice.random() < 0.7:
        _deny_model(site, dice.choice(wished))


def _deny_model(site: Site, digest: str) -> None:
    controller = site.controller
    if controller.core is None:
        return
    controller.kept_down = True
    controller.kill()

    def back() -> None:
        if controller.core is not None:
            return  # somebody started it before
        _journal_denial(site, digest)
        controller.kept_down = False
        controller.start()

    site.ground.after(2.0, back)


def _journal_denial(site: Site, digest: str) -> None:
    journal, now_s = site.witness.journal, site.ground.now_s
    state = folded(journal.read_now(0, 1_000_000))
    if state.site is None or digest in state.denied:
        return
    proposal = propose_deny(trust.standing(state, now_s), digest, "found unsafe")
    if state.open_request(proposal.role) is not None:
        return
    asking = requests.Asking(
        kind="deny", about=digest, summary="Deny a model.", by="officer-1", now_s=now_s
    )
    made = requests.made(state, proposal, asking)
    body = records.encode(made, at_ms=int(now_s * 1000), by="officer-1", subject=made.id)
    record = Record(kind=records.tag_of(made), subject=made.id, body=body)
    journal.append_now(journal.tail, following(journal.tail, [record]))
    site.witness.look()
    site.ground.note(f"{made.id} to deny {digest[:16]}")


def _forge(site: Site) -> None:
    """Let a thief with the controller's key tell a node what to run, once in a history."""
    if site.forged or site.ground.dice.random() < 0.6:
        return
    node = _some_node(site)
    held = node.accepted
    if held is None:
        return
    site.forged = True
    site.ground.note(f"a forged document for {node.name}")
    forged = msgspec.structs.replace(
        held,
        generation=held.generation + 1000,
        placements=(*held.placements, *_forged(site, node)),
    )
    document = sign(codec.encode(forged), ceremony().desired, DESIRED_CONTEXT)
    site.hub.push(node.name, codec.encode(document))
    # What a thief made run, an officer can still stop: the node obeys denials, not the controller.
    denied = site.ground.dice.choice(forged.placements).manifest_digest
    site.ground.after(8.0, lambda: _deny_model(site, denied))


def _forged(site: Site, node: Node) -> list[Placement]:
    """Return placements that the site never decided: any model, any zone, too many."""
    dice = site.ground.dice
    zone = node.name.partition("-")[0]
    result = []
    for number in range(dice.randint(1, 4)):
        model = MODELS[dice.choice(sorted(MODELS))]
        result.append(
            Placement(
                slot=f"forged-{number}",
                alias="forged",
                model=model.name,
                version=model.version,
                manifest_digest=model.digest,
                device=dice.choice(node.engines.uuids),
                generation=number + 1,
                zone=zone if dice.random() < 0.7 else dice.choice(sorted(ZONES)),
                operations=("chat",),
                settings=EngineSettings(),
                claim_bytes=dice.randint(2, 14) * GIB,
                blobs_urls=(),
                ticket=b"",
            )
        )
    return result


def _replay(site: Site) -> None:
    """Deliver a document of long ago once more."""
    node = _some_node(site)
    if node.disk.desired is None:
        return
    old = node.disk.desired
    stamp = payload_of(old).generation
    site.ground.note(f"document {stamp} for {node.name} will come again")
    delay_s = 2.0 + site.ground.dice.random() * 10.0
    site.ground.after(delay_s, lambda: site.hub.push(node.name, old))


def _some_node(site: Site) -> Node:
    return site.ground.dice.choice(list(site.nodes.values()))


_FAULTS: Final[tuple[Callable[[Site], None], ...]] = (
    _kill_controller, _kill_node, _kill_node, _kill_helper, _cut, _cut, _cut, _wipe, _switch_off,
    _fail_engine, _fail_engine, _lose_device, _grab_memory, _busy, _deny, _deny, _forge, _replay,
)  # fmt: skip
