"""Imports: started, resumed, watched."""

from __future__ import annotations

from typing import Final, Literal

from holdfast_protocol import api
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.importer import Importing, ImportState

from holdfast_controller.logic import facts
from holdfast_controller.logic.calls.ask import Ask, Outcome, answered
from holdfast_controller.logic.reconcile import View
from holdfast_controller.logic.state import Import

PATH_LENGTH: Final = 4096
Stage = Literal["verifying", "copying", "gating", "waiting", "committed", "paused", "failed"]
_STAGES: Final[dict[ImportState, Stage]] = {
    ImportState.VERIFYING: "verifying",
    ImportState.COPYING: "copying",
    ImportState.CHECKING: "gating",
}


def start(ask: Ask, call: api.StartImportCall) -> Outcome:
    """Start the import of a path, or go on with the one that was interrupted."""
    if not 0 < len(call.path) <= PATH_LENGTH or not call.path.isprintable():
        raise HoldfastError(Code.BAD_REQUEST, "The path of the bundle is not a printable path.")
    view = ask.view
    open_one = next(
        (
            each
            for each in view.state.imports.values()
            if each.path == call.path and each.state in ("running", "paused")
        ),
        None,
    )
    if open_one is not None and open_one.state == "running":
        return answered(view_of(view, open_one))
    number = len(view.state.imports) + 1
    import_id = f"imp-{number}" if open_one is None else open_one.id
    # A paused import is started again, not asked how far it is.
    view.live.progress.pop(import_id, None)
    started = facts.ImportStarted(id=import_id, path=call.path, by=ask.who)
    return Outcome([started], lambda: view_of(view, view.state.imports[import_id]))


def show(ask: Ask, call: api.ImportQuery) -> Outcome:
    """How far an import is."""
    known = ask.view.state.imports.get(call.id)
    if known is None:
        raise HoldfastError(Code.NOT_FOUND, f"There is no import {call.id[:80]!a}.")
    return answered(view_of(ask.view, known))


def view_of(view: View, known: Import) -> api.ImportView:
    """Return an import as people see it."""
    said = view.live.progress.get(known.id)
    error = None
    if known.code is not None and known.state in ("paused", "failed"):
        raised = HoldfastError(_code(known.code), known.message or "", file=known.file)
        error = api.error_answer(raised).error
    return api.ImportView(
        id=known.id,
        state=_stage(view, known, said),
        bytes_done=0 if said is None else said.bytes_done,
        bytes_total=0 if said is None else said.bytes_total,
        file=known.file if said is None else said.file,
        requests=known.requests,
        error=error,
    )


def _stage(view: View, known: Import, said: Importing | None) -> Stage:
    match known.state:
        case "paused":
            return "paused"
        case "failed":
            return "failed"
        case "waiting":
            asked = [view.state.requests[each] for each in known.requests]
            in_store = all(_stored(view, each.made.about) for each in asked)
            return "committed" if in_store else "waiting"
        case _:
            return "verifying" if said is None else _STAGES.get(said.state, "gating")


def _stored(view: View, digest: str) -> bool:
    model = view.state.models.get(digest)
    return model is not None and model.stored


def _code(text: str) -> Code:
    return Code(text) if text in Code.__members__ else Code.IMPORT_FAILED
