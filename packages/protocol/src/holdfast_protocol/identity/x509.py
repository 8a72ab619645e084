"""The site's X.509: one CA, server certificates for brokers and range servers, client certificates.

ECDSA P-256 throughout: every TLS stack of a site speaks it. Pure but for the randomness of keys
and serial numbers; time is an argument. A client certificate names its holder in one URI,
``holdfast:<kind>:<id>``, and nothing else of a request is believed but its public key.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import token
from holdfast_protocol.limits import CSR_BYTES

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_KINDS: Final = ("node", "person", "app", "broker", "program", "bootstrap")


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when a certificate is good, both in UTC."""

    not_before: datetime.datetime
    not_after: datetime.datetime


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """A CA: certificate and private key, both PEM. Only the minter holds one."""

    certificate_pem: bytes
    key_pem: bytes


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a certificate is for: its URI, and host names and addresses where it also serves."""

    uri: str
    hosts: tuple[str, ...] = ()


def holder_uri(kind: str, name: str) -> str:
    """Return ``holdfast:<kind>:<name>``; raises ``BAD_NAME``."""
    if kind not in _KINDS:
        raise HoldfastError(Code.BAD_NAME, f"kind {kind[:63]!a} is not one of {', '.join(_KINDS)}.")
    return f"holdfast:{kind}:{token(name)}"


def parse_holder(uri: str) -> tuple[str, str]:
    """Return (kind, name) of a holder's URI; raises ``BAD_NAME``."""
    scheme, _, rest = uri.partition(":")
    kind, _, name = rest.partition(":")
    if scheme != "holdfast" or uri != holder_uri(kind, name):
        raise HoldfastError(Code.BAD_NAME, f"{uri[:120]!a} is not holdfast:<kind>:<id>.")
    return kind, name


def new_authority(common_name: str, validity: Validity) -> Authority:
    """Return a fresh site CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(name, name, key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate_pem=_pem(certificate), key_pem=_key_pem(key))


def new_key() -> bytes:
    """Return a fresh private key, PEM (PKCS 8, not encrypted); it belongs in a file of 0600."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def new_csr(key_pem: bytes) -> bytes:
    """Return a signing request, PEM, that says nothing but its public key."""
    key = _private_key(key_pem)
    request = x509.CertificateSigningRequestBuilder().subject_name(_name("holdfast"))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign_csr(authority: Authority, csr_pem: bytes, holder: Holder, validity: Validity) -> bytes:
    """Return a certificate, PEM, for ``holder`` over the request's public key.

    Only the public key is taken from the request, and its proof of possession is checked. Raises
    ``BAD_REQUEST`` for anything else than a signed P-256 request within ``CSR_BYTES``.
    """
    return certify(authority, _requested(csr_pem), holder, validity)


def spki_sha256(csr_pem: bytes) -> str:
    """Return the SHA-256 (hex) of a request's public key as certificates carry it.

    Raises as :func:`sign_csr` does.
    """
    return hashlib.sha256(_spki(_requested(csr_pem))).hexdigest()


def certificate_spki_sha256(certificate_pem: bytes) -> str:
    """Return the SHA-256 (hex) of a certificate's public key; raises ``BAD_REQUEST``."""
    try:
        public = x509.load_pem_x509_certificate(certificate_pem).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise HoldfastError(Code.BAD_REQUEST, "The certificate does not decode.") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise HoldfastError(Code.BAD_REQUEST, "The certificate's key is not on P-256.")
    return hashlib.sha256(_spki(public)).hexdigest()


def certificate_sha256(certificate_pem: bytes) -> str:
    """Return a certificate's fingerprint, SHA-256 in hex; raises ``BAD_REQUEST``."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as error:
        raise HoldfastError(Code.BAD_REQUEST, "The certificate does not decode.") from error
    return certificate.fingerprint(hashes.SHA256()).hex()


def certify(
    authority: Authority, public: ec.EllipticCurvePublicKey, holder: Holder, validity: Validity
) -> bytes:
    """Return a certificate, PEM, for ``holder``; raises ``BAD_REQUEST`` for another curve."""
    if not isinstance(public.curve, ec.SECP256R1):
        raise HoldfastError(Code.BAD_REQUEST, "The public key is not on P-256.")
    kind, name = parse_holder(holder.uri)
    issuer = x509.load_pem_x509_certificate(authority.certificate_pem)
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if holder.hosts:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
    names = [x509.UniformResourceIdentifier(holder.uri), *map(_host, holder.hosts)]
    certificate = (
        _builder(_name(f"{kind} {name}"), issuer.subject, public, validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(_public(issuer)), critical=False
        )
        .sign(_private_key(authority.key_pem), hashes.SHA256())
    )
    return _pem(certificate)


def holder_of(certificate_pem: bytes) -> str:
    """Return the URI of a certificate's holder; raises ``BAD_REQUEST``. Checks no signature."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris: Sequence[str] = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise HoldfastError(Code.BAD_REQUEST, "The certificate names no holder.") from error
    if len(uris) != 1:
        raise HoldfastError(Code.BAD_REQUEST, "The certificate does not name exactly one holder.")
    parse_holder(uris[0])
    return uris[0]


def _requested(csr_pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key that signed the request, its proof of possession checked."""
    if len(csr_pem) > CSR_BYTES:
        raise HoldfastError(Code.TOO_LARGE, f"The signing request is more than {CSR_BYTES} bytes.")
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        public = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise HoldfastError(Code.BAD_REQUEST, "The signing request does not decode.") from error
    if not proven or not isinstance(public, ec.EllipticCurvePublicKey):
        raise HoldfastError(Code.BAD_REQUEST, "The signing request is not by its own key.")
    if not isinstance(public.curve, ec.SECP256R1):
        raise HoldfastError(Code.BAD_REQUEST, "The public key is not on P-256.")
    return public


def _spki(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
    )


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _public(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey), "our CA is always on P-256"
    return public


def _private_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise HoldfastError(Code.CONFIG_INVALID, "A private key file does not decode.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise HoldfastError(Code.CONFIG_INVALID, "A private key is not ECDSA P-256.")
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
