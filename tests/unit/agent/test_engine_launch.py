"""The launch as a value: every argument, every setting, every mount is pinned here."""

from __future__ import annotations

import json

import pytest
from holdfast_agent.engines.isolation import program_paths
from holdfast_agent.logic.launch import EngineHost, IsolationKind, LaunchRequest, plan
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import ENGINE_CONTEXT_MAX, ENGINE_PARALLEL_MAX, ENGINE_THREADS_MAX
from holdfast_protocol.messages import EngineSettings, Operation

GENERATE: tuple[Operation, ...] = ("chat", "complete")


def host(isolation: IsolationKind = "none", gpu_nodes: tuple[str, ...] = ()) -> EngineHost:
    return EngineHost(
        python="/opt/hf/bin/python",
        program_paths=("/opt/hf", "/srv/src"),
        isolation=isolation,
        gpu_nodes=gpu_nodes,
    )


def request(
    ops: tuple[Operation, ...] = GENERATE,
    settings: EngineSettings | None = None,
    run_dir: str = "/run/hf/e/1",
    gpu_uuids: tuple[str, ...] = (),
) -> LaunchRequest:
    return LaunchRequest(
        slot="chat-small-1",
        alias="chat-small",
        weights="/var/hf/blobs/w.gguf",
        run_dir=run_dir,
        operations=ops,
        settings=settings or EngineSettings(context_length=2048, parallel=4, threads=1),
        gpu_uuids=gpu_uuids,
    )


ENGINE = (
    "/opt/hf/bin/python", "-I", "-m", "holdfast_agent.engines.launcher_xllamacpp",
    "--spec", "/run/hf/e/1/engine.json",
)  # fmt: skip

ENVIRONMENT = (
    ("CUDA_CACHE_PATH", "/run/hf/e/1"),
    ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
    ("CUDA_VISIBLE_DEVICES", ""),
    ("DO_NOT_TRACK", "1"),
    ("GGML_NO_BACKTRACE", "1"),
    ("HF_DATASETS_OFFLINE", "1"),
    ("HF_HOME", "/run/hf/e/1"),
    ("HF_HUB_DISABLE_TELEMETRY", "1"),
    ("HF_HUB_OFFLINE", "1"),
    ("HOME", "/run/hf/e/1"),
    ("LANG", "C.UTF-8"),
    ("LLAMA_ARG_OFFLINE", "1"),
    ("NO_PROXY", "*"),
    ("OTEL_SDK_DISABLED", "true"),
    ("PATH", "/usr/bin:/bin"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("TMPDIR", "/run/hf/e/1"),
    ("TOKENIZERS_PARALLELISM", "false"),
    ("TRANSFORMERS_OFFLINE", "1"),
    ("VLLM_NO_USAGE_STATS", "1"),
    ("XDG_CACHE_HOME", "/run/hf/e/1"),
)


def test_golden_launch() -> None:
    spec = plan(request(), host())
    assert spec.argv == ENGINE
    assert spec.env == ENVIRONMENT
    assert (spec.socket, spec.config_path) == ("/run/hf/e/1/e.sock", "/run/hf/e/1/engine.json")
    assert json.loads(spec.config) == {
        "model": "/var/hf/blobs/w.gguf",
        "alias": "chat-small",
        "socket": "/run/hf/e/1/e.sock",
        "context_total": 8192,
        "parallel": 4,
        "threads": 1,
        "batch": 512,
        "embedding": False,
        "gpu_layers": 0,
        "cache_prompt": False,
    }
    assert (spec.capacity, spec.isolation) == (4, "none")


def test_golden_sandbox() -> None:
    spec = plan(request(gpu_uuids=("GPU-1",)), host("bwrap", ("/dev/nvidia0",)))
    settings = [part for name, value in spec.env for part in ("--setenv", name, value)]
    assert ("CUDA_VISIBLE_DEVICES", "GPU-1") in spec.env
    assert list(spec.argv) == [
        "bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL",
        "--uid", "65534", "--gid", "65534", "--clearenv", *settings,
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
        "--ro-bind-try", "/usr", "/usr", "--ro-bind-try", "/lib", "/lib",
        "--ro-bind-try", "/lib64", "/lib64",
        "--ro-bind", "/opt/hf", "/opt/hf", "--ro-bind", "/srv/src", "/srv/src",
        "--dev-bind", "/dev/nvidia0", "/dev/nvidia0",
        "--ro-bind", "/var/hf/blobs/w.gguf", "/var/hf/blobs/w.gguf",
        "--bind", "/run/hf/e/1", "/run/hf/e/1", "--chdir", "/run/hf/e/1", "--", *ENGINE,
    ]  # fmt: skip
    assert json.loads(spec.config)["gpu_layers"] == 999


def test_a_sandbox_without_a_gpu_sees_no_device_files() -> None:
    assert "/dev/nvidia0" not in plan(request(), host("bwrap", ("/dev/nvidia0",))).argv


def test_embedding_computes_a_whole_input_at_once() -> None:
    settings = EngineSettings(context_length=384, parallel=2, threads=1)
    config = json.loads(plan(request(("embed",), settings), host()).config)
    assert (config["embedding"], config["batch"], config["context_total"]) == (True, 384, 768)


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        (EngineSettings(context_length=ENGINE_CONTEXT_MAX), True),
        (EngineSettings(context_length=ENGINE_CONTEXT_MAX + 1), False),
        (EngineSettings(context_length=0), False),
        (EngineSettings(parallel=ENGINE_PARALLEL_MAX), True),
        (EngineSettings(parallel=ENGINE_PARALLEL_MAX + 1), False),
        (EngineSettings(parallel=0), False),
        (EngineSettings(threads=ENGINE_THREADS_MAX), True),
        (EngineSettings(threads=ENGINE_THREADS_MAX + 1), False),
    ],
)
def test_settings_have_bounds(settings: EngineSettings, fits: bool) -> None:
    if fits:
        plan(request(settings=settings), host())
        return
    with pytest.raises(HoldfastError) as caught:
        plan(request(settings=settings), host())
    assert caught.value.code is Code.CONFIG_INVALID


def test_a_sockets_path_has_a_bound() -> None:
    fits = "/" + "x" * (107 - len("/e.sock") - 1)
    assert len(plan(request(run_dir=fits), host()).socket) == 107
    with pytest.raises(HoldfastError) as caught:
        plan(request(run_dir=fits + "x"), host())
    assert caught.value.code is Code.CONFIG_INVALID


def test_an_engine_embeds_or_generates() -> None:
    with pytest.raises(HoldfastError) as caught:
        plan(request(("chat", "embed")), host())
    assert caught.value.code is Code.OPERATION_UNSUPPORTED


def test_program_paths_do_not_nest() -> None:
    paths = program_paths()
    assert not [(a, b) for a in paths for b in paths if a != b and a.startswith(b + "/")]
