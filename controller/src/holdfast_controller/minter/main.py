"""``holdfast-minter --config FILE``: the sole holder of the site's signing keys, on one socket.

No network and no bus: the controller asks on a local socket, the answer is signed or refused.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from holdfast_bundles.site.client import SiteTrust
from holdfast_protocol import program
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.configs import MinterConfig, load
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.identity.x509 import Authority
from holdfast_protocol.local import serve
from holdfast_protocol.minting import MintApplication, MintRefused

from holdfast_controller.minter.ledger import Ledger
from holdfast_controller.minter.mint import Keys, Minter


def build(config: MinterConfig) -> Minter:
    """Return the minter of ``config``; raises ``CONFIG_INVALID`` naming what does not fit."""
    operator = KeyPair.from_seed(_read(config.operator_signing_key).decode("ascii").strip())
    if operator.kind is not Kind.OPERATOR:
        raise HoldfastError(Code.CONFIG_INVALID, "The operator signing key is of another kind.")
    authority = Authority(
        certificate_pem=_read(config.ca_certificate), key_pem=_read(config.ca_key)
    )
    return Minter(
        Keys(
            operator_signing=operator,
            authority=authority,
            inference_account=config.inference_account,
        ),
        SiteTrust(Path(config.trust), _read(config.root), config.site),
        Ledger(Path(config.state)),
        config.zones,
    )


async def run(config: MinterConfig, done: asyncio.Event) -> None:
    """Serve until ``done``."""
    minter = build(config)
    one_at_a_time = asyncio.Lock()

    async def handle(data: bytes) -> bytes:
        try:
            asked = decode(data, MintApplication)
            async with one_at_a_time:
                return encode(await asyncio.to_thread(minter.application, asked, time.time()))
        except HoldfastError as error:
            return encode(MintRefused(code=error.code.value, message=error.message))

    server = await serve(Path(config.socket), handle)
    async with server:
        await done.wait()


def main() -> None:
    """Run the minter; exit codes are those of the error table."""
    parser = argparse.ArgumentParser(prog="holdfast-minter", description=__doc__)
    parser.add_argument("--config", required=True, help="the minter's configuration file")
    config = parser.parse_args().config
    program.run(lambda done: run(load(config, MinterConfig), done))


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{path} cannot be read: {error.strerror}."
        ) from error
