"""The relay's loop: follow the claims document, push what the broker lacks, say what it has.

Level-triggered: every claim is compared with what the broker holds at each new document, after
each reconnection and every 30 s, so a broker whose store was lost is whole again by itself.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time

from holdfast_protocol import subjects
from holdfast_protocol.bus import claims as pushing
from holdfast_protocol.bus.port import Bus, Message, State
from holdfast_protocol.codec import encode
from holdfast_protocol.configs import RelayConfig
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.limits import DESIRED_POLL_S, REPORT_EVERY_S
from holdfast_protocol.messages import DesiredClaims, RelayReport

from holdfast_controller.relay.desired import ClaimsFile, Stored, newer, verified

_log = logging.getLogger("holdfast.relay")


class Relay:
    """One broker's relay."""

    def __init__(self, config: RelayConfig, control: Bus, system: Bus, file: ClaimsFile) -> None:
        self._config = config
        self._control = control
        self._system = system
        self._file = file
        self._stored = file.read()
        self._key = bytes.fromhex(config.controller_key)
        self._wake = asyncio.Event()
        self._confirmed: tuple[str, ...] = ()
        self._failed: tuple[str, ...] = ()
        self._pushed: tuple[int, int] = (0, 0)
        self._boot = secrets.token_hex(8)
        self._seq = 0

    async def wake(self) -> None:
        """Compare again now: a connection was made anew."""
        self._wake.set()

    async def run(self, done: asyncio.Event) -> None:
        """Run until ``done``."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._follow()),
                group.create_task(self._push()),
                group.create_task(self._report()),
            ]
            await done.wait()
            for task in tasks:
                task.cancel()

    async def _follow(self) -> None:
        subject = subjects.desired(self._config.broker)

        async def pushed(message: Message) -> None:
            self._arrived(message.body)

        await self._control.subscribe(subject, pushed)
        while True:
            found: bytes | None = None
            try:
                found = await self._control.last_value(
                    self._config.domain, subjects.DESIRED_STREAM, subject
                )
            except HoldfastError as error:
                _log.debug("the desired claims cannot be read: %s", error.code)
            if found is not None:
                self._arrived(found)
            await asyncio.sleep(DESIRED_POLL_S if found is not None else 1.0)

    def _arrived(self, document: bytes) -> None:
        try:
            claims, digest = verified(document, self._key, self._config.broker)
            if not newer(claims, digest, self._stored):
                return
        except HoldfastError as error:
            _log.warning("claims refused: %s %s", error.code, error.message)
            return
        stored = Stored(
            epoch=claims.epoch, generation=claims.generation, digest=digest, document=document
        )
        try:
            self._file.write(stored)
        except HoldfastError as error:
            _log.error("the claims are not kept: %s", error.message)
            return  # not acted upon either; the next look at the stream brings them again
        self._stored = stored
        self._wake.set()

    async def _push(self) -> None:
        while True:
            self._wake.clear()
            if self._stored is not None and self._system.state is State.CONNECTED:
                claims, _ = verified(self._stored.document, self._key, self._config.broker)
                await self._push_all(claims)
            try:
                async with asyncio.timeout(DESIRED_POLL_S if not self._failed else 1.0):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _push_all(self, claims: DesiredClaims) -> None:
        confirmed, failed = [], []
        for account in claims.accounts:
            try:
                changed = await pushing.push(
                    self._system, account.jwt, [self._config.operator_signing_public]
                )
            except HoldfastError as error:
                _log.warning("claim of %s: %s %s", account.app, error.code, error.message)
                failed.append(account.app)
                continue
            if changed:
                _log.info("claim of %s pushed", account.app)
            confirmed.append(account.app)
        self._confirmed, self._failed = tuple(confirmed), tuple(failed)
        self._pushed = (claims.epoch, claims.generation)
        await self._say()

    async def _report(self) -> None:
        while True:
            await self._say()
            await asyncio.sleep(REPORT_EVERY_S)

    async def _say(self) -> None:
        self._seq += 1
        report = RelayReport(
            broker=self._config.broker,
            boot=self._boot,
            seq=self._seq,
            sent=time.time(),
            epoch=self._pushed[0],
            generation=self._pushed[1],
            accounts=self._confirmed,
            failed=self._failed,
        )
        try:
            await self._control.publish(subjects.heartbeat(self._config.broker), encode(report))
        except HoldfastError as error:
            _log.debug("report not sent: %s", error.code)
