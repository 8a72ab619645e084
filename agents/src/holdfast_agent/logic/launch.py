"""How an engine is started, as a value: argument list, environment, settings, mounts.

Pure, so that a golden test pins every argument. Nothing is started, read or looked up here; the
weights named here have been verified by the agent before.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from holdfast_protocol import codec
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import (
    ENGINE_CONTEXT_MAX,
    ENGINE_PARALLEL_MAX,
    ENGINE_THREADS_MAX,
    SOCKET_PATH_BYTES,
)
from holdfast_protocol.messages import EngineSettings, Operation

IsolationKind = Literal["none", "bwrap"]

LAUNCHER: Final = "holdfast_agent.engines.launcher_xllamacpp"
CONFIG_NAME: Final = "engine.json"
SOCKET_NAME: Final = "e.sock"
_NOBODY: Final = "65534"
_EMBED_BATCH_MAX: Final = 2048

# A courtesy to libraries that would look for a network: the network namespace is the guarantee.
_AIR_GAP: Final = (
    ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
    ("DO_NOT_TRACK", "1"),
    ("GGML_NO_BACKTRACE", "1"),  # else an abort starts a debugger
    ("HF_DATASETS_OFFLINE", "1"),
    ("HF_HUB_DISABLE_TELEMETRY", "1"),
    ("HF_HUB_OFFLINE", "1"),
    ("LANG", "C.UTF-8"),
    ("LLAMA_ARG_OFFLINE", "1"),
    ("NO_PROXY", "*"),
    ("OTEL_SDK_DISABLED", "true"),
    ("PATH", "/usr/bin:/bin"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("TOKENIZERS_PARALLELISM", "false"),
    ("TRANSFORMERS_OFFLINE", "1"),
    ("VLLM_NO_USAGE_STATS", "1"),
)
_PRIVATE_FOLDERS: Final = ("CUDA_CACHE_PATH", "HF_HOME", "HOME", "TMPDIR", "XDG_CACHE_HOME")


class EngineHost(msgspec.Struct, frozen=True, kw_only=True):
    """What a launch needs to know of the machine; probed once at the agent's start.

    ``program_paths`` are the folders that hold the interpreter and its libraries, ``gpu_nodes``
    the device files of the driver; both are what a sandbox must show, all absolute.
    """

    python: str
    program_paths: tuple[str, ...]
    isolation: IsolationKind
    gpu_nodes: tuple[str, ...] = ()


class LaunchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One replica to start: verified weights, a private folder, settings and devices."""

    slot: str
    alias: str
    """What answers name as their model; applications see it."""
    weights: str
    """Absolute path of the verified GGUF file."""
    run_dir: str
    """Absolute, private (0700) and short: the socket lies in it."""
    operations: tuple[Operation, ...]
    settings: EngineSettings
    gpu_uuids: tuple[str, ...] = ()
    """Real GPUs to show to the engine; empty for the CPU and for simulated GPUs."""


class LauncherConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher program reads from its file; JSON."""

    model: str
    alias: str
    socket: str
    context_total: int
    """Tokens over all parallel requests: llama.cpp divides it by ``parallel``."""
    parallel: int
    threads: int
    batch: int
    """Tokens in one computation; an embedding's whole input must fit."""
    embedding: bool
    gpu_layers: int
    cache_prompt: bool


class LaunchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A launch, complete: what is executed and what is written beforehand."""

    slot: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    """The whole environment of the engine; nothing is inherited."""
    run_dir: str
    socket: str
    config_path: str
    config: bytes
    operations: tuple[Operation, ...]
    capacity: int
    isolation: IsolationKind


def plan(request: LaunchRequest, host: EngineHost) -> LaunchSpec:
    """Return the launch of ``request`` on ``host``.

    Raises ``CONFIG_INVALID`` where settings are outside their bounds or the socket's path is too
    long for a socket, ``OPERATION_UNSUPPORTED`` where embedding is mixed with generation.
    """
    _check(request)
    socket = f"{request.run_dir}/{SOCKET_NAME}"
    config_path = f"{request.run_dir}/{CONFIG_NAME}"
    engine = (host.python, "-I", "-m", LAUNCHER, "--spec", config_path)
    env = environment(request)
    return LaunchSpec(
        slot=request.slot,
        argv=sandboxed(engine, request, host, env) if host.isolation == "bwrap" else engine,
        env=env,
        run_dir=request.run_dir,
        socket=socket,
        config_path=config_path,
        config=codec.encode(_config(request, socket)),
        operations=request.operations,
        capacity=request.settings.parallel,
        isolation=host.isolation,
    )


def environment(request: LaunchRequest) -> tuple[tuple[str, str], ...]:
    """Return the engine's whole environment, sorted: an allow-list, nothing inherited."""
    private = tuple((name, request.run_dir) for name in _PRIVATE_FOLDERS)
    visible = (("CUDA_VISIBLE_DEVICES", ",".join(request.gpu_uuids)),)
    return tuple(sorted((*_AIR_GAP, *private, *visible)))


def sandboxed(
    engine: tuple[str, ...],
    request: LaunchRequest,
    host: EngineHost,
    env: tuple[tuple[str, str], ...],
) -> tuple[str, ...]:
    """Return ``engine`` inside bubblewrap: no network, weights read-only, dies with its parent.

    A process group of its own comes from the agent, so ``--new-session`` is left out: TERM to the
    group must reach the engine inside.
    """
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]
    argv += ["--uid", _NOBODY, "--gid", _NOBODY, "--clearenv"]
    for name, value in env:
        argv += ["--setenv", name, value]
    # Order matters: a tmpfs mounted after a bind below /tmp would hide that bind.
    argv += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's own
    for path in ("/usr", "/lib", "/lib64"):
        argv += ["--ro-bind-try", path, path]
    for path in host.program_paths:
        argv += ["--ro-bind", path, path]
    if request.gpu_uuids:
        for node in host.gpu_nodes:
            argv += ["--dev-bind", node, node]
    argv += ["--ro-bind", request.weights, request.weights]
    argv += ["--bind", request.run_dir, request.run_dir, "--chdir", request.run_dir, "--"]
    return (*argv, *engine)


def _config(request: LaunchRequest, socket: str) -> LauncherConfig:
    settings = request.settings
    embedding = "embed" in request.operations
    return LauncherConfig(
        model=request.weights,
        alias=request.alias,
        socket=socket,
        context_total=settings.context_length * settings.parallel,
        parallel=settings.parallel,
        threads=settings.threads,
        # An encoder computes its whole input at once, so the batch is its longest input.
        batch=min(settings.context_length, _EMBED_BATCH_MAX) if embedding else 512,
        embedding=embedding,
        gpu_layers=999 if request.gpu_uuids else 0,
        # A shared prompt cache would tell one application what another has asked, by time and
        # by the count of cached tokens.
        cache_prompt=False,
    )


def _check(request: LaunchRequest) -> None:
    settings = request.settings
    bounds = (
        ("context_length", settings.context_length, ENGINE_CONTEXT_MAX),
        ("parallel", settings.parallel, ENGINE_PARALLEL_MAX),
        ("threads", settings.threads, ENGINE_THREADS_MAX),
    )
    for name, value, most in bounds:
        if not 1 <= value <= most:
            raise HoldfastError(
                Code.CONFIG_INVALID, f"{name} of {request.slot} is {value}, not 1 to {most}."
            )
    if "embed" in request.operations and len(request.operations) > 1:
        raise HoldfastError(
            Code.OPERATION_UNSUPPORTED,
            f"{request.slot} shall embed and generate; an engine does one of them.",
        )
    path = f"{request.run_dir}/{SOCKET_NAME}"
    if len(path.encode()) > SOCKET_PATH_BYTES:
        raise HoldfastError(
            Code.CONFIG_INVALID,
            f"The socket path {path} is longer than {SOCKET_PATH_BYTES} bytes.",
        )
