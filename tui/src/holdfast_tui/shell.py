"""The outermost layer of the command: whatever happens below becomes a line and an exit code."""

from __future__ import annotations

import datetime
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import typer
from holdfast_protocol.errors import Code, HoldfastError

from holdfast_tui import failing
from holdfast_tui.invocation import Connect, Invocation
from holdfast_tui.root import tree
from holdfast_tui.site import cache_folder

NAME = "holdfast"
INTERRUPTED = 130


def run(arguments: Sequence[str], connect: Connect) -> int:
    """Return the exit code of one command line; nothing is raised but ``SystemExit``'s kin."""
    one = Invocation(connect=connect)
    try:
        return _run(arguments, one)
    except HoldfastError as error:
        return failing.tell(error, as_json=_json(arguments, one))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough; the interpreter must not complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        where = _report(error, one)
        defect = HoldfastError(
            Code.DEFECT, f"{type(error).__name__} stopped the command; details are in {where}."
        )
        return failing.tell(defect, as_json=_json(arguments, one))


def _run(arguments: Sequence[str], one: Invocation) -> int:
    command = tree()
    try:
        code = command.main(args=list(arguments), prog_name=NAME, standalone_mode=False, obj=one)
    except typer.TyperException as error:
        path = getattr(getattr(error, "ctx", None), "command_path", NAME)
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.message)
            return error.exit_code
        return failing.tell_usage(error.format_message(), path, as_json=_json(arguments, one))
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _json(arguments: Sequence[str], one: Invocation) -> bool:
    """Tell whether JSON was asked for, even where the line was not read to its end."""
    given = list(arguments)
    before = given[: given.index("--")] if "--" in given else given
    return one.as_json or "--json" in before


def _report(error: Exception, one: Invocation) -> str:
    """Write the traceback where only this user reads it; return the file's name."""
    root = one.site.root
    folder = root / "cache" if root.is_dir() else cache_folder()
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    for candidate in (folder, Path(tempfile.gettempdir())):
        try:
            candidate.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                prefix=f"holdfast-defect-{stamp}-", suffix=".txt", dir=candidate
            )
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                traceback.print_exception(error, file=file)
        except OSError:
            continue
        return name
    return "no file, for none could be written"
