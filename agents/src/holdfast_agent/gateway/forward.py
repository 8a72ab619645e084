"""Requests handed to other nodes: the ticket, the acknowledgement, and the watch afterwards.

The executing node answers the caller itself. Nobody else would notice its death, so this gateway
asks once a second what became of what it forwarded, and ends the answer where nobody knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast_policy import tickets
from holdfast_policy.tickets import RunTicket
from holdfast_protocol import subjects
from holdfast_protocol.bus.port import Core, NoRespondersError
from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import FORWARD_ACK_S, TICKET_LIFE_S
from holdfast_protocol.messages import RouteTarget

from holdfast_agent.gateway.pairs import Pairs
from holdfast_agent.gateway.request import Request
from holdfast_agent.gateway.tally import Tally
from holdfast_agent.logic.gateway import headers
from holdfast_agent.logic.gateway.decide import Legal
from holdfast_agent.logic.gateway.dedupe import RequestKey, State
from holdfast_agent.logic.gateway.peers import Ack, Peers

PROBE_EVERY_S: Final = 1.0
PROBE_ANSWER_S: Final = 0.7
PROBE_MISSES_MAX: Final = 2
PROBE_BATCH: Final = 500


@dataclass
class _Forwarded:
    key: RequestKey
    reply: str
    target: RouteTarget
    deadline: float
    misses: int = 0


class Forwarder:
    """Forwards, and watches what it forwarded."""

    def __init__(self, bus: Core, pairs: Pairs, peers: Peers, tally: Tally) -> None:
        self._bus = bus
        self._pairs = pairs
        self._peers = peers
        self._tally = tally
        self._watched: dict[RequestKey, _Forwarded] = {}

    def watches(self, key: RequestKey) -> bool:
        """Tell whether a peer answers this request for us."""
        return key in self._watched

    async def forward(self, request: Request, target: RouteTarget, legal: Legal) -> bool:
        """Return whether ``target`` took the request; False means nothing runs there.

        Silence is ambiguous, so the same node is asked once more: it knows the request again if it
        has it. Silent twice, it is told to cancel before anybody else is asked.
        """
        for _ in range(2):
            ack = await self._ask(request, target, legal)
            if ack is None:
                continue
            self._peers.heard(target, ack, asyncio.get_running_loop().time())
            if ack.answer == "accepted":
                self._watched[request.key] = _Forwarded(
                    request.key, request.reply, target, request.deadline
                )
            return ack.answer == "accepted"
        await self._relay_cancel(request.key, target)
        return False

    async def cancel(self, key: RequestKey) -> bool:
        """Relay a cancel to the node that runs the request; tells whether one does."""
        forwarded = self._watched.get(key)
        if forwarded is None:
            return False
        await self._relay_cancel(key, forwarded.target)
        return True

    async def watch(self) -> None:
        """Ask the peers what became of what they took; for ever."""
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            nodes: dict[tuple[str, str], list[_Forwarded]] = {}
            for entry in self._watched.values():
                nodes.setdefault((entry.target.zone, entry.target.node), []).append(entry)
            async with asyncio.TaskGroup() as group:
                for (zone, node), entries in nodes.items():
                    group.create_task(self._probe(zone, node, entries[:PROBE_BATCH]))

    async def _ask(self, request: Request, target: RouteTarget, legal: Legal) -> Ack | None:
        """Return the peer's word, None for silence; nobody there counts as ``moved``."""
        loop_left_s = request.deadline - asyncio.get_running_loop().time()
        now_s = time.time()
        ticket = RunTicket(
            app=request.asked.app,
            zone=request.asked.zone,
            alias=request.asked.alias,
            op=request.asked.op,
            request=request.key.request,
            origin=self._pairs.node,
            target=target.node,
            slot=target.slot,
            epoch=legal.route.epoch,
            expires_ms=int((now_s + TICKET_LIFE_S) * 1000),
            deadline_ms=int((now_s + loop_left_s) * 1000),
            stream=request.stream,
            narrowing=request.asked.narrowing,
            label_digest=legal.label_digest,
            nonce=secrets.token_hex(8),
        )
        try:
            key = self._pairs.sending(target.node)
            data, mac = tickets.seal(ticket, key, request.body, request.reply)
            answer = await self._bus.request(
                subjects.run(target.zone, target.node),
                request.body,
                {
                    headers.TICKET: data.decode(),
                    headers.MAC: mac,
                    headers.REPLY: request.reply,
                },
                timeout_s=min(FORWARD_ACK_S, max(0.01, loop_left_s)),
            )
            return decode(answer.body, Ack)
        except NoRespondersError:
            return Ack(answer="moved")
        except HoldfastError as error:
            return None if error.code is Code.DEADLINE else Ack(answer="refused")

    async def _relay_cancel(self, key: RequestKey, target: RouteTarget) -> None:
        with contextlib.suppress(HoldfastError):
            # Best effort: its deadline ends the work there in any case.
            body = encode(key)
            mac = tickets.mac(self._pairs.sending(target.node), b"cancel", body)
            await self._bus.publish(
                subjects.cancel_relay(target.zone, target.node),
                body,
                {headers.MAC: mac, headers.TICKET: self._pairs.node},
            )

    async def _probe(self, zone: str, node: str, entries: list[_Forwarded]) -> None:
        try:
            answer = await self._bus.request(
                subjects.run(zone, node),
                encode([entry.key for entry in entries]),
                {headers.PROBE: "1"},
                timeout_s=PROBE_ANSWER_S,
            )
            states: list[State] = decode(answer.body, list[State])
        except NoRespondersError:
            await self._end(entries)
            return
        except HoldfastError:
            states = []
        if len(states) != len(entries):
            await self._missed(entries)
            return
        for entry, state in zip(entries, states, strict=True):
            entry.misses = 0
            if state == "done":
                self._watched.pop(entry.key, None)
        await self._end(e for e, state in zip(entries, states, strict=True) if state == "unknown")

    async def _missed(self, entries: list[_Forwarded]) -> None:
        for entry in entries:
            entry.misses += 1
        await self._end(entry for entry in entries if entry.misses >= PROBE_MISSES_MAX)

    async def _end(self, entries: Iterable[_Forwarded]) -> None:
        """Tell the callers that nobody answers them any more."""
        for entry in list(entries):
            if self._watched.pop(entry.key, None) is None:
                continue
            self._tally.failed += 1
            error = HoldfastError(Code.NODE_DIED, f"{entry.target.node} is gone.")
            told, body = headers.failed(error)
            with contextlib.suppress(HoldfastError):
                # Without the bus nobody can be told; the caller's own deadline ends it.
                await self._bus.publish(entry.reply, body, told)
