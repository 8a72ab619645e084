"""How engines are confined on this machine: tried once at the agent's start, then reported."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Final

from holdfast_agent.logic.launch import EngineHost, IsolationKind

_PROBE_S: Final = 10.0
_PROBE: Final = (
    "bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL",
    "--uid", "65534", "--gid", "65534", "--clearenv", "--proc", "/proc", "--dev", "/dev",
    "--ro-bind", "/usr", "/usr", "--ro-bind-try", "/lib", "/lib", "--ro-bind-try", "/lib64",
    "/lib64", "--", "/usr/bin/true",
)  # fmt: skip


async def probe_host(wanted: IsolationKind = "bwrap") -> EngineHost:
    """Return this machine as engines see it, with the isolation that was found to work.

    ``wanted="none"`` does not try. Whether a site starts engines without isolation is the
    caller's decision; the kind found is in the answer and in every report.
    """
    works = wanted == "bwrap" and await _bwrap_works()
    return EngineHost(
        python=sys.executable,
        program_paths=program_paths(),
        isolation="bwrap" if works else "none",
        gpu_nodes=_gpu_nodes(),
    )


def program_paths() -> tuple[str, ...]:
    """Return the folders that the interpreter and our packages need, none within another.

    The system's own folders (``/usr``, ``/lib``) are shown to every sandbox anyway.
    """
    package = Path(__file__).resolve().parents[2]
    found = {
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(sys.executable).resolve().parent,
        Path(sysconfig.get_path("platlib")),
        package,
    }
    outermost: list[Path] = []
    for path in sorted(found):
        if not any(path.is_relative_to(other) for other in (Path("/usr"), *outermost)):
            outermost.append(path)
    return tuple(str(path) for path in outermost)


async def _bwrap_works() -> bool:
    if shutil.which("bwrap") is None:
        return False
    process = await asyncio.create_subprocess_exec(
        *_PROBE,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_PROBE_S):
            return await process.wait() == 0
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _gpu_nodes() -> tuple[str, ...]:
    return tuple(str(path) for path in sorted(Path("/dev").glob("nvidia*")) if not path.is_dir())
