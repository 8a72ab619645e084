"""How programs end: when asked, by their own errors in one line, and by defects nobody awaited."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

from holdfast_protocol.errors import Code, HoldfastError

HEAD = """
import asyncio, random
from holdfast_protocol import program
from holdfast_protocol.bus.memory import MemoryBroker, MemoryBus
from holdfast_protocol.errors import Code, HoldfastError

def bus():
    return MemoryBus(MemoryBroker(random.Random(1)), "x")
"""


def started(body: str, folder: Path) -> subprocess.Popen[str]:
    source = f"{HEAD}\nasync def serve(done):\n{body}\nprogram.run(serve)\n"
    return subprocess.Popen(
        [sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def ended(body: str, folder: Path) -> tuple[int, str]:
    process = started(body, folder)
    _, err = process.communicate(timeout=20)
    return process.returncode, err


def test_a_defect_in_a_handler_ends_the_program(tmp_path: Path) -> None:
    code, err = ended(
        """
    one = bus()
    async def handler(message):
        raise ZeroDivisionError("seven")
    await one.subscribe("a", handler)
    await one.publish("a", b"")
    await done.wait()
    print("in order", flush=True)
""",
        tmp_path,
    )
    assert code == HoldfastError(Code.DEFECT, "").exit_code
    assert "ZeroDivisionError" in err


def test_the_worlds_failures_in_a_handler_do_not(tmp_path: Path) -> None:
    code, err = ended(
        """
    one = bus()
    async def ours(message):
        raise HoldfastError(Code.BROKER_DOWN, "It is away.")
    async def systems(message):
        raise ConnectionResetError("peer")
    for subject, handler in (("a", ours), ("b", systems)):
        await one.subscribe(subject, handler)
        await one.publish(subject, b"")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not done.is_set()
""",
        tmp_path,
    )
    assert code == 0
    assert "It is away." in err


def test_errors_of_ours_are_one_line_even_from_within_groups(tmp_path: Path) -> None:
    code, err = ended(
        """
    async def fails():
        raise HoldfastError(Code.STORE_FAILED, "The disk is gone.")
    async with asyncio.TaskGroup() as group:
        group.create_task(fails())
""",
        tmp_path,
    )
    assert code == HoldfastError(Code.STORE_FAILED, "").exit_code
    assert err.startswith("STORE_FAILED: The disk is gone.")
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_a_program_that_waits_for_its_broker_still_ends_when_asked(tmp_path: Path) -> None:
    process = started(
        """
    print("waits", flush=True)
    await program.unless(done, asyncio.sleep(3600))
    raise AssertionError
""",
        tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_what_a_program_writes_is_its_users_alone(tmp_path: Path) -> None:
    code, _ = ended(
        """
    import pathlib
    pathlib.Path("folder").mkdir()
    pathlib.Path("folder/file").write_text("x")
""",
        tmp_path,
    )
    assert code == 0
    for path in (tmp_path / "folder", tmp_path / "folder" / "file"):
        assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0
