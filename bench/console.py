"""The console under load: 1,000 GPUs, 2,000 changed rows a second, a key twice a second.

Prints the share of one core and the time from key to new lines, without a terminal's own cost.
``--json`` prints one object on the last line. Reach: 10 % of a core, p99 of 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from holdfast_tui.console.app import Console
from holdfast_tui.console.profile import FULL
from holdfast_tui.logic.console.known import Known, heard

from tests.console.demo_site import DemoSite, gpu, node
from tests.console.still import Still, picture

NODES, GPUS_EACH, PERIOD_S = 125, 8, 0.5


def change(site: DemoSite, dice: random.Random) -> None:
    """Give every GPU another utilization."""
    site.gpus = [
        msgspec.structs.replace(one, utilization_percent=dice.randrange(100)) for one in site.gpus
    ]


async def measure(seconds: float) -> dict[str, float]:
    """Return the numbers of one run."""
    site, dice = DemoSite(), random.Random(1)
    site.nodes = [node(f"de-{n}") for n in range(NODES)]
    site.gpus = [gpu(f"GPU-{n}-{g}", f"de-{n}") for n in range(NODES) for g in range(GPUS_EACH)]
    source = Still(heard(Known(), picture(site), time.monotonic()))
    app = Console(source, "operator-1", FULL)
    keys: list[float] = []
    rows, own_s = 0, 0.0
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("2")
        began, cpu = time.monotonic(), time.process_time()
        while time.monotonic() - began < seconds:
            turn, made = time.monotonic(), time.process_time()
            change(site, dice)
            source.known = heard(source.known, picture(site), time.monotonic())
            own_s += time.process_time() - made  # making the load is not the console's work
            rows += len(site.gpus)
            painted, pressed = app.canvas.painted, time.monotonic()
            app.simulate_key("j")
            while app.canvas.painted == painted:  # noqa: ASYNC110 - painting has no event
                await asyncio.sleep(0)
            keys.append(time.monotonic() - pressed)
            await asyncio.sleep(max(0.0, PERIOD_S - (time.monotonic() - turn)))
        took = time.monotonic() - began
        cpu = time.process_time() - cpu - own_s
    keys.sort()
    return {
        "rows_per_s": round(rows / took),
        "core_percent": round(100 * cpu / took, 1),
        "key_p50_ms": round(1000 * keys[len(keys) // 2], 1),
        "key_p99_ms": round(1000 * keys[min(len(keys) - 1, len(keys) * 99 // 100)], 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    numbers = asyncio.run(measure(given.seconds))
    for name, value in numbers.items():
        print(f"{name:<14} {value}")
    if given.json:
        print(json.dumps(numbers))


if __name__ == "__main__":
    main()
