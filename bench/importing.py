"""An import with verification beside ``cp`` and fsync of the same bytes, in one run on one disk.

``python bench/importing.py [--json] [--mib N] [--rounds N] [--cold] [--dir D]``; about 30 seconds
and three times ``N`` MiB of disk, given back afterwards. A signed stick is built in a temporary
folder; then, in turns, ``cp -r`` with fsync of each file copies the stick's bundle, and a running
``holdfast-importer`` imports it: signatures, copy, hash, sync, and the gate of the model's header.
Both read the stick from the page cache, unless ``--cold`` drops it before each turn. An import
hashes on one core while it copies on another: where others use a core (the last column), it waits
for its turn and the ratio tends to that of the processor times.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the stick is made as in the tests

import msgspec  # noqa: E402 - after the path
from holdfast_bundles.importer.config import ImporterConfig  # noqa: E402
from holdfast_bundles.logic.names import Release  # noqa: E402
from holdfast_bundles.vendor import keys, sign  # noqa: E402
from holdfast_bundles.vendor.build import Source, build  # noqa: E402
from holdfast_protocol.codec import encode  # noqa: E402
from holdfast_protocol.errors import HoldfastError  # noqa: E402
from holdfast_protocol.importer import (  # noqa: E402
    Discard,
    ImporterReply,
    ImporterRequest,
    Importing,
    ImportState,
    ImportStatus,
    StartImport,
)
from holdfast_protocol.limits import MIB  # noqa: E402
from holdfast_protocol.local import call  # noqa: E402

from bench.rig.run import Machine, cpu_s, emit, machine, machine_busy_s, median_ratio, say  # noqa: E402
from tests.unit.bundles.gguf_bytes import File, Tensor  # noqa: E402
from tests.unit.bundles.gguf_bytes import build as gguf_head  # noqa: E402

TARGET = 1.15
WAIT_S = 120.0
ASK_EVERY_S = 0.02
VENDOR = "acme"
ROW_BYTES = 256


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run, by round in order; ``others_cores`` is what anybody else used meanwhile."""

    machine: Machine
    mib: int
    cache: str
    copy_s: list[float]
    import_s: list[float]
    copy_cpu_s: list[float]
    import_cpu_s: list[float]
    others_cores: list[float]
    ratio: float
    ratio_max: float = TARGET


def make_stick(folder: Path, mib: int) -> Path:
    """Return a signed stick below ``folder`` with one model of ``mib`` MiB; keys lie beside it."""
    model = folder / "model"
    model.mkdir()
    rows = mib * MIB // ROW_BYTES
    head = gguf_head(File(tensors=(Tensor("token_embd.weight", (64, rows), 0, size=0),)))
    block = bytearray(os.urandom(MIB))
    with (model / "model.gguf").open("wb") as file:
        file.write(head)
        for number in range(mib):
            block[:8] = number.to_bytes(8, "big")  # no two blocks alike, whatever the disk does
            file.write(block)
    keys.create(folder / "keys", VENDOR, datetime.now(UTC))
    stick = folder / "stick"
    build(Source(model, Release(f"{VENDOR}/big", "1.0"), "MIT"), stick)
    sign.sign(stick, folder / "keys", datetime.now(UTC))
    shutil.rmtree(model)
    return stick


def copy_s(stick: Path, target: Path) -> float:
    """Return the seconds of ``cp -r`` and an fsync of every file and folder."""
    began = time.perf_counter()
    subprocess.run(["cp", "-r", str(stick), str(target)], check=True)
    for path in [*target.rglob("*"), target]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.perf_counter() - began


class Program:
    """A running importer and its store."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.pid = pid
        self._socket = folder / "importer.sock"

    async def ask(self, request: ImporterRequest) -> Importing:
        """Return the state that the importer answers."""
        data = await call(self._socket, encode(request), WAIT_S)
        reply: ImporterReply = msgspec.json.decode(data, type=ImporterReply)
        assert isinstance(reply, Importing), reply
        return reply

    async def ready(self) -> None:
        """Return once the importer answers."""
        async with asyncio.timeout(WAIT_S):
            while True:
                with contextlib.suppress(HoldfastError):
                    await call(self._socket, b"{}", 1.0)
                    return
                await asyncio.sleep(ASK_EVERY_S)

    async def import_s(self, request: StartImport) -> float:
        """Return the seconds from the request until the model waits for its officers."""
        began = time.perf_counter()
        await self.ask(request)
        async with asyncio.timeout(WAIT_S):
            while True:
                state = await self.ask(ImportStatus(import_id=request.import_id))
                if state.state is ImportState.QUARANTINED:
                    return time.perf_counter() - began
                assert state.error is None, state.error
                await asyncio.sleep(ASK_EVERY_S)


@contextlib.asynccontextmanager
async def importer(folder: Path) -> AsyncIterator[Program]:
    """Run ``holdfast-importer`` with its store in ``folder``."""
    config = ImporterConfig(
        socket=str(folder / "importer.sock"),
        store_dir=str(folder / "store"),
        media_roots=[str(folder)],
        reserve_bytes=64 * MIB,
    )
    (folder / "importer.json").write_bytes(encode(config))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "holdfast_bundles.importer.main", "--config", str(folder / "importer.json")),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        program = Program(folder, process.pid)
        await program.ready()
        yield program
    finally:
        process.terminate()
        await process.wait()


def settle(stick: Path, *, cold: bool) -> None:
    """Let the disk finish what came before; have the stick in the page cache, or not."""
    os.sync()
    for path in (path for path in stick.rglob("*") if path.is_file()):
        with path.open("rb", buffering=0) as file:
            if cold:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while not cold and file.read(4 * MIB):
                pass


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One copy and one import."""

    copy_s: float
    copy_cpu_s: float
    import_s: float
    import_cpu_s: float
    others_cores: float


async def one_turn(folder: Path, program: Program, request: StartImport, *, cold: bool) -> Turn:
    """Copy and import once, and remove both."""
    stick = Path(request.path)
    settle(stick, cold=cold)
    before = cpu_s(os.getpid())
    copied = copy_s(stick, folder / "copy")
    copy_cpu = cpu_s(os.getpid()) - before
    shutil.rmtree(folder / "copy")
    settle(stick, cold=cold)
    own, theirs, busy = cpu_s(os.getpid()), cpu_s(program.pid), machine_busy_s()
    imported = await program.import_s(request)
    spent = cpu_s(program.pid) - theirs
    others = machine_busy_s() - busy - spent - (cpu_s(os.getpid()) - own)
    await program.ask(Discard(import_id=request.import_id))
    return Turn(
        copy_s=round(copied, 3),
        copy_cpu_s=round(copy_cpu, 2),
        import_s=round(imported, 3),
        import_cpu_s=round(spent, 2),
        others_cores=round(max(0.0, others) / imported, 2),
    )


async def measure(folder: Path, mib: int, rounds: int, *, cold: bool) -> Result:
    """Import and copy in turns; the first turn of both is thrown away."""
    here = machine()
    stick = make_stick(folder, mib)
    roots = {VENDOR: (folder / "keys" / "root.json").read_bytes()}
    turns: list[Turn] = []
    async with importer(folder) as program:
        for number in range(rounds + 1):
            request = StartImport(import_id=f"i-{number}", path=str(stick), vendor_roots=roots)
            turns.append(await one_turn(folder, program, request, cold=cold))
    kept = turns[1:]
    copies, imports = [turn.copy_s for turn in kept], [turn.import_s for turn in kept]
    return Result(
        machine=here,
        mib=mib,
        cache="cold" if cold else "warm",
        copy_s=copies,
        import_s=imports,
        copy_cpu_s=[turn.copy_cpu_s for turn in kept],
        import_cpu_s=[turn.import_cpu_s for turn in kept],
        others_cores=[turn.others_cores for turn in kept],
        ratio=round(median_ratio(imports, copies), 3),
    )


def table(result: Result) -> str:
    """Return the run as a table."""
    lines = [
        f"{result.mib} MiB, stick {result.cache} in the page cache, load "
        f"{result.machine.load_before} on {result.machine.cores} cores",
        f"{'round':<7}{'cp+fsync s':>12}{'import s':>10}{'ratio':>7}"
        f"{'cp CPU s':>10}{'import CPU s':>14}{'others, cores':>15}",
    ]
    columns = (
        result.copy_s, result.import_s, result.copy_cpu_s, result.import_cpu_s, result.others_cores
    )  # fmt: skip
    for number, (copied, imported, copy_cpu, cpu, others) in enumerate(
        zip(*columns, strict=True), 1
    ):
        lines.append(
            f"{number:<7}{copied:>12.2f}{imported:>10.2f}{imported / copied:>7.2f}"
            f"{copy_cpu:>10.2f}{cpu:>14.2f}{others:>15.2f}"
        )
    rate = result.mib / statistics.median(result.import_s)
    lines.append(
        f"median ratio {result.ratio:.2f} (reach {result.ratio_max}); {rate:,.0f} MiB/s imported"
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--mib", type=int, default=1024, help="size of the model")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--cold", action="store_true", help="drop the stick's pages first")
    parser.add_argument("--dir", type=Path, help="on which disk (default: the temporary folder)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir, prefix="hf-") as folder:
        result = asyncio.run(measure(Path(folder), given.mib, given.rounds, cold=given.cold))
    say(table(result))
    emit(result, as_json=given.json)


if __name__ == "__main__":
    main()
