"""Imports against the importer's last word: what lies in quarantine, and who must approve it."""

from __future__ import annotations

from typing import Final

from holdfast_bundles.site.model import Approval
from holdfast_bundles.site.propose import propose_allow
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import ImportedModel, Importing, ImportState
from holdfast_protocol.limits import JOURNAL_COMMIT_BYTES

from holdfast_controller.logic import facts, requests, trust
from holdfast_controller.logic.facts import AnyFact
from holdfast_controller.logic.reconcile.view import View
from holdfast_controller.logic.state import Import

_READY: Final = (ImportState.QUARANTINED, ImportState.PROMOTED)


def settled(view: View) -> list[list[AnyFact]]:
    """Return what the importer's last words decide: waiting, stopped, in the store."""
    result: list[list[AnyFact]] = []
    for import_id, said in sorted(view.live.progress.items()):
        known = view.state.imports.get(import_id)
        if known is None:
            continue
        if known.state == "running":
            result += _running(view, known, said)
        result += [[fact] for fact in _stored(view, said)]
    return result


def _running(view: View, known: Import, said: Importing) -> list[list[AnyFact]]:
    if said.state in _READY:
        try:
            return _waiting(view, known, said)
        except HoldfastError as error:
            failed = facts.ImportFailed(
                id=known.id, code=error.code, message=error.message, file=error.file
            )
            return [[failed]]
    fault = said.error
    if fault is None:
        return []
    if said.state is ImportState.PAUSED:
        paused = facts.ImportPaused(
            id=known.id, code=fault.code, message=fault.message, file=fault.file
        )
        return [[paused]]
    if said.state is ImportState.FAILED:
        ended = facts.ImportFailed(
            id=known.id, code=fault.code, message=fault.message, file=fault.file
        )
        return [[ended]]
    return []


def _waiting(view: View, known: Import, said: Importing) -> list[list[AnyFact]]:
    """Return one decision per model, then the import's own: a large stick is many commits."""
    if not said.models:
        vendors = ", ".join(said.skipped_vendors) or "nobody"
        raise HoldfastError(Code.VENDOR_UNKNOWN, f"The bundle is by {vendors}, not trusted here.")
    decisions: list[list[AnyFact]] = []
    ids: list[str] = []
    made = 0
    for model in sorted(said.models, key=lambda each: each.manifest_digest):
        decision: list[AnyFact] = []
        if model.manifest_digest not in view.state.models:
            decision.append(_quarantined(known.id, model))
        name = f"{model.name}@{model.version}"
        if view.state.allowed.get(name) != model.manifest_digest:
            fact, fresh = _request(view, known, model, made + 1)
            made += fresh
            ids.append(fact.id)
            decision += [fact] if fresh else []
        if decision:
            decisions.append(decision)
    return [*decisions, [facts.ImportWaiting(id=known.id, requests=tuple(ids))]]


def _request(
    view: View, known: Import, model: ImportedModel, number: int
) -> tuple[facts.RequestMade, bool]:
    """Return the request that approves ``model`` and whether it is new."""
    approval = Approval(
        vendor_root_version=model.vendor_versions.root,
        vendor_targets_version=model.vendor_versions.targets,
        licence=model.license,
        bom_sha256=model.bom_digest.removeprefix("sha256:") or None,
    )
    at = trust.standing(view.state, view.now_s)
    proposal = propose_allow(at, model.name, model.version, model.manifest, approval)
    if len(proposal.payload) + len(model.manifest) > JOURNAL_COMMIT_BYTES * 2 // 3:
        raise HoldfastError(Code.TOO_LARGE, f"The manifest of {model.name} is too large to keep.")
    asking = requests.Asking(
        kind="import",
        about=model.manifest_digest,
        summary=f"Let {model.name}@{model.version} ({model.license}) in.",
        by=known.by,
        now_s=view.now_s,
    )
    same = requests.same_open(view.state, proposal, asking)
    if same is not None:
        return same.made, False
    return requests.made(view.state, proposal, asking, number), True


def _quarantined(import_id: str, model: ImportedModel) -> facts.ModelQuarantined:
    return facts.ModelQuarantined(
        import_id=import_id,
        name=model.name,
        version=model.version,
        target=model.target,
        digest=model.manifest_digest,
        manifest=model.manifest,
        size_bytes=model.size_bytes,
        license=model.license,
        format=model.format,
        architecture=model.architecture,
        parents=tuple(model.parents),
        bom_digest=model.bom_digest,
        weights_digest=model.weights.digest,
        weights_bytes=model.weights.size_bytes,
        digests=tuple(model.digests),
        operations=tuple(model.operations),
        context_length=model.context_length,
        embedding_length=model.embedding_length,
        kv_bytes_per_token=model.kv_bytes_per_token,
        vendor_root_version=model.vendor_versions.root,
        vendor_targets_version=model.vendor_versions.targets,
        signers=tuple(model.signers),
    )


def _stored(view: View, said: Importing) -> list[AnyFact]:
    result: list[AnyFact] = []
    for each in said.models:
        model = view.state.models.get(each.manifest_digest)
        if each.promoted and model is not None and model.allowed and not model.stored:
            result.append(facts.ModelCommitted(digest=each.manifest_digest))
    return result
