"""``holdfast-agent enroll --code FILE --dir DIR``: keys made here, a request, and the node's files.

It may be ended and begun again at any time; the keys in DIR are those that the code was used with.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from holdfast_protocol import codec
from holdfast_protocol.api import error_answer
from holdfast_protocol.enrolment import EnrolAnswer, NodeCode, read_code
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.identity import x509
from holdfast_protocol.identity.proof import prove
from holdfast_protocol.limits import CODE_BYTES, REQUEST_LIFE_S

from holdfast_agent.enrol import asking, folder, keys
from holdfast_agent.logic import inventory

_PRIVATE = 0o077


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """What ``enroll --json`` prints; the commands stand only once the node is ``ready``."""

    node: str
    state: str
    request: str
    fingerprint: str
    commands: tuple[str, ...] = ()


class Enrolling:
    """One run of the verb; what a person reads goes to stderr as it happens."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._code_file = Path(options.code)
        self._folder = folder.node_folder(Path(options.dir))
        self._devices: str = options.devices
        self._wait_s: float = options.wait
        self._said = ""

    async def run(self) -> Enrolled:
        """Return how far the node is; raises what refuses it."""
        inventory.parse(self._devices)
        if self._folder.complete:
            raise HoldfastError(
                Code.ALREADY_EXISTS, f"{self._folder.root} holds an enrolled node already."
            )
        code = checked(read_code(_read(self._code_file)))
        made = keys.make(self._folder.enrolment, code)
        self._say(f"fingerprint of {code.node}: {made.fingerprint}")
        identity = folder.write_bootstrap(self._folder, code)
        question = prove(code.secret, code.nonce, made.said)
        answer = await asking.ask(identity, code.nonce, question, self._wait_s, self._tell)
        if answer.credentials is not None:
            folder.complete(self._folder, code, made, answer.credentials, self._devices)
        return Enrolled(
            node=code.node,
            state=answer.state,
            request=answer.request,
            fingerprint=made.fingerprint,
            commands=self._folder.commands if answer.credentials is not None else (),
        )

    def _tell(self, answer: EnrolAnswer) -> None:
        text = f"{answer.request} is {answer.state}: {answer.approvals} of {answer.needed} officers"
        if text != self._said:
            self._said = text
            self._say(text)

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def checked(code: NodeCode) -> NodeCode:
    """Return ``code`` if its CA is the one whose fingerprint it names; else ``CODE_REFUSED``."""
    if x509.certificate_sha256(code.ca) != code.ca_sha256:
        raise HoldfastError(Code.CODE_REFUSED, "The code's CA is not the one that it names.")
    return code


def main(arguments: Sequence[str]) -> None:
    """Run ``enroll``; exit codes are those of the error table."""
    parser = argparse.ArgumentParser(prog="holdfast-agent enroll", description=__doc__)
    parser.add_argument("--code", required=True, help="the file that the officer handed over")
    parser.add_argument("--dir", required=True, help="the node's folder; made if it is not there")
    parser.add_argument("--devices", default="cpu", help="what to inventory, for example nvml")
    parser.add_argument(
        "--wait",
        type=float,
        default=float(REQUEST_LIFE_S),
        help="seconds to wait for officers; run again to go on",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    os.umask(_PRIVATE)
    try:
        done = asyncio.run(Enrolling(options).run())
    except HoldfastError as error:
        if options.json:
            print(codec.encode(error_answer(error)).decode())
        else:
            print(f"{error.code}: {error.message} {error.next}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(codec.encode(done).decode() if options.json else "\n".join(_lines(done)))


def _lines(done: Enrolled) -> list[str]:
    if not done.commands:
        return [f"{done.node} waits for officers: {done.request}. Run this again to go on."]
    return [f"{done.node} is certified. Run it with:", *done.commands]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(CODE_BYTES + 1)
    except OSError as error:
        raise HoldfastError(
            Code.BAD_REQUEST, f"{path} cannot be read: {error.strerror}."
        ) from error
