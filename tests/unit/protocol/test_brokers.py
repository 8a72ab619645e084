"""A broker's configuration as text; that the server accepts it is shown by the contract tests."""

from __future__ import annotations

import msgspec
import pytest
from holdfast_protocol import brokers
from holdfast_protocol.brokers import BrokerFolders, BrokerPlan, LeafLink, TlsFiles
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.nkeys import KeyPair, Kind

SYSTEM, CONTROL, INFERENCE = (KeyPair.generate(Kind.ACCOUNT).public for _ in range(3))
PLAN = BrokerPlan(
    name="broker-de",
    domain="de",
    host="127.0.0.1",
    port=4222,
    operator_jwt="o.p.r",
    system_account=SYSTEM,
    preload={SYSTEM: "s.y.s", CONTROL: "c.t.l"},
    tls=TlsFiles(certificate="/t/cert.pem", key="/t/key.pem", ca="/t/ca.pem"),
    folders=BrokerFolders(resolver="/r", store="/s", ports="/p", pid="/pid"),
    leaf_port=7422,
)


def test_a_hub_is_mutual_tls_encrypted_and_unmonitored() -> None:
    text = brokers.broker_config(PLAN)
    for needed in (
        "verify: true", "handshake_first: true", 'min_version: "1.3"', "cipher: chacha",
        f"key: ${brokers.STORE_KEY_VARIABLE}", "sync_interval: always", "allow_delete: false",
        'listen: "127.0.0.1:7422"', 'domain: "de"',
    ):  # fmt: skip
        assert needed in text
    for absent in ("http", "remotes", "trace: true", "no_auth_user", "log_file"):
        assert absent not in text


def test_a_leaf_carries_control_alone() -> None:
    link = LeafLink(urls=("tls://hub:7422",), account=CONTROL, credentials="/l.creds")
    text = brokers.broker_config(msgspec.structs.replace(PLAN, leaf_port=None, uplink=link))
    assert text.count("account:") == 2, "the system account and the link's"
    assert f'account: "{CONTROL}"' in text
    assert INFERENCE not in text


@pytest.mark.parametrize("path", ['/a"b', "/a\\b", "/a\nb", "/a\x00b"])
def test_what_cannot_be_quoted_is_refused(path: str) -> None:
    folders = msgspec.structs.replace(PLAN.folders, store=path)
    with pytest.raises(HoldfastError) as caught:
        brokers.broker_config(msgspec.structs.replace(PLAN, folders=folders))
    assert caught.value.code is Code.CONFIG_INVALID


def test_the_store_key_is_no_number_to_the_server() -> None:
    keys = {brokers.new_store_key() for _ in range(20)}
    assert len(keys) == 20
    assert all(key[0].isalpha() and key.isalnum() and len(key) >= 64 for key in keys)


def test_the_binary_is_the_environments_own() -> None:
    assert brokers.server_binary().name == "nats-server"
