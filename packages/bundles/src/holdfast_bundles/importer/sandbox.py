"""Running the gate shut in: no network, no files but its own code, bounded memory and time.

With bubblewrap the gate has its own namespaces and no rights; without it the limits of memory,
time and file size remain. Which of the two it was is part of the import's report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import GATE_WALL_S, MIB

from holdfast_bundles.importer.gate import GateAnswer
from holdfast_bundles.logic.gguf_header import GgufFacts

_MODULE: Final = "holdfast_bundles.importer.gate"
_PROBE_S: Final = 10.0


def isolation() -> str:
    """Return ``bwrap`` where bubblewrap works here, else ``limits``."""
    return "bwrap" if wrap() else "limits"


def judge(path: Path) -> GgufFacts:
    """Return the facts of the model file ``path`` as the gate read them.

    Raises ``FORMAT_REFUSED`` for a file that is refused or that made the gate fail.
    """
    command = [*wrap(), sys.executable, "-I", "-m", _MODULE]
    try:
        with path.open("rb") as file:
            done = subprocess.run(
                command,
                stdin=file,
                capture_output=True,
                timeout=GATE_WALL_S,
                check=False,
                env={},
                cwd="/",
            )
    except subprocess.TimeoutExpired as error:
        raise _refused("reading its header took too long") from error
    except OSError as error:
        raise HoldfastError(Code.IMPORT_FAILED, "The gate could not be started.") from error
    if done.returncode != 0 or len(done.stdout) > MIB:
        raise _refused("its header made the reader fail")
    answer = msgspec.json.decode(done.stdout, type=GateAnswer)
    if answer.facts is None:
        raise HoldfastError(Code.FORMAT_REFUSED, answer.error or "The model file is refused.")
    return answer.facts


@cache
def wrap() -> tuple[str, ...]:
    """Return the bubblewrap part of a command, empty where it does not work on this machine."""
    program = shutil.which("bwrap")
    if program is None:
        return ()
    command = (
        program,
        *("--unshare-all", "--die-with-parent", "--new-session", "--clearenv"),
        *("--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"),
        *_binds(),
        *("--proc", "/proc", "--dev", "/dev", "--chdir", "/"),
        "--",
    )
    try:
        probe = subprocess.run(
            [*command, sys.executable, "-I", "-c", "import holdfast_bundles.importer.gate"],
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
            env={},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if probe.returncode == 0 else ()


def _binds() -> list[str]:
    """Return read-only binds of the interpreter and of every folder it imports from."""
    arguments = ["--ro-bind", "/usr", "/usr"]
    for name in ("/lib", "/lib64", "/bin"):
        if os.path.islink(name):
            arguments += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            arguments += ["--ro-bind", name, name]
    wanted = [sys.prefix, sys.base_prefix, *sys.path]
    folders = sorted({os.path.realpath(item) for item in wanted if item and os.path.isdir(item)})
    for folder in folders:
        if folder != "/" and not folder.startswith(("/usr/", "/lib")):
            arguments += ["--ro-bind", folder, folder]
    if os.path.islink(sys.prefix) or os.path.realpath(sys.prefix) != sys.prefix:
        arguments += ["--ro-bind", os.path.realpath(sys.prefix), sys.prefix]
    return arguments


def _refused(why: str) -> HoldfastError:
    return HoldfastError(Code.FORMAT_REFUSED, f"The model file is not acceptable: {why}.")
