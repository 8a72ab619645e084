"""The driver against the real engine: every trap it has shown is a test here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from holdfast_agent.engines.isolation import probe_host
from holdfast_agent.engines.local import EngineChunk, infer
from holdfast_agent.engines.probe_runner import run_probes
from holdfast_agent.engines.process import group_members
from holdfast_agent.engines.xllamacpp import RunningEngine, XllamacppDriver
from holdfast_agent.logic.estimate import header
from holdfast_agent.logic.launch import LaunchRequest
from holdfast_bundles.logic.gguf_header import parse
from holdfast_bundles.logic.probes import EmbeddingCosine, Exact, Probe, to_bytes
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import EngineSettings, Operation

from tests.contract.engine_models import tiny_bert, tiny_llama

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

Isolation = Literal["none", "bwrap"]
GENERATE: tuple[Operation, ...] = ("chat", "complete")
EMBED: tuple[Operation, ...] = ("embed",)
CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "temperature": 0}
ENDLESS = {
    "prompt": "the", "max_tokens": 100_000, "stream": True, "ignore_eos": True, "temperature": 1.5
}  # fmt: skip


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    """A folder with a short name: a socket's path is at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="hfe"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def llama(short: Path) -> Path:
    return tiny_llama(short / "a.gguf", seed=1)


@pytest.fixture(scope="module")
def bert(short: Path) -> Path:
    return tiny_bert(short / "b.gguf", seed=1)


@contextlib.asynccontextmanager
async def started(
    weights: Path, ops: tuple[Operation, ...], isolation: Isolation = "none", context: int = 512
) -> AsyncIterator[tuple[XllamacppDriver, RunningEngine]]:
    driver = XllamacppDriver(await probe_host(isolation))
    spec = driver.plan(
        LaunchRequest(
            slot="chat-small-1",
            alias="chat-small",
            weights=str(weights),
            run_dir=str(weights.parent / secrets.token_hex(4)),
            operations=ops,
            settings=EngineSettings(context_length=context, parallel=2, threads=1),
        )
    )
    engine = await driver.start(spec)
    try:
        yield driver, engine
    finally:
        await driver.stop(engine, 2.0)
    assert group_members(engine.pid) == ()
    assert not engine.socket.parent.exists()


async def ask(engine: RunningEngine, op: Operation, body: object) -> list[EngineChunk]:
    return [part async for part in infer(engine.socket, op, json.dumps(body).encode(), 10.0)]


async def refused(engine: RunningEngine, op: Operation, body: object) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        await ask(engine, op, body)
    return caught.value


@pytest.mark.parametrize("isolation", ["none", "bwrap"])
async def test_answers_whole_and_streamed(llama: Path, isolation: Isolation) -> None:
    async with started(llama, GENERATE, isolation) as (driver, engine):
        await driver.ready(engine, 20.0)
        (whole,) = await ask(engine, "chat", CHAT)
        answer = json.loads(whole.objects[0])
        assert whole.final
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 8
        assert answer["model"] == "chat-small"

        streamed = await ask(
            engine, "chat", CHAT | {"stream": True, "stream_options": {"include_usage": True}}
        )
        deltas = [json.loads(o) for part in streamed for o in part.objects]
        text = "".join(
            d["choices"][0]["delta"].get("content") or "" for d in deltas if d["choices"]
        )
        assert text == answer["choices"][0]["message"]["content"]
        assert [part.final for part in streamed] == [False] * (len(streamed) - 1) + [True]
        assert [part.usage for part in streamed if part.usage] == [whole.usage]

        (completed,) = await ask(engine, "complete", {"prompt": "the", "max_tokens": 3})
        assert json.loads(completed.objects[0])["choices"][0]["text"]
        assert stat.S_IMODE(engine.socket.stat().st_mode) & 0o077 == 0
        assert stat.S_IMODE(engine.socket.parent.stat().st_mode) == 0o700
        stats = await driver.stats(engine)
        assert (stats.running, stats.waiting) == (0, 0)
        assert (stats.memory_bytes or 0) > 10_000_000


async def test_embeds_and_refuses_what_the_model_cannot_do(bert: Path, llama: Path) -> None:
    async with started(bert, EMBED, context=128) as (driver, engine):
        await driver.ready(engine, 20.0)
        (part,) = await ask(engine, "embed", {"input": "hello"})
        assert len(json.loads(part.objects[0])["data"][0]["embedding"]) == 64
        assert part.usage is not None
        assert part.usage.prompt_tokens > 0
        assert (await refused(engine, "chat", CHAT)).code is Code.OPERATION_UNSUPPORTED
        too_long = await refused(engine, "embed", {"input": "a b c d " * 100})
        assert too_long.code is Code.TOO_LARGE
    async with started(llama, GENERATE) as (driver, engine):
        await driver.ready(engine, 20.0)
        wrong = await refused(engine, "embed", {"input": "hello"})
        assert wrong.code is Code.OPERATION_UNSUPPORTED
        for stream in (False, True):
            body = {"prompt": "hello " * 900, "stream": stream}
            error = await refused(engine, "complete", body)
            assert error.code is Code.TOO_LARGE
            assert "512" in error.message
        bad = await refused(engine, "chat", {"messages": 4})
        assert bad.code is Code.BAD_REQUEST


async def test_stop_right_after_ready_never_hangs(llama: Path) -> None:
    """The server's own shutdown hung in 5 of 30 such rounds."""
    for _ in range(20):
        async with started(llama, GENERATE) as (driver, engine):
            await asyncio.wait_for(engine.process.ready.wait(), 20.0)
            async with asyncio.timeout(1.5):
                await driver.stop(engine, 5.0)
            assert engine.process.returncode == -signal.SIGTERM


async def test_stop_while_streaming_is_quick(llama: Path) -> None:
    """The server's own shutdown waits thirty seconds for an open stream."""
    async with started(llama, GENERATE, context=60_000) as (driver, engine):
        await driver.ready(engine, 20.0)
        stream = infer(engine.socket, "complete", json.dumps(ENDLESS).encode(), 30.0)
        assert not (await anext(stream)).final
        async with asyncio.timeout(2.0):
            await driver.stop(engine, 5.0)
        assert engine.process.returncode == -signal.SIGTERM
        with pytest.raises(HoldfastError) as caught:
            async for _ in stream:
                pass
        assert caught.value.code is Code.ENGINE_FAILED


async def test_a_closed_stream_ends_in_the_engine(llama: Path) -> None:
    async with started(llama, GENERATE, context=60_000) as (driver, engine):
        await driver.ready(engine, 20.0)
        async with contextlib.aclosing(
            infer(engine.socket, "complete", json.dumps(ENDLESS).encode(), 30.0)
        ) as stream:
            await anext(stream)
            assert (await driver.stats(engine)).running == 1
            assert not await driver.drain(engine, 0.0)
        assert await driver.drain(engine, 10.0)


async def test_probes_gate_on_the_whole_answer(llama: Path, bert: Path) -> None:
    async with started(llama, GENERATE) as (driver, engine):
        await driver.ready(engine, 20.0)
        (whole,) = await ask(engine, "chat", CHAT | {"seed": 0})
        text = json.loads(whole.objects[0])["choices"][0]["message"]["content"]
        good = Probe(
            name="greeting", op="chat", input="hello",
            parameters={"max_tokens": 8}, expect=Exact(text=text),
        )  # fmt: skip
        assert await run_probes(engine.socket, to_bytes([good]), 10.0) == 1
        assert await run_probes(engine.socket, None, 10.0) == 0
        # Right at its beginning only: the whole answer is read and judged.
        other = msgspec.structs.replace(good, name="other", expect=Exact(text=text[:-1]))
        error = await probe_refused(engine, [good, other])
        assert (error.code, "other" in error.message) == (Code.PROBE_FAILED, True)
        wrong = Probe(
            name="wrong", op="embed", input="a", expect=EmbeddingCosine(vector=[1.0], min=0.5)
        )
        assert (await probe_refused(engine, [wrong])).code is Code.PROBE_FAILED
    async with started(bert, EMBED, context=128) as (driver, engine):
        await driver.ready(engine, 20.0)
        (part,) = await ask(engine, "embed", {"input": "hello"})
        vector = json.loads(part.objects[0])["data"][0]["embedding"]
        expect = EmbeddingCosine(vector=vector, min=0.999)
        good = Probe(name="same", op="embed", input="hello", expect=expect)
        assert await run_probes(engine.socket, to_bytes([good]), 10.0) == 1
        other = msgspec.structs.replace(good, input="that this was in the with by be")
        assert (await probe_refused(engine, [other])).code is Code.PROBE_FAILED


async def probe_refused(engine: RunningEngine, probes: list[Probe]) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        await run_probes(engine.socket, to_bytes(probes), 10.0)
    return caught.value


async def test_the_estimate_is_not_below_what_is_taken(llama: Path, bert: Path) -> None:
    for path, ops, context in ((llama, GENERATE, 4096), (bert, EMBED, 128)):
        async with started(path, ops, context=context) as (driver, engine):
            await driver.ready(engine, 20.0)
            taken = (await driver.stats(engine)).memory_bytes
            facts = parse(path.read_bytes(), path.stat().st_size)
            settings = EngineSettings(context_length=context, parallel=2, threads=1)
            assert taken is not None
            assert taken <= driver.estimate(header(facts), settings, gpu=False).total_bytes


async def test_coalescing_collects_tokens(llama: Path) -> None:
    async with started(llama, GENERATE) as (driver, engine):
        await driver.ready(engine, 20.0)
        body = json.dumps(CHAT | {"stream": True, "max_tokens": 64, "ignore_eos": True}).encode()
        parts = [p async for p in infer(engine.socket, "chat", body, 10.0, coalesce_s=0.1)]
        assert len(parts) <= 5
        assert parts[-1].final


def broken(folder: Path, model: Path) -> dict[str, Path]:
    whole = model.read_bytes()
    cases = {
        "half": whole[: len(whole) // 2],
        "last byte": whole[:-1],
        "empty": b"",
        "magic": b"GGUX" + whole[4:],
        "version": whole[:4] + b"\x63\0\0\0" + whole[8:],
        "tensors": whole[:8] + b"\xff" * 7 + b"\x3f" + whole[16:],
    }
    paths = {name: folder / f"broken-{number}.gguf" for number, name in enumerate(cases)}
    for name, path in paths.items():
        path.write_bytes(cases[name])
    return paths


async def test_a_broken_model_is_refused_in_the_engines_words(short: Path, llama: Path) -> None:
    for name, path in broken(short, llama).items():
        # The library's own thread writes the reason and, on a busy machine, rarely loses it.
        refused, lines = await refusal(path)
        for _ in range(2):
            if refused.code is not Code.FORMAT_REFUSED:
                refused, lines = await refusal(path)
        assert refused.code is Code.FORMAT_REFUSED, (name, refused.message)
        assert "could not load the model: " in refused.message, name
        assert lines, name


async def refusal(path: Path) -> tuple[HoldfastError, tuple[str, ...]]:
    async with started(path, GENERATE) as (driver, engine):
        with pytest.raises(HoldfastError) as caught:
            await driver.ready(engine, 20.0)
        return caught.value, driver.diagnose(engine).lines


async def test_a_killed_engine_is_noticed(llama: Path) -> None:
    async with started(llama, GENERATE) as (driver, engine):
        await driver.ready(engine, 20.0)
        os.kill(engine.pid, signal.SIGKILL)
        async with asyncio.timeout(5.0):
            await engine.wait_ended()
        assert not engine.alive
        assert driver.diagnose(engine).code is Code.ENGINE_FAILED
        assert (await refused(engine, "chat", CHAT)).code is Code.ENGINE_FAILED


async def test_its_words_after_ready_are_not_kept(llama: Path) -> None:
    """They may quote a request; nothing of a request may reach an event or a log."""
    async with started(llama, GENERATE) as (driver, engine):
        await driver.ready(engine, 20.0)
        error = await refused(engine, "chat", CHAT | {"grammar": "][ secret-word"})
        assert error.code is Code.BAD_REQUEST
        assert "secret-word" not in "".join(driver.diagnose(engine).lines)


def test_a_sandboxed_engine_has_no_network_and_cannot_write(llama: Path) -> None:
    host = asyncio.run(probe_host("bwrap"))
    assert host.isolation == "bwrap", "bubblewrap is needed for this test"
    driver = XllamacppDriver(host)
    run_dir = llama.parent / "probe"
    run_dir.mkdir()
    spec = driver.plan(
        LaunchRequest(
            slot="s-1", alias="s", weights=str(llama), run_dir=str(run_dir),
            operations=GENERATE, settings=EngineSettings(),
        )
    )  # fmt: skip
    shell = spec.argv[: spec.argv.index("--") + 1]
    program = (
        "import os, json, socket, pathlib\n"
        "def attempt(f):\n"
        "    try: f(); return 'done'\n"
        "    except OSError as error: return error.strerror\n"
        "print(json.dumps({\n"
        " 'links': sorted(os.listdir('/sys/class/net')) if os.path.exists('/sys') else\n"
        "   [line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line],\n"
        " 'connect': attempt(lambda: socket.create_connection(('192.0.2.1', 9), 2)),\n"
        f" 'weights': attempt(lambda: open({str(llama)!r}, 'ab')),\n"
        f" 'private': attempt(lambda: pathlib.Path({str(run_dir)!r}, 'x').touch()),\n"
        " 'etc': os.path.exists('/etc/passwd'),\n"
        " 'pids': [p for p in os.listdir('/proc') if p.isdigit()].__len__(),\n"
        " 'env': sorted(os.environ)}))\n"
    )
    out = subprocess.run(
        [*shell, host.python, "-I", "-c", program],
        capture_output=True, text=True, check=True, timeout=30, env={"SECRET": "x"},
    ).stdout  # fmt: skip
    seen = json.loads(out)
    assert seen["links"] == ["lo"]
    assert seen["connect"] == "Network is unreachable"
    assert seen["weights"] == "Read-only file system"
    assert seen["private"] == "done"
    assert not seen["etc"]
    assert seen["pids"] <= 3
    assert set(seen["env"]) - {name for name, _ in spec.env} <= {"PWD", "LC_CTYPE"}


@pytest.mark.parametrize("isolation", ["none", "bwrap"])
def test_an_engine_never_outlives_its_agent(llama: Path, isolation: Isolation) -> None:
    """A killed agent cannot clean up, and its successor must find the memory free."""
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.contract.test_engine_real import GENERATE, started\n"
        "async def main():\n"
        f"    weights, isolation = Path({str(llama)!r}), {isolation!r}\n"
        "    async with started(weights, GENERATE, isolation) as (driver, engine):\n"
        "        await driver.ready(engine, 20.0)\n"
        "        print(engine.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).resolve().parents[2]
    agent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True
    )
    with agent:
        assert agent.stdout is not None
        group = int(agent.stdout.readline())
        assert group_members(group)
        agent.kill()
    deadline = time.monotonic() + 10.0
    while group_members(group) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert group_members(group) == ()
