"""What to inventory, the host's memory, and a GPU's health: tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast_agent.devices.cpu import CpuDevice
from holdfast_agent.devices.port import DeviceProvider, FakeDevices
from holdfast_agent.devices.simulated import SimulatedDevices
from holdfast_agent.logic.gpu_health import CLEAN_SAMPLES, GpuHealth, GpuSigns, judge
from holdfast_agent.logic.host_memory import HostMemory, busy_ticks, meminfo, within
from holdfast_agent.logic.inventory import CpuDevices, NvmlGpus, SimulatedGpus, parse
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import GIB, SIMULATED_GPUS_MAX


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("cpu", (CpuDevices(),)),
        ("sim2x24", (SimulatedGpus(count=2, memory_bytes=24 * GIB),)),
        ("nvml", (NvmlGpus(), CpuDevices())),
        ("nvml+cpu", (NvmlGpus(), CpuDevices())),
        ("cpu+nvml", (CpuDevices(), NvmlGpus())),
        ("sim1x80+cpu", (SimulatedGpus(count=1, memory_bytes=80 * GIB), CpuDevices())),
        (
            f"sim{SIMULATED_GPUS_MAX}x1",
            (SimulatedGpus(count=SIMULATED_GPUS_MAX, memory_bytes=GIB),),
        ),
    ],
)
def test_sources(text: str, sources: tuple[object, ...]) -> None:
    assert parse(text) == sources


@pytest.mark.parametrize(
    "text",
    ["", "gpu", "sim", "sim0x24", "sim2x0", f"sim{SIMULATED_GPUS_MAX + 1}x1", "sim2x24x1", "cpu+",
     "cpu+cpu", "sim1x1+sim2x2", "CPU", " cpu", "sim2x24\n"],
)  # fmt: skip
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        parse(text)
    assert caught.value.code is Code.CONFIG_INVALID


class Claims:
    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}

    def claimed_bytes(self, uuid: str) -> int:
        return self.bytes.get(uuid, 0)


async def test_simulated_gpus_show_what_slots_claimed() -> None:
    claims = Claims()
    source = SimulatedGpus(count=2, memory_bytes=24 * GIB)
    devices = SimulatedDevices("de-1", source, claims)
    claims.bytes["GPU-sim-de-1-1"] = 5 * GIB
    first, second = await devices.read()
    assert (first.uuid, first.memory_used_bytes) == ("GPU-sim-de-1-0", 0)
    assert (second.uuid, second.memory_used_bytes) == ("GPU-sim-de-1-1", 5 * GIB)
    assert first.simulated
    assert second.simulated
    assert first.memory_total_bytes == 24 * GIB
    assert first.temperature_c is None


async def test_the_processor_of_this_machine() -> None:
    (cpu,) = await CpuDevice("de-1").read()
    assert (cpu.uuid, cpu.kind, cpu.simulated) == ("cpu-de-1", "cpu", False)
    assert cpu.health == "ok"
    assert cpu.memory_used_bytes is not None
    assert 0 < cpu.memory_used_bytes < cpu.memory_total_bytes


@pytest.mark.parametrize("kind", ["cpu", "simulated", "fake"])
async def test_every_provider_keeps_the_contract(kind: str) -> None:
    """Identity is stable and unique, sizes are positive, and closing twice is allowed."""
    made: dict[str, DeviceProvider] = {
        "cpu": CpuDevice("n"),
        "simulated": SimulatedDevices("n", SimulatedGpus(count=3, memory_bytes=GIB), Claims()),
        "fake": FakeDevices(await CpuDevice("n").read()),
    }
    provider = made[kind]
    first, second = await provider.read(), await provider.read()
    assert [device.uuid for device in first] == [device.uuid for device in second]
    assert len({device.uuid for device in first}) == len(first)
    assert all(device.memory_total_bytes > 0 for device in first)
    await provider.close()
    await provider.close()


async def test_a_silent_kernel_makes_the_processor_unknown_not_zero(tmp_path: Path) -> None:
    (cpu,) = await CpuDevice("n", tmp_path).read()
    assert cpu.health == "unknown"
    assert cpu.memory_used_bytes is None
    assert cpu.utilization_percent is None


async def test_a_control_group_narrows_the_processors_memory(tmp_path: Path) -> None:
    for name, text in {
        "proc/meminfo": "MemTotal: 8000 kB\nMemAvailable: 6000 kB\n",
        "proc/stat": "cpu 10 0 10 80 0 0 0 0 0 0\n",
        "sys/fs/cgroup/memory.max": "4096000\n",
        "sys/fs/cgroup/memory.current": "2000000\n",
        "sys/fs/cgroup/memory.stat": "anon 5\ninactive_file 500000\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    provider = CpuDevice("n", tmp_path)
    (tmp_path / "proc/stat").write_text("cpu 40 0 10 100 50 0 0 0 0 0\n")
    (cpu,) = await provider.read()
    assert (cpu.memory_total_bytes, cpu.memory_used_bytes) == (4096000, 1500000)
    assert cpu.utilization_percent == 30


def test_host_memory() -> None:
    host = meminfo("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n")
    assert host == HostMemory(total_bytes=1024000, used_bytes=614400)
    assert meminfo("MemTotal: 1000 kB\n") is None
    assert meminfo("") is None
    assert host is not None
    assert within(host, "max\n", "5\n", None) == host
    assert within(host, "9223372036854771712", "5", None) == host, "cgroup 1 without a limit"
    assert within(host, None, None, None) == host
    assert busy_ticks("cpu  1 2\n") is None
    assert busy_ticks("intr 1 2 3 4 5 6\n") is None


GOOD = GpuSigns()


@pytest.mark.parametrize(
    ("signs", "health"),
    [
        (GOOD, "ok"),
        (GpuSigns(recovery_action=0, rows_failed=False), "ok"),
        (GpuSigns(xids=(13, 31, 43, 45, 68, 109)), "ok"),
        (GpuSigns(xids=(13, 63)), "degraded"),
        (GpuSigns(xids=(48,)), "degraded"),
        (GpuSigns(xids=(79,)), "lost"),
        (GpuSigns(rows_failed=True), "degraded"),
        (GpuSigns(recovery_action=1), "degraded"),
        (GpuSigns(lost=True), "lost"),
    ],
)
def test_one_sample_judges_a_good_gpu(signs: GpuSigns, health: str) -> None:
    assert judge(GpuHealth(), signs).health == health


@pytest.mark.parametrize("bad", [GpuSigns(lost=True), GpuSigns(xids=(48,))])
def test_the_way_back_takes_clean_samples_in_a_row(bad: GpuSigns) -> None:
    state = judge(GpuHealth(), bad)
    for _ in range(CLEAN_SAMPLES - 1):
        state = judge(state, GOOD)
        assert state.health == "degraded"
    flapping = judge(state, bad)
    assert judge(flapping, GOOD).health == "degraded"
    assert judge(state, GOOD).health == "ok"
