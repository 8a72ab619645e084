"""The engine's own program: one model served by llama.cpp on a unix socket, until it is ended.

Imports nothing of the product but one small file, so that it starts fast and a sandbox needs to
show little. Prints ``ready`` once the model answers; exit status 3 means that the model could not
be loaded, and the engine's own words are on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

from holdfast_agent.orphan import die_with_parent

LOAD_FAILED: Final = 3
_ERRORS_ONLY: Final = 1
_LAST_WORDS_S: Final = 5


def main() -> None:
    """Serve the model of ``--spec`` until a signal ends the process."""
    parser = argparse.ArgumentParser(prog="holdfast-engine")
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--parent", type=int, default=0)
    arguments = parser.parse_args()
    # The default action ends the process at once, also while it loads, and runs no destructor:
    # the server's own has been seen to wait for ever right after the start.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if arguments.parent:
        die_with_parent(arguments.parent)
    os.umask(0o077)
    server = _serve(arguments.spec)
    os.write(1, b"ready\n")
    while server is not None:
        signal.pause()


def _serve(spec: Path) -> object:
    config = json.loads(spec.read_bytes())
    Path(config["socket"]).unlink(missing_ok=True)
    import xllamacpp  # late: an orphan or a bad spec costs no load of the library

    params = xllamacpp.CommonParams()
    params.model.path = config["model"]
    params.model_alias = [config["alias"]]
    params.hostnames = [config["socket"]]
    params.n_ctx = config["context_total"]
    params.n_parallel = config["parallel"]
    params.n_batch = config["batch"]
    params.n_ubatch = config["batch"]
    # Both: with more threads than cores the spin barriers cost a factor of twenty.
    params.cpuparams.n_threads = config["threads"]
    params.cpuparams_batch.n_threads = config["threads"]
    # A stream holds a thread; some must be left to tell numbers while all slots are busy.
    params.n_threads_http = 2 * config["parallel"] + 4
    params.n_gpu_layers = config["gpu_layers"]
    params.embedding = config["embedding"]
    params.cache_prompt = config["cache_prompt"]
    params.cache_ram_mib = 0  # by default 8 GiB of other requests' prompts
    params.slot_prompt_similarity = 0.0
    params.endpoint_metrics = True
    params.endpoint_slots = False  # shows prompts
    params.ui = False
    params.verbosity = _ERRORS_ONLY  # each line costs the agent a wake-up, and may quote a request
    params.offline = True
    params.warmup = False
    params.fit_params = False
    params.cors_origins = ""
    params.sse_ping_interval = 1  # notices a client that has gone within a second
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        print(f"load failed: {error}", file=sys.stderr, flush=True)
        # The library writes its log from a thread of its own, which only an orderly exit waits
        # for; without it the reason is lost now and then. The alarm bounds that exit.
        signal.alarm(_LAST_WORDS_S)
        sys.exit(LOAD_FAILED)


if __name__ == "__main__":
    main()
