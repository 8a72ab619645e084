"""What must be asked of the importer and the minter: derived from the state, asked until true."""

from __future__ import annotations

import msgspec
from holdfast_protocol import limits
from holdfast_protocol.importer import (
    Discard,
    ImporterRequest,
    ImportState,
    ImportStatus,
    Promote,
    StartImport,
)
from holdfast_protocol.minting import MintApplication, MintAsked

from holdfast_controller.logic.reconcile import enrolment
from holdfast_controller.logic.reconcile.view import View
from holdfast_controller.logic.state import App, Import


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question under a key; the same key is not asked again while it waits."""

    key: str
    request: ImporterRequest | MintAsked
    deadline_s: float


def questions(view: View) -> list[Question]:
    """Return what may be asked now, in order of the keys."""
    wanted = [*_imports(view), *_promotions(view), *_discards(view), *_mints(view)]
    return [each for each in wanted if view.live.may_ask(each.key, view.now_s)]


def _imports(view: View) -> list[Question]:
    return [
        _ask_importer(f"import:{known.id}", _import(view, known))
        for _, known in sorted(view.state.imports.items())
        if known.state == "running"
    ]


def _import(view: View, known: Import) -> ImporterRequest:
    # Starting resumes: so begins a controller that does not remember how far it was, and so goes
    # on an import that paused only because the importer itself was started again.
    said = view.live.progress.get(known.id)
    if said is not None and said.state is not ImportState.PAUSED:
        return ImportStatus(import_id=known.id)
    return StartImport(
        import_id=known.id, path=known.path, vendor_roots=dict(sorted(view.state.vendors.items()))
    )


def _promotions(view: View) -> list[Question]:
    return [
        _ask_importer(
            f"promote:{digest}",
            Promote(import_id=model.facts.import_id, manifest_digest=digest),
        )
        for digest, model in sorted(view.state.models.items())
        if model.allowed and not model.stored
    ]


def _discards(view: View) -> list[Question]:
    return [
        _ask_importer(f"discard:{import_id}", Discard(import_id=import_id))
        for import_id, known in sorted(view.state.imports.items())
        if not known.discarded and _over(view, known)
    ]


def _over(view: View, known: Import) -> bool:
    """Tell whether nobody can need what the import holds in quarantine any more."""
    if known.state not in ("waiting", "failed"):
        return False
    requests = view.state.requests
    if any(requests[each].state == "pending" for each in known.requests):
        return False
    # Another import of the same bytes shares the model that this one brought.
    asked = {each.made.about for each in requests.values() if each.state == "pending"}
    own = [each for each in view.state.models.values() if each.facts.import_id == known.id]
    return not any(each.facts.digest in asked or (each.allowed and not each.stored) for each in own)


def _mints(view: View) -> list[Question]:
    files = view.state.files
    return [
        Question(
            key=f"mint:{name}",
            request=MintApplication(
                app=name,
                user_public=app.asked.user_public,
                csr=app.asked.csr,
                files=dict(sorted(files.items())),
            ),
            deadline_s=limits.MINTER_ANSWER_S,
        )
        for name, app in sorted(view.state.apps.items())
        if _unminted(app)
    ] + [
        Question(key=key, request=request, deadline_s=limits.MINTER_ANSWER_S)
        for key, request in enrolment.mints(view)
    ]


def _unminted(app: App) -> bool:
    if app.revoked:
        # The account must be signed anew, without its user, so that brokers throw the user out.
        return app.minted is not None and app.minted.user_jwt is not None
    return app.granted and app.minted is None


def _ask_importer(key: str, request: ImporterRequest) -> Question:
    return Question(key=key, request=request, deadline_s=limits.IMPORTER_ANSWER_S)
