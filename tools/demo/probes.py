"""The vendor's side of golden probes: ask the model itself once, and write down what it answers.

A real vendor does this where the model was made. The probes then travel signed in the bundle, and
every node must get the same answers before it serves the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from holdfast_agent.engines import local
from holdfast_agent.engines.isolation import probe_host
from holdfast_agent.engines.xllamacpp import XllamacppDriver
from holdfast_agent.logic.launch import LaunchRequest
from holdfast_protocol.messages import EngineSettings, Operation

SENTENCE = "The nurse asked for the patient's chart."
PROMPT = "Say something."
COSINE_MIN = 0.999


def embedding_probe(weights: Path, out: Path) -> Path:
    """Write a probe file for an embedding model; return ``out``."""
    answer = asyncio.run(_ask(weights, "embed", {"input": SENTENCE}))
    vector = [round(value, 5) for value in answer[-1]["data"][0]["embedding"]]
    expect = {"kind": "embedding_cosine", "vector": vector, "min": COSINE_MIN}
    probe = {"name": "chart", "op": "embed", "input": SENTENCE, "expect": expect}
    out.write_text(json.dumps([probe]), encoding="utf-8")
    return out


def chat_probe(weights: Path, out: Path) -> Path:
    """Write a probe file for a chat model: its greedy answer, word for word; return ``out``."""
    parameters = {"temperature": 0, "max_tokens": 8}
    body = {"messages": [{"role": "user", "content": PROMPT}], "stream": False, **parameters}
    answer = asyncio.run(_ask(weights, "chat", body))
    text = _text(answer)
    probe = {
        "name": "greedy",
        "op": "chat",
        "input": PROMPT,
        "parameters": parameters,
        "expect": {"kind": "exact", "text": text},
    }
    out.write_text(json.dumps([probe]), encoding="utf-8")
    return out


def _text(answer: list[Any]) -> str:
    parts = []
    for chunk in answer:
        for choice in chunk.get("choices", []):
            message = choice.get("delta") or choice.get("message") or {}
            parts.append(message.get("content") or "")
    return "".join(parts)


async def _ask(weights: Path, op: Operation, body: dict[str, Any]) -> list[Any]:
    """Return every object of the engine's answer, from an engine started for this one question."""
    driver = XllamacppDriver(await probe_host())
    with tempfile.TemporaryDirectory(prefix="hf-vendor-") as folder:
        operations: tuple[Operation, ...] = ("embed",) if op == "embed" else ("chat", "complete")
        spec = driver.plan(
            LaunchRequest(
                slot="vendor",
                alias="vendor",
                weights=str(weights),
                run_dir=folder,
                operations=operations,
                settings=EngineSettings(context_length=512, parallel=1),
            )
        )
        handle = await driver.start(spec)
        try:
            await driver.ready(handle, 60.0)
            asked = local.infer(handle.socket, op, json.dumps(body).encode(), 60.0)
            async with contextlib.aclosing(asked) as chunks:
                return [json.loads(one) async for chunk in chunks for one in chunk.objects]
        finally:
            await driver.stop(handle, 1.0)
