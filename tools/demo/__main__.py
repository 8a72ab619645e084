"""``python -m tools.demo tiny|minilm OUT.gguf``: write one of the demo's models."""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.demo import models

ROOT = Path(__file__).resolve().parents[2]
SEED = 7


def main() -> None:
    """Write the named model; its folder is made."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("model", choices=["tiny", "minilm"])
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    if asked.model == "tiny":
        models.tiny_llama(asked.out, seed=SEED)
    else:
        weights = next((ROOT / ".cache" / "demo-model").rglob("model.safetensors"))
        models.minilm_to_gguf(weights.parent, asked.out)


if __name__ == "__main__":
    main()
