"""A realm made at run time: operator, accounts, certificates, and brokers that really run.

``Realm(folder)`` mints what a ceremony mints (keys, claims, CA). ``realm.broker(...)`` describes a
broker, ``async with running(broker)`` runs it on ports the kernel chose, ``realm.folder(...)``
writes a credentials folder for a role. Nothing is shared between realms.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import msgspec
from holdfast_protocol import brokers, subjects
from holdfast_protocol.brokers import BrokerFolders, BrokerPlan, LeafLink, TlsFiles
from holdfast_protocol.identity import accounts, credentials, jwt, permissions, x509
from holdfast_protocol.identity.accounts import Issuers
from holdfast_protocol.identity.credentials import Connect, Credentials
from holdfast_protocol.identity.jwt import AccountBody, Subject
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.identity.permissions import Permissions
from holdfast_protocol.identity.x509 import Authority, Holder, Validity

START_S = 20.0


def now_s() -> int:
    return int(time.time())


def validity(days: int = 30) -> Validity:
    """A validity around now, as a ceremony with a correct clock would give."""
    now = datetime.datetime.now(datetime.UTC)
    return Validity(
        not_before=now - datetime.timedelta(minutes=5),
        not_after=now + datetime.timedelta(days=days),
    )


class Account:
    """An account's own key and the signing key that issues its users."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = KeyPair.generate(Kind.ACCOUNT)
        self.signing = KeyPair.generate(Kind.ACCOUNT)
        self.revocations: dict[str, int] = {}
        self.issued_at_s = now_s() - 60

    @property
    def public(self) -> str:
        return self.key.public

    @property
    def issuers(self) -> Issuers:
        return Issuers(signing_keys=(self.signing.public,), revocations=dict(self.revocations))


class Broker:
    """A broker of the realm; ``url`` and ``leaf_url`` are known once it runs."""

    def __init__(self, folder: Path, plan: BrokerPlan) -> None:
        self.folder = folder
        self.plan = plan
        self.store_key = brokers.new_store_key()
        self.port: int | None = None
        self.leaf_port = plan.leaf_port
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    @property
    def leaf_url(self) -> str:
        return f"tls://127.0.0.1:{self.leaf_port}"

    def log(self) -> str:
        """What the broker has said, a refused configuration included."""
        files = (self.folder / name for name in ("stderr", "log"))
        return "".join(f.read_text(errors="replace") for f in files if f.exists())

    async def start(self) -> None:
        """Run it and wait until it serves; after a stop it comes back on the same ports."""
        plan = msgspec.structs.replace(self.plan, port=self.port or brokers.ANY_PORT)
        config = self.folder / "nats.conf"
        config.write_text(brokers.broker_config(plan), encoding="utf-8")
        for stale in (self.folder / "ports").glob("*.ports"):
            stale.unlink()
        with (self.folder / "stderr").open("wb") as errors:
            self.process = await asyncio.create_subprocess_exec(
                str(brokers.server_binary()), "-c", str(config),
                env={**os.environ, brokers.STORE_KEY_VARIABLE: self.store_key},
                stdout=asyncio.subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
        ports = await self._ports()
        self.port = _port(ports["nats"])

    async def stop(self, *, kill: bool = False) -> None:
        """End it, politely or not."""
        assert self.process is not None
        if self.process.returncode is None:
            (self.process.kill if kill else self.process.terminate)()
        await self.process.wait()

    async def _ports(self) -> dict[str, list[str]]:
        assert self.process is not None
        async with asyncio.timeout(START_S):
            while True:
                assert self.process.returncode is None, self.log()
                for file in (self.folder / "ports").glob("*.ports"):
                    with contextlib.suppress(json.JSONDecodeError):
                        ports: dict[str, list[str]] = json.loads(file.read_text())
                        return ports
                await asyncio.sleep(0.01)


class Realm:
    """Keys, claims and certificates of one site; applications are (name, zone)."""

    def __init__(self, folder: Path, apps: Iterable[tuple[str, str]] = ()) -> None:
        self.folder = folder
        self.operator = KeyPair.generate(Kind.OPERATOR)
        self.operator_signing = KeyPair.generate(Kind.OPERATOR)
        self.authority = x509.new_authority("test site CA", validity())
        self.system = Account("SYS")
        self.control = Account("CONTROL")
        self.inference = Account("INFERENCE")
        self.apps = {name: Account(name) for name, _ in apps}
        self.zones = dict(apps)
        body = accounts.operator([self.operator_signing.public], self.system.public)
        self.operator_jwt = jwt.issue(
            self.operator,
            Subject(public=self.operator.public, name="site", issued_at_s=now_s() - 60),
            body,
        )

    def account_jwt(self, account: Account, *, by: KeyPair | None = None) -> str:
        """The account's claim as of ``account.issued_at_s`` with its present revocations."""
        subject = Subject(public=account.public, name=account.name, issued_at_s=account.issued_at_s)
        return jwt.issue(by or self.operator_signing, subject, self._body(account))

    def user(
        self, account: Account, name: str, rights: Permissions, *, key: KeyPair | None = None
    ) -> tuple[str, KeyPair]:
        """A user's claim and key."""
        pair = key or KeyPair.generate(Kind.USER)
        subject = Subject(public=pair.public, name=name, issued_at_s=now_s() - 30)
        return jwt.issue(account.signing, subject, accounts.user(rights, account.public)), pair

    def identity(
        self,
        account: Account,
        name: str,
        rights: Permissions,
        broker: Broker,
        *,
        authority: Authority | None = None,
    ) -> Path:
        """Write and return a fresh credentials folder for ``name`` in ``account`` at ``broker``."""
        token, pair = self.user(account, name, rights)
        key = x509.new_key()
        certificate = x509.sign_csr(
            authority or self.authority,
            x509.new_csr(key),
            Holder(uri=x509.holder_uri("program", name)),
            validity(),
        )
        folder = self.folder / "creds" / f"{account.name}-{name}-{pair.public[-6:]}"
        credentials.write(
            folder,
            Credentials(
                user_jwt=token,
                seed=pair.seed(),
                ca_pem=self.authority.certificate_pem,
                certificate_pem=certificate,
                key_pem=key,
                connect=Connect(
                    servers=(broker.url,), inbox_prefix=subjects.inbox_prefix(name.lower())
                ),
            ),
        )
        return folder

    def application(self, app: str, broker: Broker) -> Path:
        """A credentials folder of an application's first user."""
        return self.identity(self.apps[app], app, permissions.application(app), broker)

    def broker(
        self, name: str, *, zone: str, hub: Broker | None = None, link: Permissions | None = None
    ) -> Broker:
        """A broker of ``zone``: a hub, or a leaf of ``hub`` whose link has the rights ``link``."""
        folder = self.folder / name
        for part in ("resolver", "store", "ports", "tls"):
            (folder / part).mkdir(parents=True, mode=0o700)
        tls = self._server_tls(folder / "tls", name)
        uplink = None
        if hub is not None:
            assert link is not None
            token, pair = self.user(self.control, name, link)
            file = folder / "uplink.creds"
            credentials.write_private(file, credentials.creds_text(token, pair.seed()).encode())
            uplink = LeafLink(
                urls=(hub.leaf_url,), account=self.control.public, credentials=str(file)
            )
        local = [app for app, home in self.zones.items() if home == zone]
        served = [self.system, self.control, self.inference, *(self.apps[a] for a in local)]
        plan = BrokerPlan(
            name=name,
            domain=zone,
            host="127.0.0.1",
            port=brokers.ANY_PORT,
            operator_jwt=self.operator_jwt,
            system_account=self.system.public,
            preload={account.public: self.account_jwt(account) for account in served},
            tls=tls,
            folders=BrokerFolders(
                resolver=str(folder / "resolver"),
                store=str(folder / "store"),
                ports=str(folder / "ports"),
                pid=str(folder / "pid"),
                log=str(folder / "log"),
            ),
            leaf_port=_free_port() if hub is None else None,
            uplink=uplink,
        )
        return Broker(folder, plan)

    def _body(self, account: Account) -> AccountBody:
        if account is self.system:
            return accounts.system(account.issuers)
        if account is self.control:
            return accounts.control(account.issuers)
        if account is self.inference:
            return accounts.inference(account.issuers)
        return accounts.application(
            account.issuers, account.name, self.zones[account.name], self.inference.public
        )

    def _server_tls(self, folder: Path, name: str) -> TlsFiles:
        key = x509.new_key()
        holder = Holder(uri=x509.holder_uri("broker", name), hosts=x509.LOOPBACK)
        certificate = x509.sign_csr(self.authority, x509.new_csr(key), holder, validity())
        files = TlsFiles(
            certificate=str(folder / "cert.pem"),
            key=str(folder / "key.pem"),
            ca=str(folder / "ca.pem"),
        )
        for path, data in (
            (files.certificate, certificate),
            (files.key, key),
            (files.ca, self.authority.certificate_pem),
        ):
            credentials.write_private(Path(path), data)
        return files


@contextlib.asynccontextmanager
async def running(*started: Broker) -> AsyncIterator[None]:
    """Run the brokers, the hub first, and end them afterwards."""
    try:
        for broker in started:
            await broker.start()
        yield
    finally:
        for broker in reversed(started):
            if broker.process is not None:
                await broker.stop(kill=True)
            shutil.rmtree(broker.folder / "store", ignore_errors=True)


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Return when ``condition`` holds; raises ``TimeoutError``."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the state of the world has no event
            await asyncio.sleep(0.01)


def _free_port() -> int:
    # The server's file of ports does not name the leaf port, so the kernel chooses it here.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _port(urls: list[str]) -> int:
    return int(urls[0].rsplit(":", 1)[1])
