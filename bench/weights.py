"""Weights to a node beside four plain TLS range requests, in one run against one range server.

``python bench/weights.py [--json] [--mib N] [--rounds N]``; about 30 seconds. A ``holdfast-range``
with mutual TLS serves one blob on loopback. In turns, each client in a process of its own:
``plain`` receives four ranges at once and writes them, nothing else; ``agent`` is the node's client
with every chunk proven, synced and the whole named; then two agents at once, as two nodes would.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # certificates are made as in the tests

import msgspec  # noqa: E402 - after the path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402
from holdfast_bundles.logic.chunks import ChunkIndex  # noqa: E402
from holdfast_bundles.range.config import RangeConfig  # noqa: E402
from holdfast_bundles.store import Store  # noqa: E402
from holdfast_protocol.codec import encode  # noqa: E402
from holdfast_protocol.limits import CHUNK_BYTES, MIB  # noqa: E402
from holdfast_protocol.signed import TICKET_CONTEXT, FetchTicket, sign, to_header  # noqa: E402

from bench.rig.fetching import Fetched, Job  # noqa: E402
from bench.rig.run import Machine, cpu_s, emit, machine, median_ratio, say  # noqa: E402
from tests.integration.bundles.certificates import Authority  # noqa: E402

TARGET = 0.8
WAIT_S = 60.0
FETCHING = ROOT / "bench" / "rig" / "fetching.py"
WAYS = {"plain": ("plain",), "agent": ("agent",), "two agents": ("agent", "agent")}


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way of fetching: seconds by round, and medians of the rates and of processor time."""

    seconds: list[float]
    mib_per_s: float
    client_cpu_s_per_gib: float
    server_cpu_s_per_gib: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run; ``ratio`` is the agent's rate over the plain one's, ``two_over_one`` of times."""

    machine: Machine
    mib: int
    ways: dict[str, Way]
    ratio: float
    two_over_one: float
    ratio_min: float = TARGET


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One way once; processor times of all clients and of the server."""

    seconds: float
    client_cpu_s: float
    server_cpu_s: float


class Site:
    """A store with one blob, an authority, and a controller's key that signs tickets."""

    def __init__(self, folder: Path, mib: int) -> None:
        self._folder = folder
        self._authority = Authority(folder / "tls")
        self._server = self._authority.issue("server")
        self._client = self._authority.node("de-1")
        self._key = Ed25519PrivateKey.generate()
        self._size = mib * MIB
        self._chunks, self._digest = self._fill(mib)
        ticket = FetchTicket(
            node="de-1",
            manifest_digest=self._digest,
            digests=[self._digest],
            not_after=int(time.time()) + 3600,
        )
        self._ticket = to_header(sign(encode(ticket), self._key, TICKET_CONTEXT))

    def _fill(self, mib: int) -> tuple[ChunkIndex, str]:
        whole, chunk, found = hashlib.sha256(), hashlib.sha256(), []
        path = self._folder / "blob"
        block = bytearray(os.urandom(MIB))
        with path.open("wb") as file:
            for number in range(1, mib + 1):
                block[:8] = number.to_bytes(8, "big")
                file.write(block)
                whole.update(block)
                chunk.update(block)
                if number * MIB % CHUNK_BYTES == 0 or number == mib:
                    found.append(chunk.hexdigest())
                    chunk = hashlib.sha256()
        digest = f"sha256:{whole.hexdigest()}"
        target = Store(self._folder / "store").path(digest)
        target.parent.mkdir(parents=True)
        path.replace(target)
        return ChunkIndex(size=CHUNK_BYTES, sha256=found), digest

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[str, int]]:
        """Run ``holdfast-range``; yields its address and process id."""
        port_file = self._folder / "port"
        config = RangeConfig(
            listen_host="127.0.0.1",
            port=0,
            port_file=str(port_file),
            store_dir=str(self._folder / "store"),
            cert=self._server.cert,
            key=self._server.key,
            ca=self._authority.ca,
            controller_key_hex=self._key.public_key().public_bytes_raw().hex(),
        )
        (self._folder / "range.json").write_bytes(encode(config))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "holdfast_bundles.range.main", "--config", str(self._folder / "range.json")),
        )
        try:
            async with asyncio.timeout(WAIT_S):
                while not port_file.exists():
                    assert process.returncode is None
                    await asyncio.sleep(0.02)
            yield f"https://127.0.0.1:{int(port_file.read_text())}", process.pid
        finally:
            process.terminate()
            await process.wait()

    def job(self, how: str, url: str, number: int) -> Path:
        """Write what client ``number`` is to do; returns the file."""
        job = Job(
            how=how,
            url=url,
            ticket=self._ticket,
            certificate=self._client.cert,
            key=self._client.key,
            ca=self._authority.ca,
            digest=self._digest,
            size_bytes=self._size,
            chunks=self._chunks,
            dest=str(self._folder / f"dest-{number}"),
        )
        path = self._folder / f"job-{number}.json"
        path.write_bytes(encode(job))
        return path

    def forget(self, number: int) -> None:
        """Remove what client ``number`` fetched."""
        (self._folder / f"dest-{number}").unlink()


async def start(path: Path) -> asyncio.subprocess.Process:
    """Return a client that waits for its signal."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(FETCHING), str(path), stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def once(site: Site, way: str, url: str, server: int) -> Round:
    """Fetch by one way and remove what came."""
    names = WAYS[way]
    clients = [await start(site.job(how, url, at)) for at, how in enumerate(names)]
    before = cpu_s(server)
    async with asyncio.timeout(WAIT_S):
        answers = await asyncio.gather(*(client.communicate(b"go\n") for client in clients))
    spent = cpu_s(server) - before
    done = [msgspec.json.decode(out, type=Fetched) for out, _ in answers]
    for at in range(len(names)):
        site.forget(at)
    return Round(
        seconds=max(one.seconds for one in done),
        client_cpu_s=sum(one.cpu_s for one in done),
        server_cpu_s=spent,
    )


def summary(name: str, rounds: list[Round], mib: int) -> Way:
    """Return the medians of one way; rates and processor times are those of all its bytes."""
    total = mib * len(WAYS[name])
    seconds = [round(one.seconds, 3) for one in rounds]
    client = statistics.median(one.client_cpu_s for one in rounds)
    server = statistics.median(one.server_cpu_s for one in rounds)
    return Way(
        seconds=seconds,
        mib_per_s=round(total / statistics.median(seconds), 1),
        client_cpu_s_per_gib=round(client * 1024 / total, 2),
        server_cpu_s_per_gib=round(server * 1024 / total, 2),
    )


async def measure(folder: Path, mib: int, rounds: int) -> Result:
    """Fetch by every way in turn; the first turn is thrown away."""
    here = machine()
    site = Site(folder, mib)
    taken: dict[str, list[Round]] = {name: [] for name in WAYS}
    async with site.serving() as (url, server):
        for number in range(rounds + 1):
            for name in WAYS:
                os.sync()
                one = await once(site, name, url, server)
                if number:
                    taken[name].append(one)
    ways = {name: summary(name, found, mib) for name, found in taken.items()}
    plain, agent = ways["plain"].seconds, ways["agent"].seconds
    return Result(
        machine=here,
        mib=mib,
        ways=ways,
        ratio=round(median_ratio(plain, agent), 3),
        two_over_one=round(median_ratio(ways["two agents"].seconds, agent), 3),
    )


def table(result: Result) -> str:
    """Return the run as a table."""
    lines = [
        f"{result.mib} MiB over TLS 1.3 on loopback, load {result.machine.load_before} on "
        f"{result.machine.cores} cores",
        f"{'way':<12}{'median s':>10}{'MiB/s':>8}{'client CPU s/GiB':>18}{'server CPU s/GiB':>18}",
    ]
    for name, way in result.ways.items():
        lines.append(
            f"{name:<12}{statistics.median(way.seconds):>10.2f}{way.mib_per_s:>8.0f}"
            f"{way.client_cpu_s_per_gib:>18.2f}{way.server_cpu_s_per_gib:>18.2f}"
        )
    lines.append(
        f"agent at {result.ratio:.2f} of plain (reach {result.ratio_min}); two agents take "
        f"{result.two_over_one:.2f} x the time of one"
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--mib", type=int, default=384, help="size of the blob")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        result = asyncio.run(measure(Path(folder), given.mib, given.rounds))
    say(table(result))
    emit(result, as_json=given.json)


if __name__ == "__main__":
    main()
