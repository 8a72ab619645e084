"""What a certified node writes: credentials, the pinned root, the marks, both configurations."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec
from holdfast_bundles.site.client import SiteTrust
from holdfast_bundles.site.marks import Marks
from holdfast_protocol import configs, subjects
from holdfast_protocol.codec import decode
from holdfast_protocol.enrolment import NodeCode, NodeCredentials
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import credentials, x509
from holdfast_protocol.identity.credentials import write_private
from holdfast_protocol.identity.nkeys import KeyPair

from holdfast_agent.enrol.keys import MadeKeys

_CONFIG = "config.json"


class NodeFolder(NamedTuple):
    """Where a node's two programs keep their things; ``runtime`` is short, for sockets."""

    root: Path
    runtime: Path

    @property
    def agent(self) -> Path:
        """The agent's folder."""
        return self.root / "agent"

    @property
    def gateway(self) -> Path:
        """The gateway's folder."""
        return self.root / "gateway"

    @property
    def enrolment(self) -> Path:
        """Keys and bootstrap identity until the node is certified."""
        return self.root / "enrolment"

    @property
    def commands(self) -> tuple[str, str]:
        """The two commands that run the node."""
        return (
            f"holdfast-agent --config {self.agent / _CONFIG}",
            f"holdfast-gateway --config {self.gateway / _CONFIG}",
        )

    @property
    def complete(self) -> bool:
        """Whether enrolment ended here."""
        return (self.gateway / _CONFIG).is_file()


def node_folder(root: Path) -> NodeFolder:
    """Return the folder of a node below ``root``; nothing is created."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    name = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:10]
    return NodeFolder(root.absolute(), Path(base) / f"hf-{name}")


def write_bootstrap(folder: NodeFolder, code: NodeCode) -> Path:
    """Write the identity with which the node asks; return its credentials folder."""
    where = folder.enrolment / "bootstrap"
    folder.enrolment.mkdir(mode=0o700, parents=True, exist_ok=True)
    credentials.write(
        where,
        credentials.Credentials(
            user_jwt=code.user_jwt,
            seed=code.user_seed,
            ca_pem=code.ca,
            certificate_pem=code.certificate,
            key_pem=code.key,
            connect=credentials.Connect(
                servers=code.servers, inbox_prefix=subjects.inbox_prefix(code.nonce)
            ),
        ),
    )
    return where


def check_answer(code: NodeCode, keys: MadeKeys, given: NodeCredentials) -> None:
    """Raise ``CODE_REFUSED`` where the site's answer is not what the code promised.

    The root and the CA are those whose fingerprints the officer handed over, and the certificates
    are over this node's own keys.
    """
    if hashlib.sha256(given.root).hexdigest() != code.root_sha256:
        raise _other("root")
    if x509.certificate_sha256(given.ca) != code.ca_sha256:
        raise _other("CA")
    pairs = (
        (given.certificate, keys.agent_tls),
        (given.gateway_certificate, keys.gateway_tls),
    )
    for certificate, key in pairs:
        if x509.certificate_spki_sha256(certificate) != x509.spki_sha256(x509.new_csr(key)):
            raise _other("certificate")


def complete(
    folder: NodeFolder, code: NodeCode, keys: MadeKeys, given: NodeCredentials, devices: str
) -> None:
    """Write everything both programs need; the gateway's configuration comes last.

    Raises ``CODE_REFUSED`` for another site than the code's, ``CONFIG_INVALID`` for the disk.
    """
    check_answer(code, keys, given)
    try:
        agent = _Identity(keys.agent, keys.agent_tls, given.agent_jwt, given.certificate)
        gateway = _Identity(
            keys.gateway, keys.gateway_tls, given.gateway_jwt, given.gateway_certificate
        )
        _credentials(folder.agent, code, agent)
        _credentials(folder.gateway, code, gateway)
        write_private(folder.agent / "root.json", given.root)
        write_private(folder.gateway / "x25519.key", keys.x25519)
        folder.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        _seed(folder, code, given)
        _save(folder.agent / _CONFIG, _agent(folder, code, devices))
        _save(folder.gateway / _CONFIG, _gateway(folder, code))
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{folder.root} cannot be written: {error.strerror}."
        ) from error


def _other(what: str) -> HoldfastError:
    return HoldfastError(
        Code.CODE_REFUSED, f"The site answered with another {what} than this code promised."
    )


class _Identity(NamedTuple):
    user: KeyPair
    tls: bytes
    user_jwt: str
    certificate: bytes


def _credentials(part: Path, code: NodeCode, own: _Identity) -> None:
    part.mkdir(mode=0o700, parents=True, exist_ok=True)
    credentials.write(
        part / "credentials",
        credentials.Credentials(
            user_jwt=own.user_jwt,
            seed=own.user.seed(),
            ca_pem=code.ca,
            certificate_pem=own.certificate,
            key_pem=own.tls,
            connect=credentials.Connect(
                servers=code.servers, inbox_prefix=subjects.inbox_prefix(code.node)
            ),
        ),
    )


def _seed(folder: NodeFolder, code: NodeCode, given: NodeCredentials) -> None:
    trust = SiteTrust(folder.agent / "trust", given.root, code.site)
    marks = decode(given.marks, Marks)
    if marks.site != code.site:
        raise _other("site")
    try:
        trust.seed(marks)
    except HoldfastError as error:
        # Of an enrolment that ended before its last file was written.
        if error.code is not Code.ALREADY_EXISTS:
            raise


def _save(path: Path, config: object) -> None:
    write_private(path, msgspec.json.format(msgspec.json.encode(config)) + b"\n")


def _agent(folder: NodeFolder, code: NodeCode, devices: str) -> configs.AgentConfig:
    own = folder.agent
    return configs.AgentConfig(
        site=code.site,
        node=code.node,
        domain=code.domain,
        credentials=str(own / "credentials"),
        root=str(own / "root.json"),
        controller_key=code.controller_key,
        trust=str(own / "trust"),
        state=str(own / "state"),
        artifacts=str(own / "artifacts"),
        runtime=str(folder.runtime),
        devices=devices,
        zones=code.zones,
        tls_certificate=str(own / "credentials" / "cert.pem"),
        tls_key=str(own / "credentials" / "key.pem"),
        tls_ca=str(own / "credentials" / "ca.pem"),
    )


def _gateway(folder: NodeFolder, code: NodeCode) -> configs.GatewayConfig:
    own, agent = folder.gateway, folder.agent
    return configs.GatewayConfig(
        site=code.site,
        node=code.node,
        credentials=str(own / "credentials"),
        root=str(agent / "root.json"),
        controller_key=code.controller_key,
        trust=str(agent / "trust"),
        state_file=str(agent / "state" / "gateway.json"),
        agent_socket=str(folder.runtime / "agent.sock"),
        x25519_key=str(own / "x25519.key"),
        zones=code.zones,
        segment=str(own / "segment"),
    )
