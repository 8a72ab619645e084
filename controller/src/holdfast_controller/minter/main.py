"""``holdfast-minter --config FILE``: the sole holder of the site's signing keys, on one socket.

No network and no bus: the controller asks on a local socket, the answer is signed or refused.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import msgspec
from holdfast_bundles.site.client import SiteTrust
from holdfast_protocol import program
from holdfast_protocol.codec import encode
from holdfast_protocol.configs import MinterConfig, load
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity.nkeys import KeyPair, Kind
from holdfast_protocol.identity.x509 import Authority
from holdfast_protocol.local import serve
from holdfast_protocol.minting import MintAsked, MintRefused

from holdfast_controller.minter.ledger import Ledger
from holdfast_controller.minter.mint import Minter
from holdfast_controller.minter.nodes import AccountKey, Keys

_ASKED: msgspec.json.Decoder[MintAsked] = msgspec.json.Decoder(MintAsked)


def build(config: MinterConfig) -> Minter:
    """Return the minter of ``config``; raises ``CONFIG_INVALID`` naming what does not fit."""
    authority = Authority(
        certificate_pem=_read(config.ca_certificate), key_pem=_read(config.ca_key)
    )
    return Minter(
        Keys(
            operator_signing=_signing(config.operator_signing_key, Kind.OPERATOR),
            authority=authority,
            control=AccountKey(
                account=config.control_account,
                signing=_signing(config.control_signing_key, Kind.ACCOUNT),
            ),
            inference=AccountKey(
                account=config.inference_account,
                signing=_signing(config.inference_signing_key, Kind.ACCOUNT),
            ),
            domain=config.domain,
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
            asked = _asked(data)
            async with one_at_a_time:
                return encode(await asyncio.to_thread(minter.answer, asked, time.time()))
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


def _asked(data: bytes) -> MintAsked:
    try:
        return _ASKED.decode(data)
    except msgspec.MsgspecError as error:
        raise HoldfastError(Code.BAD_REQUEST, f"The question does not fit: {error}.") from error


def _signing(path: str, kind: Kind) -> KeyPair:
    pair = KeyPair.from_seed(_read(path).decode("ascii", "replace").strip())
    if pair.kind is not kind:
        raise HoldfastError(Code.CONFIG_INVALID, f"{path} holds a key of another kind.")
    return pair


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"{path} cannot be read: {error.strerror}."
        ) from error
