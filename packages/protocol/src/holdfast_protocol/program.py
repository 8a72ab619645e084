"""What every program of a site does alike: ends when asked and by defects, and says why in a line.

A defect in a handler of messages ends no task that anybody waits for; the loop only hears of it.
Going on would mean to be half alive, so the program ends in order with the code of a defect, and
whoever supervises it starts it again. The world's own failures (``OSError``, our errors) do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from holdfast_protocol.errors import Code, HoldfastError

T = TypeVar("T")
Serve = Callable[[asyncio.Event], Awaitable[None]]
"""Runs the program until the event is set."""
_PRIVATE = 0o077


class Stopped(Exception):  # noqa: N818  # what was asked for, not a fault
    """The program was asked to end while it still waited to begin."""


async def unless(done: asyncio.Event, begins: Coroutine[Any, Any, T]) -> T:
    """Return what ``begins`` returns; raises :class:`Stopped` once ``done`` is set before that.

    A program may wait an hour for its broker, and must end at once when asked all the same.
    """
    begun, ended = asyncio.ensure_future(begins), asyncio.ensure_future(done.wait())
    try:
        await asyncio.wait((begun, ended), return_when=asyncio.FIRST_COMPLETED)
        if begun.done():
            return begun.result()
        raise Stopped
    finally:
        for each in (begun, ended):
            each.cancel()
        await asyncio.gather(begun, ended, return_exceptions=True)


def run(serve: Serve, say: Callable[[str], None] | None = None) -> None:
    """Run ``serve`` to its end; exits with the table's code where it ends by an error of ours.

    ``say`` is told the one line for the log. Files that the program makes are its user's alone.
    """
    os.umask(_PRIVATE)
    try:
        asyncio.run(_watched(serve))
    except HoldfastError as error:
        _exit(error, say)
    except ExceptionGroup as group:
        if group.split(HoldfastError)[1] is not None:
            raise
        _exit(first(group), say)


async def _watched(serve: Serve) -> None:
    done, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    defects: list[str] = []

    def heard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, HoldfastError):
            # A line, not a traceback: it is the world's failure, though nobody waited for it.
            loop.default_exception_handler({"message": f"{context.get('message')} {error}"})
            return
        loop.default_exception_handler(context)
        if isinstance(error, Exception) and not isinstance(error, OSError | EOFError):
            defects.append(type(error).__name__)
            done.set()

    loop.set_exception_handler(heard)
    with contextlib.suppress(Stopped):
        await serve(done)
    if defects:
        raise HoldfastError(Code.DEFECT, f"A handler failed by a defect: {defects[0]}.")


def _exit(error: HoldfastError, say: Callable[[str], None] | None) -> None:
    line = f"{error.code}: {error.message} {error.next}"
    if say is None:
        sys.stderr.write(f"{line}\n")
    else:
        say(line)
    raise SystemExit(error.exit_code) from None


def first(group: BaseExceptionGroup[Any]) -> HoldfastError:
    """Return the first error of a group that holds errors of ours alone."""
    found = group.exceptions[0]
    if isinstance(found, BaseExceptionGroup):
        return first(found)
    assert isinstance(found, HoldfastError)
    return found
