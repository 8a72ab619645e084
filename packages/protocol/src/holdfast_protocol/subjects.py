"""Every subject of the product, built and parsed here and nowhere else.

The table of the design is the contract; ``docs/guides/subjects.md`` is compared with
:data:`DOCUMENTED` by a test. Tokens are checked before they are put into a subject, so that a
name with a dot or a wildcard can never widen one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import is_token, token

ROOT: Final = "hf.v1"
DESIRED_STREAM: Final = "DES"
EVENT_STREAM: Final = "EVT"
INGRESS_QUEUE: Final = "ingress"

DOCUMENTED: Final[dict[str, str]] = {
    "hf.v1.des.<node>": "controller to agent and broker relay: the desired document",
    "hf.v1.cmd.<node>.<verb>": "controller to agent: a command, idempotent by its id (none yet)",
    "hf.v1.evt.<node>.<kind>": "agent to controller: a fact that must not be lost",
    "hf.v1.tel.<node>.<kind>": "agent to whoever is permitted: lossy numbers (none yet, see hb)",
    "hf.v1.hb.<node>": "agent or relay to whoever is permitted: the absolute report, 1 Hz",
    "hf.v1.tuf.<node>": "agent to controller: a role file by name, verbatim",
    "hf.v1.api.<who>.<resource>.<verb>": "console and commands to controller",
    "hf.v1.run.<zone>.<node>": "gateway to the executing node's gateway",
    "hf.v1.can.<zone>.<node>": "gateway to the executing node's gateway: cancel",
    "hf.v1.enr.<nonce>": "new node to controller: a bootstrap user with this right alone",
    "infer.v1.<zone>.<app>.<alias>.<op>": "application to gateway, written by the broker",
    "infer.<alias>.<op>": "application to the site, as the application says it",
    "results.>": "the site to an application's subscribers, within its own account",
}


def desired(node: str) -> str:
    """The last-value subject of the desired document of a node or broker relay."""
    return f"{ROOT}.des.{token(node, 'node')}"


def command(node: str, verb: str) -> str:
    """The subject of a command to an agent."""
    return f"{ROOT}.cmd.{token(node, 'node')}.{token(verb, 'verb')}"


def commands(node: str) -> str:
    """What an agent subscribes to hear its commands."""
    return f"{ROOT}.cmd.{token(node, 'node')}.*"


def event(node: str, kind: str) -> str:
    """The subject of a fact that must not be lost."""
    return f"{ROOT}.evt.{token(node, 'node')}.{token(kind, 'kind')}"


def telemetry(node: str, kind: str) -> str:
    """The subject of lossy numbers."""
    return f"{ROOT}.tel.{token(node, 'node')}.{token(kind, 'kind')}"


def heartbeat(node: str) -> str:
    """The subject of a node's absolute report."""
    return f"{ROOT}.hb.{token(node, 'node')}"


def tuf(node: str) -> str:
    """The subject on which an agent asks for a role file of the site's trust."""
    return f"{ROOT}.tuf.{token(node, 'node')}"


def api(who: str, resource: str, verb: str) -> str:
    """The subject of a request of a person or program to the controller."""
    return f"{ROOT}.api.{token(who, 'who')}.{token(resource, 'resource')}.{token(verb, 'verb')}"


def run(zone: str, node: str) -> str:
    """The subject on which a gateway takes forwarded requests."""
    return f"{ROOT}.run.{token(zone, 'zone')}.{token(node, 'node')}"


def cancel_relay(zone: str, node: str) -> str:
    """The subject on which a gateway takes relayed cancels."""
    return f"{ROOT}.can.{token(zone, 'zone')}.{token(node, 'node')}"


def ingress(zone: str) -> str:
    """What a gateway subscribes, in queue ``ingress``, to take a zone's requests."""
    return f"infer.v1.{token(zone, 'zone')}.>"


def ingress_cancel(zone: str) -> str:
    """What every gateway of a zone subscribes, without a queue, to hear cancels."""
    return f"infer.v1.{token(zone, 'zone')}.*.*.cancel"


def infer(alias: str, op: str) -> str:
    """What an application publishes."""
    return f"infer.{token(alias, 'alias')}.{token(op, 'operation')}"


def results(topic: str) -> str:
    """What an application names as reply so that several services hear the answer."""
    return f"results.{topic}"


def enrolment(nonce: str) -> str:
    """The subject on which a new node says who it is; its bootstrap user has this right alone."""
    return f"{ROOT}.enr.{token(nonce, 'nonce')}"


def inbox_prefix(who: str) -> str:
    """The prefix of an identity's own inboxes; only it may subscribe below."""
    return f"_INBOX.{token(who, 'who')}"


def is_inbox_of(subject: str, who: str) -> bool:
    """Tell whether ``subject`` is an inbox of ``who``: where alone it may be answered.

    Whoever asks names the subject of the answer, and the broker does not check it; an answer
    anywhere else would be said with the rights of who answers.
    """
    return is_token(who) and subject.startswith(f"_INBOX.{who}.")


def jetstream_api(domain: str | None) -> str:
    """The prefix of JetStream's API, of a domain or (None) of the broker connected to."""
    return "$JS.API" if domain is None else f"$JS.{token(domain, 'domain')}.API"


def direct_get(domain: str | None, stream: str, subject: str) -> str:
    """The subject that answers with the last value of ``subject`` in ``stream``.

    The domain form works at a leaf and at the hub itself; the plain form works only at the hub.
    """
    return f"{jetstream_api(domain)}.DIRECT.GET.{stream}.{subject}"


def claims_lookup(account: str) -> str:
    """The system account's subject that answers with an account's claim as the broker holds it."""
    return f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP"


CLAIMS_UPDATE: Final = "$SYS.REQ.CLAIMS.UPDATE"
CLAIMS_LIST: Final = "$SYS.REQ.CLAIMS.LIST"
CONTROLLER: Final = "controller"
ALL_COMMANDS: Final = f"{ROOT}.cmd.*.*"
ALL_ENROLMENTS: Final = f"{ROOT}.enr.*"
ALL_HEARTBEATS: Final = f"{ROOT}.hb.*"
ALL_TELEMETRY: Final = f"{ROOT}.tel.*.*"
ALL_EVENTS: Final = f"{ROOT}.evt.*.*"
ALL_API: Final = f"{ROOT}.api.*.*.*"
ALL_TUF: Final = f"{ROOT}.tuf.*"
ALL_DESIRED: Final = f"{ROOT}.des.*"


class ApiSubject(NamedTuple):
    """Who asks what; ``who`` is the only identity the controller believes."""

    who: str
    resource: str
    verb: str


class IngressSubject(NamedTuple):
    """An application's request as the broker wrote it."""

    zone: str
    app: str
    alias: str
    op: str


def _tokens(subject: str, prefix: str, count: int) -> list[str]:
    parts = subject.split(".")
    head = prefix.split(".")
    rest = parts[len(head) :]
    if parts[: len(head)] != head or len(rest) != count or not all(map(is_token, rest)):
        raise HoldfastError(Code.BAD_NAME, f"subject {subject[:120]!a} is not one of ours.")
    return rest


def parse_api(subject: str) -> ApiSubject:
    """Return who asks what of ``hf.v1.api.…``; raises ``BAD_NAME``."""
    return ApiSubject(*_tokens(subject, f"{ROOT}.api", 3))


def parse_ingress(subject: str) -> IngressSubject:
    """Return the parts of ``infer.v1.…``; raises ``BAD_NAME`` for a wildcard sent as a literal."""
    return IngressSubject(*_tokens(subject, "infer.v1", 4))


def parse_event(subject: str) -> tuple[str, str]:
    """Return (node, kind) of ``hf.v1.evt.…``; raises ``BAD_NAME``."""
    node, kind = _tokens(subject, f"{ROOT}.evt", 2)
    return node, kind


def parse_node(subject: str, plane: str) -> str:
    """Return the node of ``hf.v1.<plane>.<node>``; raises ``BAD_NAME``."""
    return _tokens(subject, f"{ROOT}.{plane}", 1)[0]
