"""The rows of each screen and the sentence about each, from one look at the site."""

from __future__ import annotations

from typing import NamedTuple

from holdfast_protocol.views import DeploymentView, GpuView, NodeView, ReplicaView

from holdfast_tui.logic import numbers
from holdfast_tui.logic.console import standing
from holdfast_tui.logic.console.known import Picture
from holdfast_tui.logic.console.standing import Standing
from holdfast_tui.logic.listings import gpu_name
from holdfast_tui.logic.text import NOT_KNOWN, clean


class Row(NamedTuple):
    """A line of a table: who it is, how it stands, what it says; all text is clean."""

    key: str
    standing: Standing
    cells: tuple[str, ...]
    note: str
    fields: tuple[tuple[str, str], ...]
    """Everything that is known of it, for the detail view."""


def _row(
    key: str,
    stands: Standing,
    cells: tuple[str, ...],
    note: str,
    fields: tuple[tuple[str, str], ...] = (),
) -> Row:
    return Row(
        key,
        stands,
        tuple(clean(cell) for cell in cells),
        clean(note),
        tuple((name, clean(value)) for name, value in fields),
    )


def nodes(picture: Picture, since_s: float) -> list[Row]:
    """Every node."""
    return [_node(one, since_s) for one in picture.nodes]


def _node(one: NodeView, since_s: float) -> Row:
    stands = standing.aged(one.state, one.age_s, since_s)
    if stands.ok and one.gateway == "down":
        stands = Standing(stands.word, "^", "warn")
    age_s = None if one.age_s is None else one.age_s + since_s
    behind = one.desired_generation - one.generation
    notes = [
        (one.reason or "").rstrip("."),
        "gateway is down" if one.gateway == "down" else "",
        f"{behind} documents behind" if behind > 0 else "",
        f"trust is {one.trust}" if one.trust not in ("fresh", "offline_ok", "") else "",
    ]
    said = "; ".join(note for note in notes if note)
    memory = numbers.used(one.host_memory_used_bytes, one.host_memory_total_bytes)
    return _row(
        one.id,
        stands,
        (
            one.id,
            one.jurisdiction,
            stands.word,
            numbers.seen(age_s),
            f"{one.slots_ready}/{one.slots_total}",
            one.gateway or NOT_KNOWN,
            one.trust or NOT_KNOWN,
            memory,
            one.isolation or NOT_KNOWN,
            one.engine or NOT_KNOWN,
        ),
        f"{one.id}: {said or ('all is well' if stands.ok else f'is {stands.word}')}.",
        (
            ("node", one.id),
            ("state", stands.word),
            ("last heard", f"{numbers.seen(age_s)} ago"),
            ("jurisdiction", one.jurisdiction),
            ("zones", " ".join(one.zones)),
            ("gateway", one.gateway or NOT_KNOWN),
            ("replicas ready", f"{one.slots_ready} of {one.slots_total}"),
            ("generation", f"{one.generation} of {one.desired_generation}"),
            ("trust", f"{one.trust or NOT_KNOWN}, snapshot {one.snapshot}"),
            ("engine", one.engine or NOT_KNOWN),
            ("isolation", one.isolation or NOT_KNOWN),
            ("host memory", memory),
        ),
    )


def gpus(picture: Picture, since_s: float) -> list[Row]:
    """Every GPU."""
    return [_gpu(one, since_s) for one in picture.gpus]


def _gpu(one: GpuView, since_s: float) -> Row:
    stands = standing.aged(one.state, one.age_s, since_s)
    age_s = None if one.age_s is None else one.age_s + since_s
    memory = numbers.used(one.memory_used_bytes, one.memory_total_bytes)
    name = gpu_name(one)
    return _row(
        one.uuid,
        stands,
        (
            one.node,
            name,
            stands.word,
            numbers.percent(one.utilization_percent),
            _gauge(one.memory_used_bytes, one.memory_total_bytes),
            memory,
            numbers.celsius(one.temperature_c),
            numbers.watts(one.power_mw),
            numbers.size(one.claimed_bytes),
            numbers.seen(age_s),
            one.uuid,
        ),
        f"{one.uuid} on {one.node}: {numbers.size(one.claimed_bytes)} claimed.",
        (
            ("gpu", one.uuid),
            ("name", name),
            ("node", one.node),
            ("state", stands.word),
            ("memory used", memory),
            ("claimed", numbers.size(one.claimed_bytes)),
            ("utilization", numbers.percent(one.utilization_percent)),
            ("temperature", numbers.celsius(one.temperature_c)),
            ("power", numbers.watts(one.power_mw)),
            ("last heard", f"{numbers.seen(age_s)} ago"),
        ),
    )


def _gauge(used_bytes: int | None, total_bytes: int) -> str:
    if used_bytes is None or total_bytes <= 0:
        return f"[{NOT_KNOWN:^6}]"
    filled = min(6, max(0, round(used_bytes * 6 / total_bytes)))
    return f"[{'#' * filled:-<6}]"


def models(picture: Picture, _: float) -> list[Row]:
    """Every model."""
    return [
        _row(
            one.digest,
            standing.of(one.state),
            (
                one.name,
                one.version,
                one.state.upper(),
                numbers.size(one.size_bytes),
                one.license,
                " ".join(one.operations) or NOT_KNOWN,
                one.digest,
            ),
            f"{one.name}@{one.version}: {_model_note(one.state)}",
            (
                ("model", f"{one.name}@{one.version}"),
                ("state", one.state.upper()),
                ("digest", one.digest),
                ("size", numbers.size(one.size_bytes)),
                ("licence", one.license),
                ("does", " ".join(one.operations) or NOT_KNOWN),
                *(("made from", parent) for parent in one.parents),
            ),
        )
        for one in picture.models
    ]


def _model_note(state: str) -> str:
    notes = {
        "approved": "may be deployed.",
        "quarantined": "waits for officers, screen 5.",
        "denied": "an officer denied it; nothing loads it.",
    }
    return notes.get(state, "is in a state this console does not know.")


def deployments(picture: Picture, _: float) -> list[Row]:
    """Every replica; an alias without one has a row too."""
    rows: list[Row] = []
    for one in picture.deployments:
        rows += [_replica(one, replica) for replica in one.replicas] or [_waiting(one)]
    return rows


def _waiting(one: DeploymentView) -> Row:
    stands = standing.of(one.state)
    model = f"{one.model}@{one.version}"
    cells = (one.alias, stands.word, " ".join(one.zones), "-", "-", "-", model)
    fields = (
        ("alias", one.alias),
        ("state", stands.word),
        ("model", model),
        ("zones", " ".join(one.zones)),
        ("replicas", f"0 of {one.replicas_wanted}"),
    )
    return _row(one.alias, stands, cells, f"{one.alias}: {one.reason or 'no replica yet.'}", fields)


def _replica(one: DeploymentView, replica: ReplicaView) -> Row:
    own, whole = standing.of(replica.state), standing.of(one.state)
    stands = own if not own.ok else whole
    done = "" if own.ok else numbers.progress(replica.bytes_done, replica.bytes_total)
    state = f"{own.word} {done}".strip()
    why = replica.message or one.reason
    note = f"{one.alias} on {replica.node}: {why or 'answers.'}"
    model = f"{one.model}@{one.version}"
    return _row(
        f"{one.alias}/{replica.node}/{replica.generation}",
        Standing(whole.word, stands.mark, stands.kind),
        (
            one.alias,
            whole.word,
            replica.zone,
            replica.node,
            state,
            str(replica.in_flight),
            model,
        ),
        note,
        (
            ("alias", one.alias),
            ("state", whole.word),
            ("model", model),
            ("digest", one.digest),
            ("replica", state),
            ("node", f"{replica.node}, zone {replica.zone}"),
            ("device", replica.device),
            ("generation", str(replica.generation)),
            ("in flight", str(replica.in_flight)),
            ("code", replica.code or "-"),
            ("why", why or "-"),
        ),
    )


def requests(picture: Picture, _: float) -> list[Row]:
    """Every request: those that wait first, the newest of each before the older."""
    newest = picture.requests[::-1]
    waiting = [one for one in newest if one.state == "pending"]
    ordered = [*waiting, *(one for one in newest if one.state != "pending")]
    return [
        _row(
            one.id,
            standing.of(one.state),
            (
                one.id,
                one.kind,
                one.state.upper(),
                f"{one.approvals}/{one.needed}",
                one.summary,
                one.created_by,
                numbers.moment(one.created),
            ),
            _request_note(one.id, one.state, one.approvals, one.needed),
            (
                ("request", one.id),
                ("kind", one.kind),
                ("state", one.state.upper()),
                ("what", one.summary),
                ("signed", f"{one.approvals} of {one.needed}"),
                ("signed by", " ".join(one.signed_by) or "-"),
                ("made", f"{numbers.moment(one.created)} by {one.created_by}"),
                ("expires", numbers.moment(one.expires)),
                ("file", f"{one.role} version {one.version}"),
                ("sha256", one.sha256),
                ("reason", one.reason or "-"),
            ),
        )
        for one in ordered
    ]


def _request_note(request_id: str, state: str, approvals: int, needed: int) -> str:
    if state != "pending":
        return f"{request_id} is {state}."
    return (
        f"{request_id} needs {max(0, needed - approvals)} more: "
        f"holdfast approve {request_id} --as OFFICER"
    )


def events(picture: Picture, _: float) -> list[Row]:
    """Every record that is kept, oldest first."""
    return [
        _row(
            str(one.seq),
            Standing("", " ", "plain"),
            (str(one.seq), *_date_and_time(one.at), one.kind, one.subject, one.text),
            one.text,
            (
                ("record", str(one.seq)),
                ("at", numbers.moment(one.at)),
                ("kind", one.kind),
                ("subject", one.subject),
                ("what", one.text),
                ("leaf", one.leaf),
            ),
        )
        for one in picture.events
    ]


def _date_and_time(at: float) -> tuple[str, str]:
    date, _, time = numbers.moment(at).partition(" ")
    return date, time or NOT_KNOWN
