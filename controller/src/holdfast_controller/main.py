"""``holdfast-controller --config FILE``: the site's brain."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Awaitable
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from holdfast_bundles.site.keyfile import read_key
from holdfast_evidence import Signer
from holdfast_protocol import program
from holdfast_protocol.bus.nats_bus import connect
from holdfast_protocol.configs import ControllerConfig, Founding, load
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_controller.adapters.clock import SteadyClock
from holdfast_controller.adapters.fence import Fence
from holdfast_controller.adapters.journal_settings import JournalSettings
from holdfast_controller.adapters.publisher import Publisher
from holdfast_controller.adapters.services import Services
from holdfast_controller.adapters.sqlite_journal import open_journal
from holdfast_controller.journal.port import Journal
from holdfast_controller.logic.core import Setup
from holdfast_controller.logic.desired import Issuer
from holdfast_controller.shell import Controller, Outside

CONNECT_S = 3600.0


class _JsonLines(logging.Formatter):
    """One object a line; messages are ours and carry no secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["defect"] = self.formatException(record.exc_info)
        return json.dumps(line)


async def run(config: ControllerConfig, done: asyncio.Event) -> None:
    """Run the controller until ``done``; raises the reason where it stops by itself."""
    key = _signing_key(Path(config.desired_key))
    settings = JournalSettings(
        path=Path(config.journal),
        high_water=Path(config.highwater) / "journal.mark",
        site=config.site,
        signer=Signer(origin=f"{config.site}/journal", key=key),
    )
    controllers: list[Controller] = []

    async def reconnected() -> None:
        for each in controllers:
            each.bus_returned()

    fence = Fence(Path(config.highwater) / "fence.json")
    async with open_journal(settings) as journal:
        fence.check(journal.tail.commit)
        founding = load(config.founding, Founding) if journal.tail.commit == 0 else None
        setup = _setup(config, key, founding)
        connecting = connect(
            Path(config.credentials),
            name="controller",
            timeout_s=CONNECT_S,
            on_reconnect=reconnected,
        )
        bus = await program.unless(done, connecting)
        async with bus:
            controller = Controller(
                Outside(
                    journal=journal,
                    bus=bus,
                    publisher=Publisher(bus, config.domain, key.public_key().public_bytes_raw()),
                    services=Services(Path(config.importer_socket), Path(config.minter_socket)),
                    clock=SteadyClock(),
                )
            )
            controllers.append(controller)
            await _fenced(controller.run(setup, done), fence, journal)


async def _fenced(running: Awaitable[None], fence: Fence, journal: Journal) -> None:
    """Run, and fence off a journal that turns out to be older than what was published."""
    try:
        await running
    except* HoldfastError as group:
        error = program.first(group)
        if error.code is Code.JOURNAL_ROLLBACK:
            fence.close(journal.tail.commit, error.message)
        raise


def _setup(config: ControllerConfig, key: Ed25519PrivateKey, founding: Founding | None) -> Setup:
    return Setup(
        version=version("holdfast-controller"),
        online_key=read_key(Path(config.online_key)),
        issuer=Issuer(key=key, blobs_urls=config.blobs_urls, brokers=config.brokers),
        founding=founding,
    )


def _signing_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise HoldfastError(Code.CONFIG_INVALID, f"{path} holds no readable key.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise HoldfastError(Code.CONFIG_INVALID, f"{path} holds no Ed25519 key.")
    return key


def main() -> None:
    """Run the controller; exit codes are those of the error table."""
    parser = argparse.ArgumentParser(prog="holdfast-controller", description=__doc__)
    parser.add_argument("--config", required=True, help="the controller's configuration file")
    config = parser.parse_args().config
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    # It tells of each officer who did not sign, which is the normal case with M of N.
    logging.getLogger("tuf").setLevel(logging.WARNING)
    log = logging.getLogger("holdfast.controller")
    program.run(
        lambda done: run(load(config, ControllerConfig), done), lambda line: log.error("%s", line)
    )
