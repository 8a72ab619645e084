"""What stands around a controller's core in tests: one ceremony, an importer, a minter."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast_bundles.site import build_frame, generate_key, officer, sign_payload
from holdfast_bundles.site.frame import FrameSpec, load_frame
from holdfast_bundles.site.keys import Ed25519Key
from holdfast_bundles.site.model import SiteCertificate
from holdfast_bundles.site.propose import Standing, propose_node
from holdfast_bundles.site.request import assemble
from holdfast_protocol import codec, importer, minting
from holdfast_protocol.configs import BrokerEntry, Founding, Person
from holdfast_protocol.limits import GIB

START: Final = 1_800_000_000.0
SITE: Final = "alpha"
ZONES: Final = {"de": "DE", "fr": "FR"}
NODES: Final = {"de-1": ("DE", "de"), "de-2": ("DE", "de"), "fr-1": ("FR", "fr")}
PEOPLE: Final = {
    "officer-1": "officer",
    "officer-2": "officer",
    "officer-3": "officer",
    "operator-1": "operator",
    "auditor-1": "auditor",
}


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    roots: tuple[Ed25519Key, ...]
    daily: tuple[Ed25519Key, ...]
    online: Ed25519Key
    desired: Ed25519PrivateKey
    founding: Founding


@cache
def keys() -> Keys:
    """Return one ceremony per run: three officers, two decide, three certified nodes."""
    roots = tuple(generate_key() for _ in range(3))
    daily = tuple(generate_key() for _ in range(3))
    online = generate_key()
    officers = tuple(
        officer(f"officer-{n + 1}", roots[n].public_hex, daily[n].public_hex) for n in range(3)
    )
    spec = FrameSpec(site=SITE, officers=officers, threshold=2, online_public=online.public_hex)
    files = {
        role: assemble(one, [sign_payload(one.payload, key) for key in roots[:2]])
        for role, one in build_frame(spec, START).items()
    }
    standing = Standing(frame=load_frame(files, SITE), current={}, now_s=START)
    for node, (jurisdiction, zone) in NODES.items():
        one = propose_node(standing, certificate(node, jurisdiction, zone))
        files[one.role] = assemble(one, [sign_payload(one.payload, key) for key in daily[:2]])
    founding = Founding(
        site=SITE,
        zone="de",
        zones=ZONES,
        people=tuple(Person(who=who, role=role) for who, role in PEOPLE.items()),
        nodes=tuple(NODES),
        files=files,
    )
    return Keys(
        roots=roots,
        daily=daily,
        online=online,
        desired=Ed25519PrivateKey.generate(),
        founding=founding,
    )


def certificate(node: str, jurisdiction: str, zone: str) -> SiteCertificate:
    return SiteCertificate(
        node=node,
        jurisdiction=jurisdiction,
        zones=(zone,),
        nats_public="U" + "A" * 55,
        gateway_nats_public="U" + "B" * 55,
        x25519_public="ab" * 32,
        tls_spki_sha256="cd" * 32,
        limits={},
        not_after_s=int(START) + 365 * 24 * 3600,
    )


def brokers() -> tuple[BrokerEntry, ...]:
    return tuple(
        BrokerEntry(
            name=f"broker-{zone}", zone=zone, jurisdiction=where, servers=(f"tls://{zone}",)
        )
        for zone, where in ZONES.items()
    )


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def imported(
    name: str = "acme/llm",
    version: str = "1.0",
    weights: bytes = b"weights",
    promoted: bool = False,
) -> importer.ImportedModel:
    manifest = codec.encode({"name": name, "version": version, "weights": digest_of(weights)})
    return importer.ImportedModel(
        name=name,
        version=version,
        target=f"{name}/{version}/manifest.json",
        manifest_digest=digest_of(manifest),
        manifest_length=len(manifest),
        size_bytes=8 * GIB,
        license="Apache-2.0",
        format="gguf",
        architecture="llama",
        parents=[],
        bom_digest=digest_of(b"bom"),
        probes_digest=None,
        manifest=manifest,
        weights=importer.WeightsBlob(digest=digest_of(weights), size_bytes=8 * GIB),
        digests=[digest_of(manifest), digest_of(weights)],
        operations=["chat", "complete"],
        context_length=8192,
        embedding_length=4096,
        kv_bytes_per_token=65536,
        release_seq=1,
        vendor_versions=importer.VendorVersions(
            root=1, timestamp=1, snapshot=1, targets=1, roles={}
        ),
        signers=["ab"],
        promoted=promoted,
    )


class FakeImporter:
    """Verifies nothing and finishes at the second question; remembers what it was told."""

    def __init__(self, models: list[importer.ImportedModel] | None = None) -> None:
        self.models = [imported()] if models is None else models
        self.known: dict[str, importer.Importing] = {}
        self.reachable = True

    def answer(self, request: importer.ImporterRequest) -> importer.ImporterReply | None:
        if not self.reachable:
            return None
        match request:
            case importer.StartImport():
                return self._start(request)
            case importer.ImportStatus():
                return self._quarantined(request.import_id)
            case importer.Promote():
                return self._promote(request)
            case importer.Discard():
                self.known.pop(request.import_id, None)
                return importer.Importing(
                    import_id=request.import_id, state=importer.ImportState.FAILED
                )
            case importer.ReadDocument():
                raise AssertionError("the controller reads no documents")

    def _start(self, request: importer.StartImport) -> importer.ImporterReply:
        if not request.vendor_roots:
            return self._said(
                request.import_id, importer.ImportState.QUARANTINED, models=[], skipped=["acme"]
            )
        if request.import_id in self.known:
            return self.known[request.import_id]
        return self._said(request.import_id, importer.ImportState.COPYING)

    def _quarantined(self, import_id: str) -> importer.ImporterReply:
        known = self.known.get(import_id)
        if known is None:
            fault = importer.ImportFault(code="NOT_FOUND", message="There is no such import.")
            return importer.Refused(error=fault)
        return self._said(import_id, importer.ImportState.QUARANTINED, models=self.models)

    def _promote(self, request: importer.Promote) -> importer.ImporterReply:
        done = [
            msgspec.structs.replace(
                each, promoted=each.promoted or each.manifest_digest == request.manifest_digest
            )
            for each in self.models
        ]
        self.models = done
        return self._said(request.import_id, importer.ImportState.PROMOTED, models=done)

    def _said(
        self,
        import_id: str,
        state: importer.ImportState,
        models: list[importer.ImportedModel] | None = None,
        skipped: list[str] | None = None,
    ) -> importer.Importing:
        said = importer.Importing(
            import_id=import_id, state=state, models=models or [], skipped_vendors=skipped or []
        )
        self.known[import_id] = said
        return said


def signed_by_minter(request: minting.MintAsked, denied: Mapping[str, str]) -> minting.MintAnswer:
    """Sign whatever is asked, as a minter that was shown the records would."""
    match request:
        case minting.MintApplication():
            return minted(request, f"app:{request.app}" in denied)
        case minting.MintCode():
            return minting.MintedCode(
                nonce=request.nonce,
                node=request.node,
                user_jwt=f"code-{request.not_after_s}",
                certificate=b"cert",
                ca=b"ca",
                domain="de",
            )
        case minting.MintNode():
            return minting.MintedNode(
                nonce=request.nonce,
                node=request.node,
                agent_jwt="agent",
                gateway_jwt="gateway",
                certificate=b"cert",
                gateway_certificate=b"gateway cert",
                ca=b"ca",
            )


def minted(request: minting.MintApplication, revoked: bool) -> minting.MintedApplication:
    return minting.MintedApplication(
        app=request.app,
        account=f"A-{request.app}",
        account_jwt=f"jwt-{request.app}-{int(revoked)}",
        user_jwt=None if revoked else f"user-{request.app}",
        certificate=None if revoked else b"cert",
        ca=b"ca",
    )
