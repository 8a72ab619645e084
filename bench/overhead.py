"""What the path of an inference costs beside the engine's own HTTP, in one run.

``python bench/overhead.py [--json] [--requests N]``; about 30 seconds. A whole realm runs: a broker
with mutual TLS, gateways as processes, a null engine as a process. Requests go one at a time and in
turn by three ways: HTTP on the engine's socket, over NATS to a gateway that runs them itself, and
over NATS to one that forwards them. For tokens, streams of 200 a second are read both ways, and the
CPU of every process is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the realm is the contract tests' own

import msgspec  # noqa: E402 - after the path
from holdfast_agent.engines.local import infer  # noqa: E402
from holdfast_agent.gateway.main import assemble  # noqa: E402
from holdfast_protocol import configs  # noqa: E402
from holdfast_protocol.bus import nats_bus  # noqa: E402
from holdfast_protocol.configs import GatewayConfig  # noqa: E402
from holdfast_protocol.errors import Code, HoldfastError  # noqa: E402

from tests.contract.gateway_realm import chat, running  # noqa: E402

WARM_UP = 50
READY_S = 20.0
SETTLE_S = 0.5  # a flip reaches the gateways
STREAMS = 20
TOKENS = 300
ROUNDS = 3
TOKENS_PER_S = 200
STREAM_BODY = json.dumps({"messages": [{"role": "user", "content": "x"}], "stream": True}).encode()
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ANSWER = json.dumps({"choices": [{"message": {"content": "ok"}}]}).encode()

Ask = Callable[[], Awaitable[object]]


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """A way's latency, and what it adds to direct HTTP; milliseconds."""

    p50_ms: float
    p99_ms: float
    added_p50_ms: float
    added_p99_ms: float
    ratio_p50: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    requests: int
    direct: Latency
    local: Latency
    forwarded: Latency
    direct_cpu_us_per_token: float
    path_cpu_us_per_token: float
    added_cpu_us_per_token: float
    messages_per_token: float


# ---------------------------------------------------------------- the null engine, a process


async def serve_engine(path: str) -> None:
    """Answer at once, or stream ``TOKENS`` at ``TOKENS_PER_S``."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        with contextlib.suppress(ConnectionError):
            if b'"stream":true' in body.replace(b" ", b""):
                await stream(writer)
            else:
                size = f"Content-Length: {len(ANSWER)}\r\n\r\n".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + size)
                writer.write(ANSWER)
                await writer.drain()
        writer.close()

    async def stream(writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        event = b'data: {"choices":[{"delta":{"content":"token "}}]}\n\n'
        began = asyncio.get_running_loop().time()
        for number in range(TOKENS):
            due = began + number / TOKENS_PER_S
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()

    server = await asyncio.start_unix_server(converse, path)
    async with server:
        await server.serve_forever()


async def serve_executing(config_file: str) -> None:
    """Be a gateway that only serves what others forward to it."""
    config = configs.load(config_file, GatewayConfig)
    async with await nats_bus.connect(Path(config.credentials), name=config.node) as bus:
        service, world, knowledge = assemble(config, bus)
        await knowledge.read_trust()
        knowledge.read_file()
        await service.open(["de"])
        await service.leave_entry()
        print(
            f"The gateway of {world.node} serves forwarded requests.", file=sys.stderr, flush=True
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(knowledge.follow_agent())
            group.create_task(service.work())


@contextlib.asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[int]:
    """Run this script in another mode; yields its process id."""
    child = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments)
    try:
        yield child.pid
    finally:
        child.kill()
        await child.wait()


async def until_answered(ask: Ask) -> None:
    """Return once everybody on the way is ready."""
    async with asyncio.timeout(READY_S):
        while True:
            with contextlib.suppress(HoldfastError):
                await ask()
                return
            await asyncio.sleep(0.05)


# ---------------------------------------------------------------- latency


async def latencies(ways: dict[str, Ask], requests: int) -> dict[str, list[float]]:
    """Ask by every way in turn; returns seconds by way."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(requests + WARM_UP):
        for name, ask in ways.items():
            began = time.perf_counter()
            await ask()
            if number >= WARM_UP:
                taken[name].append(time.perf_counter() - began)
    return taken


def latency(taken: list[float], direct: list[float]) -> Latency:
    """Return points of one way beside the direct one."""
    own, base = statistics.quantiles(taken, n=100), statistics.quantiles(direct, n=100)
    return Latency(
        p50_ms=own[49] * 1000,
        p99_ms=own[98] * 1000,
        added_p50_ms=(own[49] - base[49]) * 1000,
        added_p99_ms=(own[98] - base[98]) * 1000,
        ratio_p50=own[49] / base[49],
    )


async def direct_http(path: Path, body: bytes) -> None:
    """Read a whole answer from the engine's socket."""
    async with contextlib.aclosing(infer(path, "chat", body, 30.0)) as chunks:
        async for _ in chunks:
            pass


# ---------------------------------------------------------------- tokens


def cpu_s(pids: list[int]) -> float:
    """Return user and system time of processes."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_S


async def tokens(pids: list[int], read: Callable[[], Awaitable[int]]) -> tuple[float, int]:
    """Return CPU microseconds per token of ``STREAMS`` streams at once, and messages read."""
    before = cpu_s(pids)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_counted(read)) for _ in range(STREAMS)]
    spent = cpu_s(pids) - before
    return spent / (STREAMS * TOKENS) * 1e6, sum(task.result() for task in tasks)


async def _counted(read: Callable[[], Awaitable[int]]) -> int:
    return await read()


# ---------------------------------------------------------------- the run


async def measure(requests: int) -> Result:
    """Run the realm and measure; the entry gateway is ``de-1``, ``de-2`` only executes."""
    async with running("de-1", "de-2", capacity=64, programs=("de-1",)) as realm:
        one, two = realm.nodes["de-1"], realm.nodes["de-2"]
        async with (
            process("--engine", str(one.engine)) as engine,
            process("--engine", str(two.engine)),
            process("--executing", str(two.folder / "gateway.config")),
            await realm.application("triage") as app,
        ):

            async def over_nats() -> None:
                answer = await app.request("infer.chat.chat", chat(), None, 10.0)
                if answer.headers["Hf-Status"] != "200":
                    raise HoldfastError(Code.NOT_LOADED, answer.headers["Hf-Code"])

            async def over_http() -> None:
                await direct_http(one.engine, chat())

            async def nats_stream() -> int:
                return await _read_stream(app)

            async def http_stream() -> int:
                await direct_http(one.engine, STREAM_BODY)
                return 0

            await realm.push("de-1")
            await until_answered(over_http)
            await until_answered(over_nats)
            first = await latencies({"direct": over_http, "local": over_nats}, requests)
            gateway, broker = one.process, realm.broker.process
            assert gateway is not None
            assert broker is not None
            pids = [os.getpid(), engine, gateway.pid, broker.pid]
            rounds = [
                (await tokens(pids, http_stream), await tokens(pids, nats_stream))
                for _ in range(ROUNDS)
            ]
            await realm.push("de-2")
            await asyncio.sleep(SETTLE_S)
            await until_answered(over_nats)
            second = await latencies({"direct": over_http, "forwarded": over_nats}, requests)
    direct_us = statistics.mean(direct for (direct, _), _ in rounds)
    path_us = statistics.mean(path for _, (path, _) in rounds)
    messages = sum(count for _, (_, count) in rounds)
    return Result(
        requests=requests,
        direct=latency(first["direct"], first["direct"]),
        local=latency(first["local"], first["direct"]),
        forwarded=latency(second["forwarded"], second["direct"]),
        direct_cpu_us_per_token=direct_us,
        path_cpu_us_per_token=path_us,
        added_cpu_us_per_token=path_us - direct_us,
        messages_per_token=messages / (STREAMS * TOKENS * ROUNDS),
    )


async def _read_stream(app: nats_bus.NatsBus) -> int:
    count = 0
    wanted = {"Hf-Accept": "stream"}
    answers = app.request_many("infer.chat.chat", chat(), wanted, 30.0)
    async with contextlib.aclosing(answers):
        async for message in answers:
            count += 1
            if "Hf-Status" in message.headers:
                assert message.headers["Hf-Status"] == "200", message.headers
                break
    return count


def table(result: Result) -> str:
    """Return the run as a table."""
    lines = [f"{'way':<12}{'p50 ms':>9}{'p99 ms':>9}{'+p50':>8}{'+p99':>8}{'x p50':>8}"]
    for name in ("direct", "local", "forwarded"):
        way: Latency = getattr(result, name)
        lines.append(
            f"{name:<12}{way.p50_ms:>9.3f}{way.p99_ms:>9.3f}{way.added_p50_ms:>8.3f}"
            f"{way.added_p99_ms:>8.3f}{way.ratio_p50:>8.1f}"
        )
    lines.append(
        f"CPU a token at {TOKENS_PER_S}/s: {result.direct_cpu_us_per_token:.1f} us direct, "
        f"{result.path_cpu_us_per_token:.1f} us over the path, "
        f"{result.added_cpu_us_per_token:+.1f} us added; "
        f"{result.messages_per_token:.2f} messages a token"
    )
    return "\n".join(lines)


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object on the last line")
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--executing", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine:
        asyncio.run(serve_engine(given.engine))
    elif given.executing:
        asyncio.run(serve_executing(given.executing))
    else:
        result = asyncio.run(asyncio.wait_for(measure(given.requests), 90))
        print(table(result))
        if given.json:
            print(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
