"""``holdfast-relay --config FILE``: keeps one broker's application accounts as the site decided."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from holdfast_protocol import program
from holdfast_protocol.bus.nats_bus import connect
from holdfast_protocol.configs import RelayConfig, load

from holdfast_controller.relay.desired import ClaimsFile
from holdfast_controller.relay.shell import Relay

CONNECT_S = 3600.0


async def run(config: RelayConfig, done: asyncio.Event) -> None:
    """Run the relay until ``done``."""
    relays: list[Relay] = []

    async def reconnected() -> None:
        for relay in relays:
            await relay.wake()

    connecting = connect(
        Path(config.control_credentials),
        name=config.broker,
        timeout_s=CONNECT_S,
        on_reconnect=reconnected,
    )
    control = await program.unless(done, connecting)
    try:
        connecting = connect(
            Path(config.system_credentials),
            name=f"{config.broker}-claims",
            timeout_s=CONNECT_S,
            on_reconnect=reconnected,
        )
        system = await program.unless(done, connecting)
        try:
            relay = Relay(config, control, system, ClaimsFile(Path(config.state)))
            relays.append(relay)
            await relay.run(done)
        finally:
            await system.close()
    finally:
        await control.close()


def main() -> None:
    """Run the relay; exit codes are those of the error table."""
    parser = argparse.ArgumentParser(prog="holdfast-relay", description=__doc__)
    parser.add_argument("--config", required=True, help="the relay's configuration file")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = parser.parse_args().config
    program.run(lambda done: run(load(config, RelayConfig), done))
