"""``holdfast-relay --config FILE``: keeps one broker's application accounts as the site decided."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from holdfast_protocol.bus.nats_bus import connect
from holdfast_protocol.configs import RelayConfig, load
from holdfast_protocol.errors import HoldfastError

from holdfast_controller.relay.desired import ClaimsFile
from holdfast_controller.relay.shell import Relay

CONNECT_S = 3600.0


async def run(config: RelayConfig) -> None:
    """Run the relay until SIGTERM."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    relays: list[Relay] = []

    async def reconnected() -> None:
        for relay in relays:
            await relay.wake()

    control = await connect(
        Path(config.control_credentials),
        name=config.broker,
        timeout_s=CONNECT_S,
        on_reconnect=reconnected,
    )
    try:
        system = await connect(
            Path(config.system_credentials),
            name=f"{config.broker}-claims",
            timeout_s=CONNECT_S,
            on_reconnect=reconnected,
        )
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
    try:
        asyncio.run(run(load(parser.parse_args().config, RelayConfig)))
    except HoldfastError as error:
        print(f"{error.code}: {error.message} {error.next}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
