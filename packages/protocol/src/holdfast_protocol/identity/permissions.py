"""The one table of who may publish and subscribe what, per role (design, NATS: accounts, subjects).

Pure. Whatever is not listed is refused by the broker. Every role has its own inbox prefix: without
it, two users of one account could read each other's answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from holdfast_protocol import subjects
from holdfast_protocol.identity.jwt import Allow

EVERYTHING: Final = ">"
ANY_PEER: Final = "*"
Role = Literal["operator", "officer", "auditor"]


class Permissions(NamedTuple):
    """What a user may publish and what it may subscribe; ``subject queue`` allows that queue."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    def publishing(self) -> Allow:
        """The publish side as a claim carries it."""
        return _closed(self.publish)

    def subscribing(self) -> Allow:
        """The subscribe side as a claim carries it."""
        return _closed(self.subscribe)


def controller() -> Permissions:
    """The site's brain, in CONTROL."""
    return Permissions(
        publish=(
            subjects.ALL_DESIRED,
            subjects.ALL_COMMANDS,
            # Its answers go to whoever asked; nobody but the asker may subscribe there.
            "_INBOX.*.>",
            "$JS.API.>",
            "$JS.*.API.>",
            "$JS.ACK.>",
        ),
        subscribe=(
            subjects.ALL_EVENTS,
            subjects.ALL_TELEMETRY,
            subjects.ALL_HEARTBEATS,
            subjects.ALL_TUF,
            subjects.ALL_API,
            subjects.ALL_ENROLMENTS,
            _inbox(subjects.CONTROLLER),
        ),
    )


def agent(node: str, domain: str) -> Permissions:
    """A node's agent, in CONTROL; ``domain`` is the JetStream domain of the desired documents."""
    return Permissions(
        publish=(
            subjects.event(node, "x").removesuffix("x") + "*",
            subjects.telemetry(node, "x").removesuffix("x") + "*",
            subjects.heartbeat(node),
            subjects.tuf(node),
            *_last_desired(domain, node),
            _inbox(subjects.CONTROLLER),
        ),
        subscribe=(subjects.desired(node), subjects.commands(node), _inbox(node)),
    )


def gateway(node: str, zones: Sequence[str], peers: Sequence[str]) -> Permissions:
    """A node's gateway, in INFERENCE, for the zones of its site certificate only.

    ``peers`` may be ``ANY_PEER``: then it answers a gateway enrolled later too. Nobody but the
    gateways of one jurisdiction is in INFERENCE on a broker, and their inboxes are unguessable.
    """
    publish = ["_R_.>"]
    subscribe = [_inbox(node)]
    for zone in zones:
        publish += [
            subjects.run(zone, node).removesuffix(node) + "*",
            subjects.cancel_relay(zone, node).removesuffix(node) + "*",
        ]
        subscribe += [
            f"{subjects.ingress(zone)} {subjects.INGRESS_QUEUE}",
            subjects.ingress_cancel(zone),
            subjects.run(zone, node),
            subjects.cancel_relay(zone, node),
        ]
    publish += ["_INBOX.*.>" if peer == ANY_PEER else _inbox(peer) for peer in peers]
    return Permissions(tuple(publish), tuple(subscribe))


def relay(broker: str, domain: str) -> Permissions:
    """The claims relay beside a broker, in CONTROL; it speaks under the broker's name."""
    return Permissions(
        publish=(
            subjects.heartbeat(broker),
            *_last_desired(domain, broker),
            _inbox(subjects.CONTROLLER),
        ),
        subscribe=(subjects.desired(broker), _inbox(broker)),
    )


def relay_system(broker: str) -> Permissions:
    """The claims relay in SYS: update, list and look up claims; never delete, never servers."""
    return Permissions(
        publish=(subjects.CLAIMS_UPDATE, subjects.CLAIMS_LIST, subjects.claims_lookup("*")),
        subscribe=(_inbox(broker),),
    )


def leaf(members: Sequence[str], domain: str) -> Permissions:
    """The link of another jurisdiction's broker into CONTROL, seen from the hub.

    ``members`` are the nodes and the broker's own name over there: what the link may carry is what
    they may say and hear together, so a broker taken over cannot speak for another jurisdiction.
    """
    rights = [agent(member, domain) for member in members]
    # A dictionary keeps the order and drops what several members share.
    publish = dict.fromkeys(_open(subject) for one in rights for subject in one.publish)
    subscribe = dict.fromkeys(_open(subject) for one in rights for subject in one.subscribe)
    return Permissions(tuple(publish), tuple(subscribe))


def person(who: str, role: Role) -> Permissions:
    """A person's console and commands, in CONTROL, under its own name only.

    What the person may ask is the controller's decision by role; auditors see no live numbers.
    """
    live = () if role == "auditor" else (subjects.ALL_HEARTBEATS, subjects.ALL_TELEMETRY)
    own = subjects.api(who, "x", "x").removesuffix("x.x") + "*.*"
    return Permissions(publish=(own,), subscribe=(*live, _inbox(who)))


def application(user: str) -> Permissions:
    """A user of an application's own account."""
    return Permissions(publish=("infer.*.*",), subscribe=("results.>", "status.*", _inbox(user)))


def bootstrap(nonce: str) -> Permissions:
    """A new node before it is enrolled, in CONTROL."""
    return Permissions(publish=(subjects.enrolment(nonce),), subscribe=(_inbox(nonce),))


def _open(subject: str) -> str:
    # A link passes interest in "a.*.*" for a right to "a.b.>", but not for one to "a.b.*"
    # (measured with 2.15.1); nodes' own rights are still the narrow ones.
    return subject.removesuffix(".*") + ".>" if subject.endswith(".*") else subject


def _inbox(who: str) -> str:
    return f"{subjects.inbox_prefix(who)}.>"


def _last_desired(domain: str, node: str) -> tuple[str, str]:
    # The domain's own broker maps the domain form to the plain one before it checks permissions
    # (measured); at a leaf the plain form reaches nothing.
    subject = subjects.desired(node)
    stream = subjects.DESIRED_STREAM
    return (
        subjects.direct_get(domain, stream, subject),
        subjects.direct_get(None, stream, subject),
    )


def _closed(allowed: tuple[str, ...]) -> Allow:
    # An empty list of allowed subjects means everything to the server.
    return Allow(allow=allowed) if allowed else Allow(deny=(EVERYTHING,))
