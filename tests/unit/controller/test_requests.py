"""Requests and who may ask: the tables of the API as its callers see them."""

from __future__ import annotations

import pytest
from holdfast_bundles.site import sign_payload
from holdfast_protocol import api, codec, limits
from holdfast_protocol.errors import Code
from holdfast_protocol.views import EventsQuery

from tests.unit.controller.controller_fakes import PEOPLE, imported, keys
from tests.unit.controller.controller_world import World
from tests.vendor_roots import forged_root, vendor_root


def vendor(world: World, root: int = 0, who: str = "officer-1", name: str = "acme") -> str:
    call = api.TrustVendor(vendor=name, root=vendor_root(root))
    made = world.call(who, "vendors.trust", call)
    assert isinstance(made, api.RequestMade), made
    return made.request


@pytest.fixture
def world() -> World:
    made = World()
    made.pass_time(1)
    return made


@pytest.mark.parametrize("call", sorted(api.CALLS))
@pytest.mark.parametrize("who", [*sorted(PEOPLE), "stranger"])
def test_roles(world: World, call: str, who: str) -> None:
    answer = world.raw(who, call, b"{}")
    allowed = PEOPLE.get(who) in api.CALLS[call].roles
    refused = b'"NOT_PERMITTED"' in answer
    assert refused is not allowed


def test_there_is_no_other_call(world: World) -> None:
    assert b'"NOT_FOUND"' in world.raw("officer-1", "nodes.burn")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"path":1}', b"\xff", b"{}"])
def test_a_body_that_does_not_fit_is_a_bad_request(world: World, body: bytes) -> None:
    answer = codec.decode(world.raw("operator-1", "imports.start", body), api.ErrorAnswer)
    assert answer.error.code == Code.BAD_REQUEST


def test_two_officers_make_a_vendor_trusted_in_one_commit(world: World) -> None:
    request = vendor(world)
    first = world.approve(request, 1)
    assert (first.request.state, first.request.approvals, first.request.needed) == (
        "pending",
        1,
        2,
    )
    assert first.request.signed_by == ("officer-1",)
    assert world.core.state.vendors == {}
    before = world.journal.tail.commit
    second = world.approve(request, 2)
    assert second.request.state == "committed"
    assert world.core.state.vendors == {"acme": vendor_root()}
    [commit] = [
        each
        for each in world.journal.read_now(before, 10)
        if any(record.kind == "request-signed" for record in each.records)
    ]
    kinds = [record.kind for record in commit.records]
    assert kinds == [
        "request-signed",
        "request-committed",
        "role-file-accepted",
        "vendor-trusted",
        "trust-stamped",
    ]
    # What nodes are served now lists the new file, and they are told to look.
    assert world.desired("de-1").trust.snapshot == 2


def test_one_officer_counts_once_whoever_carries_the_signature(world: World) -> None:
    request = vendor(world)
    world.approve(request, 1)
    assert world.approve(request, 1).code == Code.SIGNED_ALREADY
    detail = world.call("officer-1", "requests.show", api.RequestQuery(id=request))
    one = sign_payload(detail.payload, keys().daily[0])
    carried = api.SignRequest(
        id=request, sha256=one.sha256, keyid=one.keyid, signature=one.signature
    )
    assert world.call("officer-2", "requests.sign", carried).code == Code.SIGNED_ALREADY
    assert world.core.state.vendors == {}


def test_a_stranger_s_key_other_bytes_and_a_broken_signature_are_refused(world: World) -> None:
    request = vendor(world)
    other = vendor(world, name="other")
    detail = world.call("officer-1", "requests.show", api.RequestQuery(id=request))
    good = sign_payload(detail.payload, keys().daily[0])

    def sign(**change: str) -> Code:
        fields = {
            "id": request,
            "sha256": good.sha256,
            "keyid": good.keyid,
            "signature": good.signature,
            **change,
        }
        code: Code = world.call("officer-1", "requests.sign", api.SignRequest(**fields)).code
        return code

    assert sign(id=other) == Code.OTHER_BYTES
    assert sign(sha256="00" * 32) == Code.OTHER_BYTES
    assert sign(signature="00" * 64) == Code.BAD_SIGNATURE
    assert sign(keyid="ff" * 32) == Code.NOT_AN_OFFICER
    root = sign_payload(detail.payload, keys().roots[0])
    assert sign(keyid=root.keyid, signature=root.signature) == Code.NOT_AN_OFFICER
    assert sign(id="r-99") == Code.NOT_FOUND
    assert world.call("officer-1", "requests.list").requests[0].approvals == 0


def test_the_same_again_is_the_same_request_and_another_must_wait(world: World) -> None:
    request = vendor(world)
    world.now_s += 3600
    assert vendor(world, who="officer-2") == request
    other = api.TrustVendor(vendor="acme", root=vendor_root(1))
    waits = world.call("officer-1", "vendors.trust", other)
    assert waits.code == Code.REQUEST_PENDING
    world.call("officer-1", "requests.reject", api.RejectRequest(id=request, reason="typo"))
    assert vendor(world, root=1) != request


def test_a_decided_request_is_closed(world: World) -> None:
    rejected = vendor(world)
    answer = world.call("officer-3", "requests.reject", api.RejectRequest(id=rejected, reason="no"))
    assert (answer.request.state, answer.request.reason) == ("rejected", "no")
    assert world.approve(rejected, 1).code == Code.REQUEST_CLOSED
    committed = vendor(world)
    world.approve(committed, 1, 2)
    assert world.approve(committed, 3).code == Code.REQUEST_CLOSED
    again = world.call("officer-1", "requests.reject", api.RejectRequest(id=committed))
    assert again.code == Code.REQUEST_CLOSED


def test_a_request_expires(world: World) -> None:
    request = vendor(world)
    world.now_s += limits.REQUEST_LIFE_S
    assert world.approve(request, 1).code == Code.REQUEST_CLOSED
    world.pass_time(1)
    shown = world.call("auditor-1", "requests.show", api.RequestQuery(id=request)).request
    assert shown.state == "expired"


def test_requests_for_different_things_do_not_disturb_each_other(world: World) -> None:
    one, two = vendor(world), vendor(world, name="other")
    world.approve(one, 1)
    world.approve(two, 2)
    world.approve(two, 3)
    world.approve(one, 2)
    assert set(world.core.state.vendors) == {"acme", "other"}


def test_an_untrusted_vendor_s_stick_fails_the_import(world: World) -> None:
    started = world.call("operator-1", "imports.start", api.StartImportCall(path="/stick"))
    world.pass_time(1)
    view = world.call("operator-1", "imports.show", api.ImportQuery(id=started.id))
    assert (view.state, view.error.code) == ("failed", Code.VENDOR_UNKNOWN)


def test_importing_approves_nothing_and_a_rejected_model_is_discarded(world: World) -> None:
    world.approve(vendor(world), 1, 2)
    started = world.call("operator-1", "imports.start", api.StartImportCall(path="/stick"))
    world.pass_time(2)
    view = world.call("operator-1", "imports.show", api.ImportQuery(id=started.id))
    assert view.state == "waiting"
    [model] = world.call("auditor-1", "models.list").models
    assert model.state == "quarantined"
    deploy = api.DeployCall(model="acme/llm@1.0", alias="chat")
    assert world.call("operator-1", "deployments.deploy", deploy).code == Code.NOT_APPROVED
    [request] = view.requests
    world.call("officer-1", "requests.reject", api.RejectRequest(id=request))
    world.pass_time(1)
    assert world.call("auditor-1", "models.list").models == ()
    assert world.importer.known == {}


def test_importing_the_same_stick_twice_asks_once(world: World) -> None:
    world.with_model()
    started = world.call("operator-1", "imports.start", api.StartImportCall(path="/stick"))
    assert started.id == "imp-2"
    world.pass_time(2)
    view = world.call("operator-1", "imports.show", api.ImportQuery(id="imp-2"))
    assert (view.state, view.requests) == ("committed", ())
    assert len(world.call("auditor-1", "requests.list").requests) == 2


def test_a_version_with_other_bytes_is_refused(world: World) -> None:
    world.with_model()
    world.importer.models = [imported(weights=b"others")]
    started = world.call("operator-1", "imports.start", api.StartImportCall(path="/other"))
    world.pass_time(2)
    view = world.call("operator-1", "imports.show", api.ImportQuery(id=started.id))
    assert (view.state, view.error.code) == ("failed", Code.VERSION_REUSED)
    [model] = world.call("auditor-1", "models.list").models
    assert model.digest == imported().manifest_digest


def test_events_can_be_paged_and_name_who_did_it(world: World) -> None:
    vendor(world)
    every = world.call("auditor-1", "events.list", EventsQuery(after=0, limit=1000)).events
    assert [event.seq for event in every] == list(range(1, world.journal.tail.seq + 1))
    assert every[-1].text == "r-1 waits for 2: Trust the vendor acme (by officer-1)."
    page = world.call("auditor-1", "events.list", EventsQuery(after=3, limit=2)).events
    assert [event.seq for event in page] == [4, 5]
    newest = world.call("auditor-1", "events.list", EventsQuery(limit=1)).events
    assert newest == every[-1:]
    bad = world.call("auditor-1", "events.list", EventsQuery(limit=1001))
    assert bad.code == Code.BAD_REQUEST


@pytest.mark.parametrize(
    "bytes_",
    [b"", b"{}", b"not json", forged_root()],
    ids=["nothing", "empty", "rubbish", "forged"],
)
def test_what_is_no_signed_root_is_never_put_before_officers(world: World, bytes_: bytes) -> None:
    answer = world.call("officer-1", "vendors.trust", api.TrustVendor(vendor="acme", root=bytes_))
    assert answer.code in (Code.METADATA_MALFORMED, Code.BAD_SIGNATURE)
    assert world.call("officer-1", "requests.list").requests == ()
