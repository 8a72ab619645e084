"""One sample of every fact. ``python -m tests.unit.controller.fact_samples`` adds the missing.

A golden file is written once, by the first version that knows the fact, and never again: what lies
in a journal somewhere has exactly these bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from holdfast_controller.logic import facts, records
from holdfast_controller.logic.facts import AnyFact

GOLDEN: Final = Path(__file__).parent / "golden"
D1: Final = "sha256:" + "11" * 32
D2: Final = "sha256:" + "22" * 32
AT_MS: Final = 1_800_000_000_123

SITE: Final[tuple[AnyFact, ...]] = (
    facts.SiteFounded(
        site="alpha", zone="de", zones={"de": "DE", "fr": "FR"}, people={"officer-1": "officer"}
    ),
    facts.ControllerStarted(version="0.1.0", at_ms=AT_MS),
    facts.LeaderTaken(epoch=2, reason="restore"),
    facts.RoleFileAccepted(role="ok-01234567", version=1, content=b'{"signed":{}}'),
    facts.TrustStamped(snapshot=3, timestamp=4, at_ms=AT_MS, files={"timestamp.json": b"{}"}),
    facts.NodeCertified(node="de-1", jurisdiction="DE", zones=("de",), not_after_s=1_900_000_000),
    facts.VendorTrusted(vendor="acme", root=b"{}"),
    facts.PolicyAdopted(
        serial=3,
        digest=D1,
        prev_digest=D2,
        effective_from_s=1_800_000_000,
        not_after_s=1_900_000_000,
    ),
    facts.Denied(what=D1, reason="found unsafe"),
    facts.DenialLifted(what=D1),
    facts.RequestMade(
        id="r-1",
        kind="import",
        role="ok-01234567",
        version=1,
        payload=b"{}",
        sha256="ab" * 32,
        subject="allow/acme/llm/1.0/manifest.json",
        about=D1,
        summary="Let acme/llm@1.0 in.",
        needed=2,
        by="operator-1",
        at_ms=AT_MS,
        expires_ms=AT_MS + 1,
    ),
    facts.RequestSigned(id="r-1", keyid="cd" * 32, person="Ada", signature="ef" * 64),
    facts.RequestCommitted(id="r-1"),
    facts.RequestRejected(id="r-1", by="officer-1", reason="not needed"),
    facts.RequestExpired(id="r-1"),
)
MODELS: Final[tuple[AnyFact, ...]] = (
    facts.ImportStarted(id="imp-1", path="/media/stick", by="operator-1"),
    facts.ImportPaused(id="imp-1", code="MEDIA_LOST", message="The stick is gone.", file="a"),
    facts.ImportFailed(id="imp-1", code="BLOB_DIGEST", message="a is damaged.", file=None),
    facts.ModelQuarantined(
        import_id="imp-1",
        name="acme/llm",
        version="1.0",
        target="acme/llm/1.0/manifest.json",
        digest=D1,
        manifest=b"{}",
        size_bytes=100,
        license="Apache-2.0",
        format="gguf",
        architecture="llama",
        parents=(D2,),
        bom_digest=D2,
        weights_digest=D2,
        weights_bytes=90,
        digests=(D1, D2),
        operations=("chat",),
        context_length=4096,
        embedding_length=64,
        kv_bytes_per_token=128,
        vendor_root_version=1,
        vendor_targets_version=2,
        signers=("ab",),
    ),
    facts.ImportWaiting(id="imp-1", requests=("r-1",)),
    facts.ModelAllowed(name="acme/llm", version="1.0", digest=D1),
    facts.ModelCommitted(digest=D1),
    facts.ModelDiscarded(import_id="imp-1"),
)
FLEET: Final[tuple[AnyFact, ...]] = (
    facts.NodeSeen(
        node="de-1",
        boot="b1",
        jurisdiction="DE",
        zones=("de",),
        devices=(
            facts.DeviceFact(
                uuid="GPU-1",
                kind="gpu",
                name="sim",
                memory_total_bytes=24 << 30,
                health="ok",
                compute_capability="8.9",
                simulated=True,
            ),
        ),
        engine="xllamacpp 1",
        isolation="bwrap",
        gateway="ok",
        trust="fresh",
    ),
    facts.NodeLost(node="de-1", at_ms=AT_MS, silent_since_ms=AT_MS - 5000),
    facts.NodeReturned(node="de-1"),
    facts.NodeCordoned(node="de-1", drain=True),
    facts.NodeUncordoned(node="de-1"),
    facts.EventRecorded(
        node="de-1",
        boot="b1",
        number=7,
        kind="engine-died",
        about="chat-1",
        code="ENGINE_FAILED",
        message="signal 9",
        at_ms=AT_MS,
    ),
)
ENROLMENT: Final[tuple[AnyFact, ...]] = (
    facts.NodeCodeMade(
        nonce="n1",
        node="de-9",
        zone="de",
        jurisdiction="DE",
        secret_public="ab" * 32,
        user_public="U1",
        csr=b"csr",
        by="officer-1",
        at_ms=AT_MS,
        not_after_ms=AT_MS + 3_600_000,
    ),
    facts.NodeCodeMinted(
        nonce="n1", node="de-9", user_jwt="jwt", certificate=b"cert", ca=b"ca", domain="de"
    ),
    facts.NodeAsked(nonce="n1", node="de-9", request="r-1", keys=b"{}"),
    facts.NodeMinted(
        nonce="n1",
        node="de-9",
        agent_jwt="jwt-a",
        gateway_jwt="jwt-g",
        certificate=b"cert-a",
        gateway_certificate=b"cert-g",
        ca=b"ca",
    ),
)

SERVING: Final[tuple[AnyFact, ...]] = (
    facts.DeploymentWished(
        alias="chat",
        name="acme/llm",
        version="1.0",
        digest=D1,
        zones=("de",),
        replicas=1,
        engine="xllamacpp",
        context_length=2048,
        parallel=4,
        threads=1,
        operations=("chat",),
        claim_bytes=1 << 30,
        by="operator-1",
    ),
    facts.DeploymentWithdrawn(alias="chat", by="operator-1"),
    facts.ReplicaPlaced(
        alias="chat",
        zone="de",
        node="de-1",
        device="GPU-1",
        slot="chat-1",
        generation=1,
        digest=D1,
        claim_bytes=1 << 30,
        free_bytes=2 << 30,
    ),
    facts.ReplicaWithdrawn(alias="chat", node="de-1", slot="chat-1", reason="node-lost"),
    facts.ReplicaGone(node="de-1", slot="chat-1"),
    facts.SlotChanged(node="de-1", slot="chat-1", state="ready", at_ms=AT_MS, capacity=4),
    facts.RouteChanged(
        alias="chat",
        epoch=3,
        digest=D1,
        operations=("chat",),
        targets=(facts.TargetFact(node="de-1", zone="de", slot="chat-1", capacity=4),),
    ),
)
APPS: Final[tuple[AnyFact, ...]] = (
    facts.AppAsked(
        name="desk",
        zone="de",
        aliases=("chat",),
        residency=("DE",),
        classification="0",
        purposes=(),
        user_public="U" + "A" * 55,
        csr=b"csr",
        request="r-2",
    ),
    facts.AppGranted(name="desk"),
    facts.AppMinted(
        name="desk",
        account="A" * 56,
        account_jwt="a.b.c",
        user_jwt=None,
        certificate=None,
        ca=b"ca",
    ),
    facts.ClaimsConfirmed(broker="broker-de", accounts=("desk",), generation=9),
)
TWINS: Final[tuple[AnyFact, ...]] = (
    facts.Denied(what="app:desk", reason="lost key"),
    facts.Denied(what="node:de-1", reason="stolen"),
    facts.DenialLifted(what="app:desk"),
    facts.DenialLifted(what="node:de-1"),
    facts.NodeCordoned(node="de-1", drain=False),
    facts.ModelAllowed(name="acme/llm", version="1.0", digest=D2),
    facts.AppAsked(
        name="desk",
        zone="fr",
        aliases=(),
        residency=("FR",),
        classification="1",
        purposes=(),
        user_public="U",
        csr=b"",
        request="r-1",
    ),
    facts.RouteChanged(alias="chat", epoch=2, digest=D1, operations=(), targets=()),
    facts.ReplicaWithdrawn(alias="chat", node="de-1", slot="chat-1", reason="failed"),
    facts.SlotChanged(node="de-1", slot="chat-1", state="failed", at_ms=AT_MS, code="X"),
)
"""Second ones of a kind, where two of them meet in interesting ways."""

SAMPLES: Final = (*SITE, *MODELS, *FLEET, *ENROLMENT, *SERVING, *APPS)


def record(fact: AnyFact) -> bytes:
    """Return the record of ``fact`` as the golden files have it."""
    return records.encode(fact, at_ms=AT_MS, by="operator-1", subject=records.subject_of(fact))


def main() -> None:
    """Write the golden files that are missing."""
    GOLDEN.mkdir(exist_ok=True)
    for fact in SAMPLES:
        path = GOLDEN / f"{records.tag_of(fact)}.json"
        if not path.exists():
            path.write_bytes(record(fact))


if __name__ == "__main__":
    main()
