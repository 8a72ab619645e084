"""``python -m holdfast_policy.checker``: one look at a bundle in a process that may die of it.

Cedar's parser is native code, and a text is nobody's yet when it is checked. The process has
little memory, few seconds and writes no file; whatever becomes of it is an answer.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Final

from holdfast_protocol.codec import decode, encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import (
    POLICY_CHECK_BYTES,
    POLICY_CHECK_CPU_S,
    POLICY_CHECK_MEMORY_BYTES,
    POLICY_CHECK_S,
)

from holdfast_policy.logic.verdict import CheckAnswer, CheckRequest

_MODULE: Final = "holdfast_policy.checker"


def ask(request: CheckRequest) -> CheckAnswer:
    """Return the checker's answer; a checker that died or hung is a problem of the candidate.

    Blocks for at most ``POLICY_CHECK_S``. Raises ``TOO_LARGE`` for a request beyond the cap and
    ``STORE_FAILED`` where no process could be started.
    """
    data = encode(request)
    if len(data) > POLICY_CHECK_BYTES:
        raise HoldfastError(Code.TOO_LARGE, "There is more to decide than one look can take.")
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", _MODULE],
            input=data,
            capture_output=True,
            timeout=POLICY_CHECK_S,
            check=False,
            env={},
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return _failed("checking it took too long")
    except OSError as error:
        raise HoldfastError(
            Code.STORE_FAILED, f"The policy checker cannot be started: {error.strerror}."
        ) from error
    if done.returncode != 0 or len(done.stdout) > POLICY_CHECK_BYTES:
        return _failed("reading it made the checker fail")
    return decode(done.stdout, CheckAnswer)


def main() -> None:
    """Read a request from standard input and write the answer to standard output."""
    _shut_in()
    # Imported here: the limits must stand before the native library is there.
    from holdfast_policy.checking import check

    request = decode(sys.stdin.buffer.read(POLICY_CHECK_BYTES + 1), CheckRequest)
    try:
        answer = check(request)
    except HoldfastError as error:
        answer = CheckAnswer(problems=(error.message,))
    sys.stdout.buffer.write(encode(answer))


def _shut_in() -> None:
    for what, most in (
        (resource.RLIMIT_AS, POLICY_CHECK_MEMORY_BYTES),
        (resource.RLIMIT_CPU, POLICY_CHECK_CPU_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _failed(why: str) -> CheckAnswer:
    return CheckAnswer(problems=(f"The policy is refused: {why}.",))


if __name__ == "__main__":
    main()
