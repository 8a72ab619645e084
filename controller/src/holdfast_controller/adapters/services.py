"""The importer and the minter on their sockets, the policy checker in a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from holdfast_policy import checker
from holdfast_policy.logic.verdict import CheckAnswer, CheckRequest
from holdfast_protocol import codec, limits
from holdfast_protocol.errors import HoldfastError
from holdfast_protocol.importer import ImporterReply, ImporterRequest
from holdfast_protocol.local import call
from holdfast_protocol.minting import MintAnswer, MintAsked

_IMPORTER: msgspec.json.Decoder[ImporterReply] = msgspec.json.Decoder(ImporterReply)
_MINTER: msgspec.json.Decoder[MintAnswer] = msgspec.json.Decoder(MintAnswer)


class Services:
    """Clients of both; an answer that cannot be had or read is None, and is asked for again."""

    def __init__(self, importer: Path, minter: Path) -> None:
        self._importer = importer
        self._minter = minter

    async def importer(self, request: ImporterRequest) -> ImporterReply | None:
        """Return the importer's answer, None where there is none in time."""
        data = await _asked(self._importer, codec.encode(request), limits.IMPORTER_ANSWER_S)
        try:
            return None if data is None else _IMPORTER.decode(data)
        except msgspec.MsgspecError:
            return None

    async def minter(self, request: MintAsked) -> MintAnswer | None:
        """Return the minter's answer, None where there is none in time."""
        data = await _asked(self._minter, codec.encode(request), limits.MINTER_ANSWER_S)
        try:
            return None if data is None else _MINTER.decode(data)
        except msgspec.MsgspecError:
            return None

    async def checker(self, request: CheckRequest) -> CheckAnswer:
        """Return what the policy checker saw; what kept it from looking is a problem it names."""
        try:
            return await asyncio.to_thread(checker.ask, request)
        except HoldfastError as error:
            return CheckAnswer(problems=(error.message,))


async def _asked(path: Path, request: bytes, timeout_s: float) -> bytes | None:
    try:
        return await call(path, request, timeout_s)
    except HoldfastError:
        return None
