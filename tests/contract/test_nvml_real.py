"""The real pynvml in the real helper process, against a library of ours compiled from C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from holdfast_agent.devices.nvml import NvmlDevices, NvmlTiming
from holdfast_protocol.messages import Device

pytestmark = pytest.mark.real

SOURCE = Path(__file__).parent / "fakenvml" / "fakenvml.c"
GPU_0 = "GPU-00000000-0000-0000-0000-000000000000"
GPU_1 = "GPU-00000000-0000-0000-0000-000000000001"
# Thirty clean samples heal: long enough to be seen by a reader that was held up.
QUICK = NvmlTiming(every_s=0.05, silence_s=0.5, backoff_first_s=0.05, backoff_max_s=0.2)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library's folder; without a compiler the tests fail, they do not skip."""
    folder = tmp_path_factory.mktemp("nvml")
    out = folder / "libnvidia-ml.so.1"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wl,-soname,libnvidia-ml.so.1",
         "-o", str(out), str(SOURCE)],
        check=True, timeout=60,
    )  # fmt: skip
    return folder


class Driver:
    """The state of the fake driver, replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state"
        self.set()

    def set(self, *lines: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text("\n".join(("* count 2", *lines)) + "\n")
        fresh.replace(self.path)


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path)


@contextlib.asynccontextmanager
async def opened(library: Path | None, driver: Driver) -> AsyncIterator[NvmlDevices]:
    env = {"PATH": os.environ["PATH"], "FAKE_NVML_STATE": str(driver.path)}
    if library is not None:
        env["LD_LIBRARY_PATH"] = str(library)
    devices = NvmlDevices(QUICK, env)
    try:
        yield devices
    finally:
        await devices.close()


async def until(
    devices: NvmlDevices, wanted: Callable[[dict[str, Device]], bool]
) -> dict[str, Device]:
    """Return the devices by UUID once they are as wanted; fails after ten seconds."""
    seen: dict[str, Device] = {}
    async with asyncio.timeout(10.0):
        while True:
            seen = {device.uuid: device for device in await devices.read()}
            if wanted(seen):
                return seen
            await asyncio.sleep(0.02)


def healths(seen: dict[str, Device]) -> list[str]:
    return [device.health for device in seen.values()]


async def test_two_gpus_with_their_numbers(library: Path, driver: Driver) -> None:
    async with opened(library, driver) as devices:
        first, second = await devices.read()
    assert (first.uuid, second.uuid) == (GPU_0, GPU_1)
    assert first.kind == "gpu"
    assert first.name == "NVIDIA Fake H100"
    assert first.memory_total_bytes == 85520809984
    assert first.memory_used_bytes == 1073741824 + 536870912, "what the driver keeps is not free"
    assert (first.utilization_percent, first.temperature_c, first.power_mw) == (7, 41, 71000)
    assert (first.compute_capability, first.driver) == ("9.0", "580.00.01")
    assert first.features == ("ecc",)
    assert first.health == "ok"
    assert not first.simulated


async def test_what_is_not_supported_is_unknown_and_nothing_else_suffers(
    library: Path, driver: Driver
) -> None:
    driver.set("0 power -", "0 util -", "0 action -", "0 rows -")
    async with opened(library, driver) as devices:
        first, second = await devices.read()
    assert (first.power_mw, first.utilization_percent) == (None, None)
    assert first.temperature_c == 41
    assert first.health == "ok"
    assert second.power_mw == 71000


async def test_an_integrated_gpu_shares_the_machines_memory(library: Path, driver: Driver) -> None:
    driver.set("0 name NVIDIA GB10", "0 total -", "1 total -")
    async with opened(library, driver) as devices:
        first, second = await devices.read()
    assert first.memory_total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert first.memory_used_bytes is not None
    assert "unified-memory" in first.features
    assert first.health == "ok"
    assert (second.memory_used_bytes, second.health) == (None, "unknown"), "no size, no work"


async def test_one_lost_gpu_hides_no_other(library: Path, driver: Driver) -> None:
    async with opened(library, driver) as devices:
        await until(devices, lambda seen: healths(seen) == ["ok", "ok"])
        driver.set("0 lost 1", "1 used 5")
        seen = await until(devices, lambda seen: seen[GPU_0].health == "lost")
        assert seen[GPU_0].memory_used_bytes is None
        assert seen[GPU_0].memory_total_bytes == 85520809984
        seen = await until(devices, lambda seen: seen[GPU_1].memory_used_bytes == 536870917)
        assert seen[GPU_1].health == "ok"
        driver.set()
        seen = await until(devices, lambda seen: seen[GPU_0].health == "degraded")
        assert seen[GPU_0].memory_used_bytes is not None, "it answers, but is not trusted yet"
        await until(devices, lambda seen: seen[GPU_0].health == "ok")


async def test_a_gpu_lost_before_it_was_seen_is_not_missing(library: Path, driver: Driver) -> None:
    driver.set("0 lost 1")
    async with opened(library, driver) as devices:
        seen = await until(devices, lambda seen: len(seen) == 2)
        assert sorted(healths(seen)) == ["lost", "ok"]
        driver.set()
        seen = await until(devices, lambda seen: GPU_0 in seen)
        assert len(seen) == 2


async def test_faults_degrade_and_clean_samples_heal(library: Path, driver: Driver) -> None:
    async with opened(library, driver) as devices:
        await until(devices, lambda seen: healths(seen) == ["ok", "ok"])
        driver.set("1 xid 48 1")
        seen = await until(devices, lambda seen: seen[GPU_1].health == "degraded")
        assert seen[GPU_0].health == "ok"
        await until(devices, lambda seen: seen[GPU_1].health == "ok")
        driver.set("1 xid 79 2")
        await until(devices, lambda seen: seen[GPU_1].health == "lost")


async def test_no_library_is_no_device(driver: Driver) -> None:
    async with opened(None, driver) as devices:
        assert await devices.read() == []


async def test_no_driver_is_no_device(library: Path, driver: Driver) -> None:
    driver.set("* init 9")
    async with opened(library, driver) as devices:
        assert await devices.read() == []
        driver.set()
        await until(devices, lambda seen: healths(seen) == ["ok", "ok"])


@pytest.mark.parametrize("trouble", ["* hang 1", "* crash 1", "* init 999", "* fail 999"])
async def test_a_bad_driver_makes_gpus_unknown_until_it_is_back(
    library: Path, driver: Driver, trouble: str
) -> None:
    async with opened(library, driver) as devices:
        await until(devices, lambda seen: healths(seen) == ["ok", "ok"])
        driver.set(trouble)
        if trouble == "* init 999":
            driver.set(trouble, "* fail 999")  # so that the running helper ends
        seen = await until(devices, lambda seen: healths(seen) == ["unknown", "unknown"])
        assert {device.memory_used_bytes for device in seen.values()} == {None}
        assert {device.temperature_c for device in seen.values()} == {None}
        assert seen[GPU_0].memory_total_bytes == 85520809984
        await until(devices, lambda _: devices.starts >= 2)
        driver.set()
        await until(devices, lambda seen: healths(seen) == ["ok", "ok"])


async def test_a_hanging_driver_does_not_hold_up_the_agent(library: Path, driver: Driver) -> None:
    driver.set("* hang 1")
    async with opened(library, driver) as devices:
        assert await devices.read() == []
        started = time.monotonic()
        for _ in range(20):
            await devices.read()
        assert devices.starts == 1
        # Only a start waits for a sample; each of the twenty would have waited as long.
        assert time.monotonic() - started < 10 * QUICK.silence_s
