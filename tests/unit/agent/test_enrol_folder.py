"""What a new node believes, keeps and writes: its code, its keys, its two configurations."""

from __future__ import annotations

import hashlib
import stat
import time
from pathlib import Path

import pytest
from holdfast_agent.enrol import folder, keys
from holdfast_agent.enrol.main import checked
from holdfast_bundles.site import FrameSpec, Marks, build_frame, generate_key, officer, sign_payload
from holdfast_bundles.site.client import SiteTrust
from holdfast_bundles.site.request import assemble
from holdfast_lab import realm
from holdfast_protocol import codec, configs
from holdfast_protocol.enrolment import NodeCode, NodeCredentials, NodeKeys, code_text, read_code
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import credentials, x509
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.limits import CODE_BYTES
from msgspec.structs import replace

CA = x509.new_authority("alpha CA", realm.validity(30))


def root() -> bytes:
    roots, daily = ([generate_key() for _ in range(3)] for _ in range(2))
    spec = FrameSpec(
        site="alpha",
        officers=tuple(
            officer(f"officer-{n}", roots[n].public_hex, daily[n].public_hex) for n in range(3)
        ),
        threshold=2,
        online_public=generate_key().public_hex,
    )
    unsigned = build_frame(spec, time.time())["root"]
    return assemble(unsigned, [sign_payload(unsigned.payload, key) for key in roots])


ROOT = root()


def code() -> NodeCode:
    return NodeCode(
        site="alpha", node="de-9", zone="de", jurisdiction="DE", nonce="n", secret="5e" * 32,
        not_after_s=1, servers=("tls://localhost:1",), user_jwt="jwt",
        user_seed=KeyPair.generate(Kind.USER).seed(), certificate=b"c", key=b"k",
        ca=CA.certificate_pem, ca_sha256=x509.certificate_sha256(CA.certificate_pem),
        root_sha256=hashlib.sha256(ROOT).hexdigest(), controller_key="ab" * 32, domain="de",
        zones={"de": "DE"},
    )  # fmt: skip


def given(made: keys.MadeKeys) -> NodeCredentials:
    said = codec.decode(made.said, NodeKeys)
    holder = x509.Holder(uri=x509.holder_uri("node", "de-9"))
    certificates = [
        x509.sign_csr(CA, csr, holder, realm.validity(30)) for csr in (said.csr, said.gateway_csr)
    ]
    return NodeCredentials(
        agent_jwt="agent.jwt.x", gateway_jwt="gateway.jwt.x", certificate=certificates[0],
        gateway_certificate=certificates[1], ca=CA.certificate_pem, root=ROOT,
        marks=codec.encode(Marks(site="alpha", snapshot=7)),
    )  # fmt: skip


def refused(made: object) -> Code:
    assert isinstance(made, pytest.ExceptionInfo)
    assert isinstance(made.value, HoldfastError)
    return made.value.code


def test_a_code_survives_its_file() -> None:
    one = code()
    text = code_text(one, ["For people."]).encode()
    assert read_code(text) == checked(one) == one
    assert text.isascii()
    assert read_code(text.replace(b"\n", b"\r\n")) == one, "as mail and sticks write it"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b"BEGIN", b"began"),
        lambda text: text.replace(b"\n-----END", b"AAAA\n-----END"),
        lambda text: text + b" " * CODE_BYTES,
        lambda text: b"\xff" * 100,
    ],
)
def test_a_damaged_code_is_refused(spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(HoldfastError) as caught:
        read_code(spoil(code_text(code(), []).encode()))
    assert refused(caught) == Code.CODE_REFUSED


def test_a_code_with_another_ca_is_refused() -> None:
    other = x509.new_authority("other CA", realm.validity(30)).certificate_pem
    with pytest.raises(HoldfastError) as caught:
        checked(replace(code(), ca=other))
    assert refused(caught) == Code.CODE_REFUSED


def test_keys_are_made_once_and_stay_private(tmp_path: Path) -> None:
    made = keys.make(tmp_path / "keys", code())
    again = keys.make(tmp_path / "keys", code())
    assert (again.said, again.fingerprint, again.agent.seed()) == (
        made.said, made.fingerprint, made.agent.seed(),
    )  # fmt: skip
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for secret in (made.agent.seed().encode(), made.gateway.seed().encode(), made.x25519):
        assert secret not in made.said
    with pytest.raises(HoldfastError) as caught:
        keys.make(tmp_path / "keys", replace(code(), node="de-8"))
    assert refused(caught) == Code.ALREADY_EXISTS


def test_a_certified_node_has_what_both_programs_read(tmp_path: Path) -> None:
    where = folder.NodeFolder(tmp_path / "node", tmp_path / "run")
    made = keys.make(where.enrolment, code())
    folder.complete(where, code(), made, given(made), "sim1x24")
    folder.complete(where, code(), made, given(made), "sim1x24")  # as after a kill
    assert where.complete
    agent = configs.load(where.agent / "config.json", configs.AgentConfig)
    gateway = configs.load(where.gateway / "config.json", configs.GatewayConfig)
    assert (agent.node, agent.devices, agent.zones) == ("de-9", "sim1x24", {"de": "DE"})
    assert gateway.agent_socket == f"{agent.runtime}/agent.sock"
    for part, user in ((agent.credentials, made.agent), (gateway.credentials, made.gateway)):
        held = credentials.read(Path(part))
        assert held.key_pair().public == user.public
        assert held.connect.inbox_prefix == "_INBOX.de-9"
    trust = SiteTrust(Path(agent.trust), Path(agent.root).read_bytes(), "alpha")
    with pytest.raises(HoldfastError) as caught:
        trust.seed(Marks(site="alpha"))
    assert refused(caught) == Code.ALREADY_EXISTS, "the marks were set"


def test_an_answer_that_the_code_did_not_promise_is_refused(tmp_path: Path) -> None:
    where = folder.NodeFolder(tmp_path / "node", tmp_path / "run")
    made = keys.make(where.enrolment, code())
    other = keys.make(tmp_path / "other", code())
    good = given(made)
    ca = x509.new_authority("other CA", realm.validity(30)).certificate_pem
    for wrong in (
        replace(good, root=root()),
        replace(good, ca=ca),
        replace(good, certificate=given(other).certificate),
        replace(good, gateway_certificate=good.certificate),
    ):
        with pytest.raises(HoldfastError) as caught:
            folder.complete(where, code(), made, wrong, "cpu")
        assert refused(caught) == Code.CODE_REFUSED
        assert not where.agent.exists(), "nothing of it was written"
