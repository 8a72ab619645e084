"""The only program that loads NVIDIA's library: it may hang or crash without harm to the agent.

Prints one sample a second, as a line of JSON. Ends when the library has gone bad, since it caches
its functions for ever: a fresh process is the recovery. Every query is guarded by itself, because
any of them may be unsupported on any GPU, and one lost GPU must not hide the others.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import pynvml

from holdfast_agent.devices.nvml_wire import GpuSample, NvmlSample
from holdfast_agent.logic.host_memory import meminfo
from holdfast_agent.orphan import die_with_parent

T = TypeVar("T")

_RARELY: Final = 60  # samples between two looks at what is slow to change
_EVENT_WAIT_MS: Final = 1000
_STDOUT: Final = 1
_RECOVERY_ACTION: Final = 230
_INTEGRATED: Final = re.compile(r"\b(GB10|Thor|Orin)\b")


class _GpuLostError(Exception):
    """A query found that its GPU has gone."""


class Xids:
    """Faults that the driver reports, by UUID, gathered by a thread of its own."""

    def __init__(self) -> None:
        self._seen: dict[str, list[int]] = defaultdict(list)
        self._lock = threading.Lock()

    def watch(self, handles: list[object]) -> None:
        """Start the thread; without support by the driver there are simply no faults."""
        events = pynvml.nvmlEventSetCreate()
        kinds = pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError
        for handle in handles:
            with contextlib.suppress(_GpuLostError):
                supported = _asked(pynvml.nvmlDeviceGetSupportedEventTypes, handle)
                wanted = kinds if supported is None else kinds & supported
                _asked(pynvml.nvmlDeviceRegisterEvents, handle, wanted, events)
        threading.Thread(target=self._wait, args=(events,), daemon=True).start()

    def take(self, uuid: str) -> tuple[int, ...]:
        """Return the faults of a GPU since the last call."""
        with self._lock:
            return tuple(self._seen.pop(uuid, ()))

    def _wait(self, events: object) -> None:
        while True:
            try:
                event = pynvml.nvmlEventSetWait_v2(events, _EVENT_WAIT_MS)
                uuid = _text(pynvml.nvmlDeviceGetUUID(event.device))
            except pynvml.NVMLError_Timeout:
                continue
            except pynvml.NVMLError:
                # The sampling loop meets the same fault and ends the process.
                return
            if event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                with self._lock:
                    self._seen[uuid].append(int(event.eventData))


class Sampler:
    """Reads all GPUs; remembers those it has seen, so that a lost one stays in the list."""

    def __init__(self) -> None:
        self._known: dict[str, GpuSample] = {}
        self._slow: dict[str, tuple[int | None, bool | None]] = {}
        self._round = 0
        self._xids = Xids()
        self._driver = _asked(pynvml.nvmlSystemGetDriverVersion)

    def start(self) -> None:
        """Watch for faults of the GPUs that are there now."""
        handles: list[object] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            with contextlib.suppress(_GpuLostError):
                handle = _asked(pynvml.nvmlDeviceGetHandleByIndex, index)
                handles += [] if handle is None else [handle]
        _guarded(lambda: self._xids.watch(handles))

    def sample(self) -> NvmlSample:
        """Return all GPUs as they are now; raises ``NVMLError`` where the library has gone bad."""
        found: dict[str, GpuSample] = {}
        unnamed = 0
        listed = pynvml.nvmlDeviceGetCount()
        for index in range(listed):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
            except pynvml.NVMLError_Uninitialized:
                raise
            except pynvml.NVMLError:
                unnamed += 1
                continue
            found[uuid] = self._gpu(uuid, index, handle)
        for uuid, last in self._known.items():
            if uuid not in found:
                found[uuid] = _lost(last, self._xids.take(uuid))
                unnamed -= 1
        for number in range(max(0, unnamed)):
            # Lost before it was ever seen: it has no identity, but must not be missing either.
            found[f"GPU-unidentified-{number}"] = GpuSample(
                uuid=f"GPU-unidentified-{number}", lost=True
            )
        self._known.update({k: v for k, v in found.items() if not v.lost})
        self._round += 1
        driver = None if self._driver is None else _text(self._driver)
        return NvmlSample(status="ok", driver=driver, gpus=tuple(found.values()))

    def _gpu(self, uuid: str, index: int, handle: object) -> GpuSample:
        xids = self._xids.take(uuid)
        try:
            return self._read(uuid, index, handle, xids)
        except _GpuLostError:
            return _lost(self._known.get(uuid, GpuSample(uuid=uuid, index=index)), xids)

    def _read(self, uuid: str, index: int, handle: object, xids: tuple[int, ...]) -> GpuSample:
        known = self._known.get(uuid)
        name = known.name if known else _text(_asked(pynvml.nvmlDeviceGetName, handle) or "GPU")
        total, used = _memory(handle)
        features = known.features if known else _features(handle)
        if total is None and _INTEGRATED.search(name):
            # These have no memory of their own and say so; the pool is the machine's.
            shared = meminfo(Path("/proc/meminfo").read_text(encoding="ascii", errors="replace"))
            total, used = (shared.total_bytes, shared.used_bytes) if shared else (None, None)
            features = (*features, "unified-memory") if known is None else features
        rates = _asked(pynvml.nvmlDeviceGetUtilizationRates, handle)
        if known is None or self._round % _RARELY == 0 or xids:
            self._slow[uuid] = (_recovery_action(handle), _rows_failed(handle))
        action, failed = self._slow[uuid]
        return GpuSample(
            uuid=uuid,
            name=name,
            index=index,
            memory_total_bytes=total,
            memory_used_bytes=used,
            utilization_percent=None if rates is None else int(rates.gpu),
            temperature_c=_temperature(handle),
            power_mw=_asked(pynvml.nvmlDeviceGetPowerUsage, handle),
            compute_capability=known.compute_capability if known else _capability(handle),
            features=features,
            recovery_action=action,
            rows_failed=failed,
            xids=xids,
        )


def _asked(call: Callable[..., T], *arguments: object) -> T | None:
    """Return what the driver answers, ``None`` where it does not support the question."""
    return _guarded(lambda: call(*arguments))


def _guarded(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except pynvml.NVMLError_GpuIsLost as error:
        raise _GpuLostError from error
    except (pynvml.NVMLError_Uninitialized, pynvml.NVMLError_DriverNotLoaded):
        raise
    except pynvml.NVMLError:
        return None


def _memory(handle: object) -> tuple[int | None, int | None]:
    # Version 2 tells what the driver keeps for itself, which is not free for anybody.
    newer = _guarded(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2))
    if newer is not None:
        return int(newer.total), int(newer.used) + int(newer.reserved)
    older = _asked(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return (None, None) if older is None else (int(older.total), int(older.used))


def _temperature(handle: object) -> int | None:
    sensor = pynvml.NVML_TEMPERATURE_GPU
    newer = _guarded(lambda: pynvml.nvmlDeviceGetTemperatureV(handle, sensor))
    return _asked(pynvml.nvmlDeviceGetTemperature, handle, sensor) if newer is None else newer


def _capability(handle: object) -> str | None:
    pair = _asked(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    return None if pair is None else f"{pair[0]}.{pair[1]}"


def _features(handle: object) -> tuple[str, ...]:
    found = []
    if (ecc := _asked(pynvml.nvmlDeviceGetEccMode, handle)) is not None and ecc[0]:
        found.append("ecc")
    if (mig := _asked(pynvml.nvmlDeviceGetMigMode, handle)) is not None and mig[0]:
        found.append("mig")
    return tuple(found)


def _recovery_action(handle: object) -> int | None:
    fields = _asked(pynvml.nvmlDeviceGetFieldValues, handle, [_RECOVERY_ACTION])
    if not fields or fields[0].nvmlReturn != pynvml.NVML_SUCCESS:
        return None
    return int(fields[0].value.uiVal)


def _rows_failed(handle: object) -> bool | None:
    rows = _asked(pynvml.nvmlDeviceGetRemappedRows, handle)
    return None if rows is None else bool(rows[3])


def _lost(last: GpuSample, xids: tuple[int, ...]) -> GpuSample:
    return GpuSample(
        uuid=last.uuid,
        name=last.name,
        index=last.index,
        memory_total_bytes=last.memory_total_bytes,
        compute_capability=last.compute_capability,
        features=last.features,
        lost=True,
        xids=xids,
    )


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _say(sample: NvmlSample) -> None:
    data = msgspec.json.encode(sample) + b"\n"
    while data:
        data = data[os.write(_STDOUT, data) :]


def main() -> None:
    """Print samples until the library fails, the agent goes, or a signal ends the process."""
    parser = argparse.ArgumentParser(prog="holdfast-nvml-helper")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--every", type=float, default=1.0)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    try:
        pynvml.nvmlInit()
        sampler = Sampler()
        sampler.start()
        while True:
            _say(sampler.sample())
            time.sleep(arguments.every)
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded) as error:
        _say(NvmlSample(status="absent", reason=str(error)))
    except pynvml.NVMLError as error:
        _say(NvmlSample(status="failed", reason=str(error)))


if __name__ == "__main__":
    main()
