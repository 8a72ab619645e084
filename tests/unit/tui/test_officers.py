"""Requests through officers' hands: signed here, signed elsewhere, refused, granted."""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path

import msgspec
import pytest
from holdfast_bundles.site import generate_key, write_key
from holdfast_protocol.api import AppCredentials
from holdfast_protocol.identity import credentials, nkeys, x509

from tests.unit.tui.desk import Desk

CREATE = ("app", "create", "clinic", "--zone", "de", "--aliases", "chat-small,embed-small")


@pytest.fixture
def root_file(desk: Desk, tmp_path: Path) -> Path:
    path = tmp_path / "root.json"
    path.write_bytes(desk.site.world.pinned)
    return path


def test_two_officers_trust_a_vendor(desk: Desk, root_file: Path) -> None:
    made = desk.run("vendor", "trust", "acme", str(root_file), "--as", "officer-1", "--json")
    assert (made.code, made.json["request"]) == (0, "r-1")
    first = desk.run("approve", "r-1", "--as", "officer-1")
    assert "1 of 2" in first.out
    assert "Trust the vendor acme" in first.err
    again = desk.run("approve", "r-1", "--as", "officer-1", "--json")
    assert (again.code, again.json["error"]["code"]) == (3, "SIGNED_ALREADY")
    second = desk.run("approve", "r-1", "--as", "officer-2", "--json")
    assert (second.json["request"], second.json["state"]) == ("r-1", "committed")
    assert (second.json["approvals"], second.json["needed"]) == (2, 2)


def test_only_the_signature_travels(desk: Desk) -> None:
    desk.site.propose_vendor("acme", desk.site.world.pinned)
    desk.run("approve", "r-1", "--as", "officer-1")
    assert ("officer-1", "requests.sign") in desk.site.asked
    assert desk.site.requests["r-1"].signed_by == ("officer-1",)


def test_a_strangers_key_and_no_key(desk: Desk, tmp_path: Path) -> None:
    desk.site.propose_vendor("acme", desk.site.world.pinned)
    write_key(tmp_path / "stranger.pem", generate_key())
    said = desk.run("approve", "r-1", "--as", "officer-1", "--key", str(tmp_path / "stranger.pem"))
    assert said.code == 3
    assert said.err.splitlines()[-2].startswith("NOT_AN_OFFICER: ")
    said = desk.run("approve", "r-1", "--as", "operator-1")
    assert said.code == 3
    assert "--key" in said.err


def test_what_is_shown_comes_from_the_bytes(desk: Desk) -> None:
    desk.site.propose_vendor("acme", desk.site.world.pinned)
    view = desk.site.requests["r-1"]
    desk.site.requests["r-1"] = msgspec.structs.replace(view, summary="Trust the vendor good.")
    shown = desk.run("requests", "show", "r-1", "--json").json
    assert shown["review"]["entries"][0]["subject"] == "acme"
    assert base64.b64decode(shown["payload"])
    desk.site.requests["r-1"] = msgspec.structs.replace(view, sha256="0" * 64)
    said = desk.run("approve", "r-1", "--as", "officer-1", "--json")
    assert (said.code, said.json["error"]["code"]) == (3, "OTHER_BYTES")
    assert ("officer-1", "requests.sign") not in desk.site.asked


def test_reject_closes_a_request(desk: Desk) -> None:
    desk.site.propose_vendor("acme", desk.site.world.pinned)
    said = desk.run("reject", "r-1", "--as", "officer-3", "--reason", "Not known here.")
    assert said.code == 0
    assert "Not known here." in said.out


def test_signed_on_a_workstation_without_network(desk: Desk, tmp_path: Path) -> None:
    desk.site.propose_vendor("acme", desk.site.world.pinned)
    assert desk.run("request", "export", "r-1").code == 0
    desk.site.reachable = False
    key = desk.root / "officers" / "officer-2" / "daily.pem"
    signed = desk.run("request", "sign", "r-1.request.json", "--key", str(key), "--json")
    assert signed.code == 0
    carried = tmp_path / signed.json["file"]
    assert carried.stat().st_size < 400
    assert json.loads(carried.read_text()).keys() == {"id", "sha256", "keyid", "signature"}
    desk.site.reachable = True
    said = desk.run("request", "import", str(carried), "--as", "officer-1", "--json")
    assert (said.code, said.json["approvals"]) == (0, 1)
    assert desk.site.requests["r-1"].signed_by == ("officer-2",)


def test_a_file_that_is_no_request(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    key = desk.root / "officers" / "officer-2" / "daily.pem"
    said = desk.run("request", "sign", "x.json", "--key", str(key))
    assert said.code == 2
    assert "holds no request" in said.err


# ---------------------------------------------------------------- applications


class Minter:
    """Grants as the real one would: a claim for the user's key, a certificate for the request."""

    def __init__(self, desk: Desk) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.valid = x509.Validity(not_before=now, not_after=now + datetime.timedelta(days=1))
        self.authority = x509.new_authority("test", self.valid)
        self.site = desk.site

    def __call__(self, name: str) -> AppCredentials:
        call = self.site.apps[name]
        claim = base64.urlsafe_b64encode(json.dumps({"sub": call.user_public}).encode()).decode()
        holder = x509.Holder(uri=x509.holder_uri("app", name))
        return AppCredentials(
            name=name,
            state="ready",
            user_jwt=f"e30.{claim.rstrip('=')}.c2ln",
            certificate=x509.sign_csr(self.authority, call.csr, holder, self.valid),
            ca=self.authority.certificate_pem,
            servers=("tls://localhost:4222",),
            inbox_prefix=f"_INBOX.{name}",
        )


def test_an_application_is_made_granted_and_complete(desk: Desk) -> None:
    desk.site.credentials = Minter(desk)
    made = desk.run(*CREATE, "--json")
    assert (made.code, made.json["request"]) == (0, "r-1")
    folder = desk.root / "creds" / "clinic"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert not (folder / "nats.creds").exists()
    asked = desk.site.apps["clinic"]
    assert asked.aliases == ("chat-small", "embed-small")
    secrets = (folder / "key.pem").read_bytes() + (folder / "user.seed").read_bytes()
    assert asked.csr not in secrets

    said = desk.run("approve", "r-1", "--as", "officer-1", "--json")
    assert said.json["state"] == "committed"
    assert said.json["credentials"] == str(folder)
    held = credentials.read(folder)
    assert held.key_pair().public == asked.user_public
    assert held.connect.servers == ("tls://localhost:4222",)
    assert not (folder / "user.seed").exists()
    assert desk.run("app", "list", "--json").json["apps"][0]["state"] == "ready"


def test_asking_again_completes_the_folder_with_the_same_keys(desk: Desk, tmp_path: Path) -> None:
    desk.site.credentials = Minter(desk)
    out = tmp_path / "elsewhere"
    assert desk.run(*CREATE, "--out", str(out)).code == 0
    keys = (out / "key.pem").read_bytes()
    assert desk.run(*CREATE, "--out", str(out), "--json").json["request"] == "r-1"
    desk.run("approve", "r-1", "--as", "officer-1")
    assert not (out / "nats.creds").exists()
    said = desk.run("app", "create", "clinic", "--out", str(out), "--json")
    assert (said.code, said.json["state"]) == (0, "ready")
    assert credentials.read(out).key_pem == keys
    assert desk.run(*CREATE, "--out", str(out), "--json").json["state"] == "ready"


def test_another_ones_grant_never_enters_a_folder(desk: Desk, tmp_path: Path) -> None:
    desk.site.credentials = Minter(desk)
    assert desk.run(*CREATE).code == 0
    stranger = nkeys.KeyPair.generate(nkeys.Kind.USER).public
    desk.site.apps["clinic"] = msgspec.structs.replace(
        desk.site.apps["clinic"], user_public=stranger
    )
    said = desk.run("approve", "r-1", "--as", "officer-1")
    assert said.code == 2
    assert not (desk.root / "creds" / "clinic" / "nats.creds").exists()
    assert tmp_path.exists()


def test_a_folder_with_other_things_is_left_alone(desk: Desk) -> None:
    said = desk.run("app", "create", "operator-1", "--zone", "de", "--aliases", "a")
    assert said.code == 0  # an empty folder is nobody's
    (desk.root / "creds" / "auditor-1" / "nats.creds").write_text("x")
    said = desk.run("app", "create", "auditor-1", "--zone", "de", "--aliases", "a")
    assert said.code == 2
    assert "holds something else" in said.err
