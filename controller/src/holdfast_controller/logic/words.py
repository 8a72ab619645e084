"""Facts in words, one sentence each, for the events that people read."""

from __future__ import annotations

from holdfast_evidence import leaf_hash
from holdfast_protocol.views import EventView

from holdfast_controller.logic import facts, records
from holdfast_controller.logic.facts import AnyFact


def event(seq: int, body: bytes) -> EventView:
    """Return record ``seq`` for people; ``leaf`` is its hash in the log."""
    recorded = records.decode(body)
    return EventView(
        seq=seq,
        at=recorded.at_ms / 1000,
        kind=records.tag_of(recorded.fact),
        subject=recorded.subject,
        text=f"{sentence(recorded.fact).rstrip('.')}{_by(recorded.by)}",
        leaf=leaf_hash(body).hex(),
    )


def sentence(fact: AnyFact) -> str:
    """Return what happened, without a full stop: who did it follows."""
    match fact:
        case facts.SiteFounded():
            return f"Site {fact.site} was founded with {len(fact.people)} people"
        case facts.ControllerStarted():
            return f"Controller {fact.version} took up the journal"
        case facts.LeaderTaken():
            return f"Epoch {fact.epoch} began: {fact.reason}"
        case facts.RoleFileAccepted():
            return f"Role file {fact.version}.{fact.role} is in force"
        case facts.TrustStamped():
            return f"The trust was stamped: snapshot {fact.snapshot}, timestamp {fact.timestamp}"
        case facts.NodeCertified():
            return f"Node {fact.node} is certified for {fact.jurisdiction}, {' '.join(fact.zones)}"
        case facts.VendorTrusted():
            return f"Vendor {fact.vendor} is trusted"
        case facts.PolicyAdopted():
            return f"Policy {fact.serial} is in force as {fact.digest}"
        case facts.Denied():
            return f"{fact.what} is denied: {fact.reason}"
        case facts.DenialLifted():
            return f"{fact.what} is denied no longer"
        case facts.NodeSeen() | facts.NodeLost() | facts.NodeReturned() | facts.EventRecorded():
            return _fleet(fact)
        case facts.NodeCordoned():
            doing = "is being drained" if fact.drain else "is cordoned"
            return f"Node {fact.node} {doing}"
        case facts.NodeUncordoned():
            return f"Node {fact.node} is in service again"
        case facts.NodeCodeMade():
            return f"A one-time code for node {fact.node} in {fact.zone} was made"
        case facts.NodeCodeMinted():
            return f"The code of node {fact.node} can be used"
        case facts.NodeAsked():
            return f"Node {fact.node} used its code; {fact.request} waits for officers"
        case facts.NodeMinted():
            return f"The credentials of node {fact.node} were signed"
        case facts.AppAsked():
            return f"Application {fact.name} was asked for in {fact.zone}"
        case facts.AppGranted():
            return f"Application {fact.name} is granted"
        case facts.AppMinted():
            return f"The account of {fact.name} was signed"
        case facts.ClaimsConfirmed():
            return f"{fact.broker} has {len(fact.accounts)} accounts"
        case _:
            return _more(fact)


def _fleet(
    fact: facts.NodeSeen | facts.NodeLost | facts.NodeReturned | facts.EventRecorded,
) -> str:
    match fact:
        case facts.NodeSeen():
            return f"Node {fact.node} reports {len(fact.devices)} devices, trust {fact.trust}"
        case facts.NodeLost():
            silent_s = (fact.at_ms - fact.silent_since_ms) / 1000
            return f"Node {fact.node} is lost, silent for {silent_s:.1f} s"
        case facts.NodeReturned():
            return f"Node {fact.node} is back"
        case facts.EventRecorded():
            return f"{fact.node}: {fact.kind} of {fact.about}{_why(fact.code, fact.message)}"


def _more(fact: AnyFact) -> str:
    match fact:
        case facts.RequestMade():
            return f"{fact.id} waits for {fact.needed}: {fact.summary}"
        case facts.RequestSigned():
            return f"{fact.person} approved {fact.id}"
        case facts.RequestCommitted():
            return f"{fact.id} took effect"
        case facts.RequestRejected():
            return f"{fact.id} was rejected: {fact.reason or 'no reason given'}"
        case facts.RequestExpired():
            return f"{fact.id} expired"
        case facts.ImportStarted():
            return f"Import {fact.id} of {fact.path} was started"
        case facts.ImportPaused():
            return f"Import {fact.id} waits{_why(fact.code, fact.message)}"
        case facts.ImportFailed():
            return f"Import {fact.id} failed{_why(fact.code, fact.message)}"
        case facts.ModelQuarantined():
            return f"{fact.name}@{fact.version} lies in quarantine"
        case facts.ImportWaiting():
            return f"Import {fact.id} is verified; {len(fact.requests)} requests wait"
        case facts.ModelAllowed():
            return f"{fact.name}@{fact.version} is approved as {fact.digest}"
        case facts.ModelCommitted():
            return f"{fact.digest} lies in the store"
        case facts.ModelDiscarded():
            return f"What import {fact.import_id} held in quarantine is gone"
        case _:
            return _serving(fact)


def _serving(fact: AnyFact) -> str:
    match fact:
        case facts.DeploymentWished():
            where = " ".join(fact.zones)
            return f"{fact.alias} shall be {fact.replicas} x {fact.name}@{fact.version} in {where}"
        case facts.DeploymentWithdrawn():
            return f"{fact.alias} shall be no more"
        case facts.ReplicaPlaced():
            return f"{fact.slot} was placed on {fact.node}, {fact.device}"
        case facts.ReplicaWithdrawn():
            return f"{fact.slot} was withdrawn from {fact.node}: {fact.reason}"
        case facts.ReplicaGone():
            return f"{fact.slot} is gone from {fact.node}"
        case facts.SlotChanged():
            return f"{fact.slot} on {fact.node} is {fact.state}{_why(fact.code, fact.message)}"
        case facts.RouteChanged():
            to = ", ".join(each.node for each in fact.targets) or "nobody"
            return f"{fact.alias} is answered by {to} (epoch {fact.epoch})"
        case _:
            return records.tag_of(fact)


def _why(code: str | None, message: str | None) -> str:
    said = " ".join(part for part in (code, message) if part)
    return f": {said}" if said else ""


def _by(who: str) -> str:
    return "." if who in ("controller", "") else f" (by {who})."
