"""The keys of a new node: made here once, 0600, and read again when enrolment goes on.

No private half is ever sent; what travels is :class:`NodeKeys`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.enrolment import NodeCode, NodeKeys, fingerprint
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import x509
from holdfast_protocol.identity.credentials import write_private
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.limits import CREDENTIAL_BYTES

_FILES = ("agent.seed", "agent-key.pem", "gateway.seed", "gateway-key.pem", "x25519.key")
_SAID = "said.json"


class MadeKeys(NamedTuple):
    """The private keys, and ``said``: the exact public bytes that are proven to the site."""

    agent: KeyPair
    agent_tls: bytes
    gateway: KeyPair
    gateway_tls: bytes
    x25519: bytes
    said: bytes

    @property
    def fingerprint(self) -> str:
        """What this machine shows and the officer's request must show too."""
        keys = decode(self.said, NodeKeys)
        parts = (
            keys.nats_public,
            keys.gateway_nats_public,
            keys.x25519_public,
            x509.spki_sha256(keys.csr),
            x509.spki_sha256(keys.gateway_csr),
        )
        return fingerprint(keys.node, parts)


def make(folder: Path, code: NodeCode) -> MadeKeys:
    """Return the keys below ``folder``, made now if there are none.

    Raises ``ALREADY_EXISTS`` where keys for another node lie, ``CONFIG_INVALID`` where the folder
    cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / _SAID).exists():
            _generate(folder, code)
        made = _read(folder)
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{folder} cannot hold keys: {error.strerror}."
        ) from error
    keys = decode(made.said, NodeKeys)
    if (keys.node, keys.zone) != (code.node, code.zone):
        raise HoldfastError(Code.ALREADY_EXISTS, f"{folder} holds the keys of {keys.node} already.")
    return made


def _generate(folder: Path, code: NodeCode) -> None:
    agent, gateway = KeyPair.generate(Kind.USER), KeyPair.generate(Kind.USER)
    tls, gateway_tls = x509.new_key(), x509.new_key()
    exchange = X25519PrivateKey.generate()
    keys = NodeKeys(
        node=code.node,
        zone=code.zone,
        nats_public=agent.public,
        gateway_nats_public=gateway.public,
        x25519_public=exchange.public_key().public_bytes_raw().hex(),
        csr=x509.new_csr(tls),
        gateway_csr=x509.new_csr(gateway_tls),
    )
    private = (
        agent.seed().encode("ascii"),
        tls,
        gateway.seed().encode("ascii"),
        gateway_tls,
        exchange.private_bytes_raw().hex().encode("ascii"),
    )
    for name, data in zip(_FILES, private, strict=True):
        write_private(folder / name, data)
    # Last: with this file all keys are there.
    write_private(folder / _SAID, encode(keys))


def _read(folder: Path) -> MadeKeys:
    agent, tls, gateway, gateway_tls, exchange = (_file(folder / name) for name in _FILES)
    return MadeKeys(
        agent=KeyPair.from_seed(agent.decode("ascii", "replace")),
        agent_tls=tls,
        gateway=KeyPair.from_seed(gateway.decode("ascii", "replace")),
        gateway_tls=gateway_tls,
        x25519=exchange,
        said=_file(folder / _SAID),
    )


def _file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(CREDENTIAL_BYTES)
