"""From a stick to an answer, and what must be refused, on real servers and a real engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.integration import foreign
from tests.integration.conftest import APP
from tests.integration.site import Site

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("site"), pytest.mark.timeout(180)]


def test_the_site_shows_itself(site: Site) -> None:
    nodes = {one["id"]: one for one in site.ok("nodes")["nodes"]}
    assert {name: one["jurisdiction"] for name, one in nodes.items()} == {
        "de-1": "DE", "de-2": "DE", "fr-1": "FR",
    }  # fmt: skip
    assert all(one["state"] == "ok" and one["age_s"] < 10 for one in nodes.values())
    gpus = site.ok("gpus")["gpus"]
    assert len(gpus) == 3
    assert all(gpu["state"] == "ok" and gpu["simulated"] for gpu in gpus)
    assert all(gpu["memory_total_bytes"] == 24 * 1024**3 for gpu in gpus)
    models = site.ok("models")["models"]
    assert [(one["name"], one["state"]) for one in models] == [("acme/tiny", "approved")]
    shown = site.ok("status")
    assert shown["nodes_ok"] == shown["nodes_total"] == 3


def test_deployments_stand_where_they_were_wished(site: Site) -> None:
    zones = {"tiny": {"de-1", "de-2"}, "french": {"fr-1"}}
    for one in site.ok("deployments")["deployments"]:
        assert one["state"] == "ready"
        assert {replica["node"] for replica in one["replicas"]} <= zones[one["alias"]]


def test_infer_as_a_command(site: Site) -> None:
    answer = site.ok("infer", "tiny", "hello", who=APP)
    assert answer["alias"] == "tiny"
    assert answer["digest"] == site.ok("models")["models"][0]["digest"]
    assert answer["usage"]
    streamed = site.command("infer", "tiny", "--stream", "hello", who=APP)
    assert streamed.code == 0
    assert streamed.out.strip()


async def test_a_foreign_client_gets_final_and_stream(site: Site) -> None:
    client = await foreign.connect(site.root / "creds" / APP)
    try:
        body = json.dumps(
            {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
        ).encode()
        final = await client.request("infer.tiny.chat", body, timeout=20)
        assert final.headers is not None
        assert final.headers["Hf-Status"] == "200"
        assert json.loads(final.data)["choices"]
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        await client.publish("infer.tiny.chat", body, inbox, headers={"Hf-Accept": "stream"})
        sequence: list[int] = []
        headers: dict[str, str] = {}
        while "Hf-Status" not in headers:
            message = await subscription.next_msg(timeout=20)
            headers = dict(message.headers or {})
            if "Hf-Seq" in headers:
                sequence.append(int(headers["Hf-Seq"]))
        assert headers["Hf-Status"] == "200"
        assert sequence == sorted(sequence)
        assert len(sequence) >= 1
    finally:
        await client.close()


def test_an_answer_in_another_zone_is_refused(site: Site) -> None:
    site.refused("NO_LEGAL_PLACEMENT", 3, "infer", "french", "hello", who=APP)


def test_an_ungranted_alias_is_refused(site: Site) -> None:
    site.refused("NOT_GRANTED", 3, "infer", "secret", "hello", who=APP)


def test_an_operation_the_model_lacks_is_refused(site: Site) -> None:
    site.refused("OPERATION_UNSUPPORTED", 3, "infer", "tiny", "--op", "embed", "x", who=APP)


def test_widening_a_label_is_refused(site: Site) -> None:
    async def ask() -> dict[str, str]:
        client = await foreign.connect(site.root / "creds" / APP)
        try:
            answer = await client.request(
                "infer.tiny.chat", b'{"messages":[]}', headers={"Hf-Residency": "DE,FR"}, timeout=20
            )
            return dict(answer.headers or {})
        finally:
            await client.close()

    import asyncio

    assert asyncio.run(ask())["Hf-Code"] == "LABEL_REFUSED"


def test_one_officer_is_not_two(site: Site, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    site.ok("bundle", "keys", "--vendor", "other", "--out", str(keys))
    asked = site.ok("vendor", "trust", "other", str(keys / "root.json"), who="officer-1")
    site.ok("approve", asked["request"], who="officer-1")
    site.refused("SIGNED_ALREADY", 3, "approve", asked["request"], who="officer-1")
    shown = {one["id"]: one for one in site.ok("requests")["requests"]}[asked["request"]]
    assert (shown["state"], shown["approvals"], shown["needed"]) == ("pending", 1, 2)
    site.ok("reject", asked["request"], who="officer-2")
    site.refused("REQUEST_CLOSED", 3, "approve", asked["request"], who="officer-2")


def test_an_operator_cannot_approve(site: Site, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    site.ok("bundle", "keys", "--vendor", "third", "--out", str(keys))
    site.refused(
        "NOT_PERMITTED", 3, "vendor", "trust", "third", str(keys / "root.json"), who="operator-1"
    )


def test_a_flipped_byte_never_gets_in(site: Site) -> None:
    bad = site.folder / "stick-flipped"
    shutil.copytree(site.folder / "stick", bad)
    largest = max(bad.rglob("sha256/*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(bytes(data))
    verdict = site.command(
        "bundle", "verify", str(bad), "--root", str(site.folder / "keys" / "root.json"), "--json"
    )
    assert verdict.code == 4
    assert verdict.json()["code"] == "BLOB_DIGEST"
    assert largest.name[:16] in verdict.json()["file"]


def test_an_unknown_vendor_is_refused(site: Site, tmp_path: Path) -> None:
    stick = site.folder / "stick-unknown"
    keys = tmp_path / "keys"
    site.ok("bundle", "keys", "--vendor", "mallory", "--out", str(keys))
    site.ok(
        "bundle", "build", str(site.folder / "tiny"), "--name", "mallory/tiny", "--version", "1",
        "--license", "Apache-2.0", "--out", str(stick),
    )  # fmt: skip
    site.ok("bundle", "sign", str(stick), "--keys", str(keys))
    site.refused("VENDOR_UNKNOWN", 3, "import", str(stick), who="operator-1")


def test_a_path_outside_the_media_roots_is_refused(site: Site, tmp_path: Path) -> None:
    site.refused("PATH_REFUSED", 3, "import", str(tmp_path), who="operator-1")


def test_an_unapproved_model_cannot_be_deployed(site: Site) -> None:
    site.refused("NOT_APPROVED", 3, "deploy", "acme/other@9", "--alias", "other")


def test_every_step_is_in_the_journal(site: Site) -> None:
    events = site.ok("events")["events"]
    assert len(events) > 20
    assert all(len(one["leaf"]) == 64 for one in events)
    numbers = [one["seq"] for one in events]
    assert numbers == sorted(numbers)
