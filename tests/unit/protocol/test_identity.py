"""Keys, claims, certificates, permissions and credentials as values."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import accounts, credentials, jwt, permissions, x509
from holdfast_protocol.identity.accounts import Issuers
from holdfast_protocol.identity.credentials import Connect, Credentials
from holdfast_protocol.identity.jwt import AccountBody, Subject, UserBody
from holdfast_protocol.identity.nkeys import KeyPair, Kind, check_public, verify
from holdfast_protocol.identity.x509 import Holder, Validity
from hypothesis import given
from hypothesis import strategies as st

PREFIXES = {Kind.ACCOUNT: "A", Kind.USER: "U", Kind.OPERATOR: "O", Kind.SERVER: "N"}
VALIDITY = Validity(
    not_before=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    not_after=datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC),
)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_seed_gives_its_key_back(kind: Kind) -> None:
    pair = KeyPair.generate(kind)
    assert pair.public.startswith(PREFIXES[kind])
    assert pair.seed().startswith("S" + PREFIXES[kind])
    assert KeyPair.from_seed(pair.seed()).public == pair.public
    verify(pair.public, kind, b"data", pair.sign(b"data"))
    with pytest.raises(HoldfastError) as caught:
        verify(pair.public, kind, b"other", pair.sign(b"data"))
    assert caught.value.code is Code.BAD_SIGNATURE


def test_a_known_seed_gives_the_known_key() -> None:
    # Made by another implementation of nkeys; its checksum is part of it.
    seed = "SUAKYRHVIOREXV7EUZTBHUHL7NUMHPMAS7QMDU3GTIUWEI5LDNOXD43IZY"
    assert KeyPair.from_seed(seed).public.startswith("U")
    assert KeyPair.from_seed(seed).seed() == seed


@given(st.text(max_size=80))
def test_no_text_is_a_key_by_accident(text: str) -> None:
    for kind in Kind:
        with pytest.raises(HoldfastError):
            check_public(text, kind)
    with pytest.raises(HoldfastError):
        KeyPair.from_seed(text)


def account_claim(operator: KeyPair, account: KeyPair, issued_at_s: int) -> str:
    subject = Subject(public=account.public, name="triage", issued_at_s=issued_at_s)
    body = accounts.system(Issuers(signing_keys=(KeyPair.generate(Kind.ACCOUNT).public,)))
    return jwt.issue(operator, subject, body)


def test_claims_by_others_or_of_another_kind_are_refused() -> None:
    operator, account = KeyPair.generate(Kind.OPERATOR), KeyPair.generate(Kind.ACCOUNT)
    token = account_claim(operator, account, 100)
    decoded = jwt.decode(token, AccountBody, {operator.public})
    assert decoded.subject.public == account.public
    with pytest.raises(HoldfastError) as caught:
        jwt.decode(token, AccountBody, {KeyPair.generate(Kind.OPERATOR).public})
    assert caught.value.code is Code.BAD_SIGNATURE
    with pytest.raises(HoldfastError):
        jwt.decode(token, UserBody, {operator.public})
    head, body, signature = token.split(".")
    for broken in (f"{head}.{body}", f"{head}.{body[:-4]}AAAA.{signature}", f"{head}.{body}.AAAA"):
        with pytest.raises(HoldfastError):
            jwt.decode(broken, AccountBody, {operator.public})


def test_only_a_later_claim_succeeds() -> None:
    operator, account = KeyPair.generate(Kind.OPERATOR), KeyPair.generate(Kind.ACCOUNT)
    old, new = (
        jwt.decode(account_claim(operator, account, t), AccountBody, {operator.public})
        for t in (100, 101)
    )
    jwt.check_successor(new, old)
    jwt.check_successor(old, None)
    for replayed in (old, new):
        with pytest.raises(HoldfastError) as caught:
            jwt.check_successor(replayed, new)
        assert caught.value.code is Code.METADATA_ROLLBACK


@given(st.text(max_size=300))
def test_hostile_text_is_no_claim(text: str) -> None:
    with pytest.raises(HoldfastError):
        jwt.decode(text, AccountBody, set())


def test_no_role_may_do_everything() -> None:
    empty = permissions.Permissions((), ())
    assert empty.publishing().deny == (">",)
    assert empty.subscribing().deny == (">",)
    body = accounts.user(permissions.application("triage"), KeyPair.generate(Kind.ACCOUNT).public)
    assert body.pub.allow == ("infer.*.*",)
    assert body.sub.allow == ("results.>", "status.*", "_INBOX.triage.>")
    for name in ("a.b", "*", ">", "", "A", "a b"):
        with pytest.raises(HoldfastError):
            permissions.agent(name, "de")
        with pytest.raises(HoldfastError):
            permissions.gateway("de-1", [name], [])
        with pytest.raises(HoldfastError):
            permissions.person(name, "operator")


def test_a_request_for_a_certificate_gives_its_public_key_and_nothing_else() -> None:
    authority = x509.new_authority("site", VALIDITY)
    key = ec.generate_private_key(ec.SECP256R1())
    wished = library.SubjectAlternativeName([library.DNSName("controller")])
    csr = (
        library.CertificateSigningRequestBuilder()
        .subject_name(library.Name([]))
        .add_extension(wished, critical=False)
        .add_extension(library.BasicConstraints(ca=True, path_length=3), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    holder = Holder(uri=x509.holder_uri("node", "de-1"))
    pem = x509.sign_csr(authority, csr, holder, VALIDITY)
    certificate = library.load_pem_x509_certificate(pem)
    assert x509.holder_of(pem) == "holdfast:node:de-1"
    names = certificate.extensions.get_extension_for_class(library.SubjectAlternativeName).value
    assert len(list(names)) == 1
    constraints = certificate.extensions.get_extension_for_class(library.BasicConstraints).value
    assert constraints.ca is False
    assert certificate.not_valid_after_utc == VALIDITY.not_after
    ca = library.load_pem_x509_certificate(authority.certificate_pem)
    certificate.verify_directly_issued_by(ca)


@pytest.mark.parametrize("hostile", [b"", b"x" * 20_000, b"-----BEGIN CERTIFICATE REQUEST-----"])
def test_a_hostile_request_is_refused(hostile: bytes) -> None:
    authority = x509.new_authority("site", VALIDITY)
    with pytest.raises(HoldfastError):
        x509.sign_csr(authority, hostile, Holder(uri="holdfast:node:de-1"), VALIDITY)
    other = ec.generate_private_key(ec.SECP384R1())
    csr = library.CertificateSigningRequestBuilder().subject_name(library.Name([]))
    pem = csr.sign(other, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(HoldfastError):
        x509.sign_csr(authority, pem, Holder(uri="holdfast:node:de-1"), VALIDITY)


def test_a_credentials_folder_is_private_and_reads_back(tmp_path: Path) -> None:
    pair = KeyPair.generate(Kind.USER)
    made = Credentials(
        user_jwt="a.b.c",
        seed=pair.seed(),
        ca_pem=b"ca",
        certificate_pem=b"cert",
        key_pem=b"key",
        connect=Connect(servers=("tls://127.0.0.1:4222",), inbox_prefix="_INBOX.triage"),
    )
    folder = tmp_path / "creds" / "triage"
    credentials.write(folder, made)
    credentials.write(folder, made)
    assert credentials.read(folder) == made
    assert made.key_pair().public == pair.public
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["ca.pem", "cert.pem", "connect.json", "key.pem", "nats.creds"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    (folder / "connect.json").write_bytes(msgspec.json.encode({"servers": 3}))
    with pytest.raises(HoldfastError) as caught:
        credentials.read(folder)
    assert caught.value.code is Code.CONFIG_INVALID
