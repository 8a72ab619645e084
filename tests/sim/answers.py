"""What a caller was told must be in the journal at that moment."""

from __future__ import annotations

import msgspec
from holdfast_controller.logic import io
from holdfast_protocol import api
from holdfast_protocol.codec import decode

from tests.sim.ceremony import ceremony
from tests.sim.ground import BrokenError
from tests.sim.witness import Witness


class _Error(msgspec.Struct, frozen=True):
    error: api.ErrorDetail | None = None


def check_answer(witness: Witness, called: io.ApiCalled, body: bytes) -> None:
    """Raise where ``body`` promises what no committed record says."""
    if decode(body, _Error).error is None and not _stands(witness, called, body):
        raise BrokenError(
            "what was answered is committed",
            f"{called.resource}.{called.verb} {called.body[:80]!r}",
        )


def _stands(witness: Witness, called: io.ApiCalled, body: bytes) -> bool:
    match (called.resource, called.verb):
        case ("requests", "sign"):
            signed = decode(called.body, api.SignRequest)
            return ceremony().person(signed.keyid) in witness.petitions[signed.id].people
        case ("requests", "reject"):
            rejected = decode(called.body, api.RejectRequest)
            return witness.petitions[rejected.id].state == "rejected"
        case ("vendors", "trust") | ("apps", "create" | "revoke"):
            return decode(body, api.RequestMade).request in witness.petitions
        case ("imports", "start"):
            return decode(body, api.ImportView).id in witness.imports
        case ("deployments", "deploy"):
            call = decode(called.body, api.DeployCall)
            name, _, _ = call.model.partition("@")
            zones = call.zones or ("de",)
            return call.plan or (call.alias, name, call.replicas, zones) in witness.wished
        case ("deployments", "undeploy"):
            return decode(called.body, api.AliasCall).alias in witness.withdrawn
        case _:
            return True
