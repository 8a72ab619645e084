"""The demo: a real model arrives as a signed bundle and answers; what must be refused is refused.

Ends by itself with exit code 0 and leaves nothing running. No network but loopback.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.demo import models, probes  # noqa: E402  (the script is run by its path)
from tools.demo.steps import Demo, StepError, fail  # noqa: E402

SENTENCES = (
    "How do I reset my password?",
    "I cannot log in to my account.",
    "The cat sleeps on the warm windowsill.",
    "A kitten naps in the sun.",
    "The court adjourned until Monday.",
)
MODEL = "minilm/all-minilm-l6-v2"
TINY = "acme/tiny-random"


def main() -> int:
    """Run the demo in a folder of its own; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
    demo = Demo(folder)
    up = False
    try:
        make_bundles(demo)
        demo.title("A whole site on this machine: two jurisdictions, three nodes, real TLS")
        up = True
        ready = demo.run("lab", "up", "--detach", "--media", str(folder))
        demo.say(f"{ready['site']}: {', '.join(ready['nodes'])}")
        import_models(demo)
        embed(demo)
        chat(demo)
        refusals(demo)
        demo.title("What the site looks like now")
        demo.show("status")
        demo.show("deployments")
    except (StepError, OSError) as error:
        fail(error)
        return 1
    finally:
        if up:
            demo.run("lab", "down")
        shutil.rmtree(folder, ignore_errors=True)
    print("\nDone; nothing is left running. Try next, from this folder:")
    print("  .venv/bin/holdfast lab up            a site that stays, Ctrl-C ends it")
    print("  .venv/bin/holdfast console           what the operator sees, in another terminal")
    print("  make test                            the tests")
    return 0


def make_bundles(demo: Demo) -> None:
    """Play the vendor: convert, ask once for the golden probe, build, sign, verify."""
    folder = demo.folder
    demo.title("At the vendor's: a sentence-embedding model becomes a signed bundle")
    weights = next((ROOT / ".cache" / "demo-model").rglob("model.safetensors"))
    (folder / "minilm").mkdir()
    models.minilm_to_gguf(weights.parent, folder / "minilm" / "model.gguf")
    probes.embedding_probe(folder / "minilm" / "model.gguf", folder / "minilm-probes.json")
    demo.run("bundle", "keys", "--vendor", "minilm", "--out", str(folder / "keys-minilm"))
    demo.run(
        "bundle", "build", str(folder / "minilm"), "--name", MODEL, "--version", "2.0",
        "--license", "Apache-2.0", "--probe", str(folder / "minilm-probes.json"),
        "--out", str(folder / "stick"),
    )  # fmt: skip
    demo.run("bundle", "sign", str(folder / "stick"), "--keys", str(folder / "keys-minilm"))
    verdict = demo.run(
        "bundle", "verify", str(folder / "stick"), "--root", str(folder / "keys-minilm/root.json")
    )
    demo.say(f"verified, signed by {', '.join(verdict['signers'])}")
    demo.title("And a tiny language model of random weights: it babbles, and says so")
    (folder / "tiny").mkdir()
    models.tiny_llama(folder / "tiny" / "model.gguf", seed=7)
    probes.chat_probe(folder / "tiny" / "model.gguf", folder / "tiny-probes.json")
    demo.run("bundle", "keys", "--vendor", "acme", "--out", str(folder / "keys-acme"))
    demo.run(
        "bundle", "build", str(folder / "tiny"), "--name", TINY, "--version", "1",
        "--license", "CC0-1.0", "--probe", str(folder / "tiny-probes.json"),
        "--out", str(folder / "stick-tiny"),
    )  # fmt: skip
    demo.run("bundle", "sign", str(folder / "stick-tiny"), "--keys", str(folder / "keys-acme"))


def import_models(demo: Demo) -> None:
    """Two officers trust each vendor, two approve each model."""
    folder = demo.folder
    demo.title("At the border: two officers trust the vendors and let the models in")
    for vendor in ("minilm", "acme"):
        root = str(folder / f"keys-{vendor}" / "root.json")
        trust = demo.run("vendor", "trust", vendor, root, who="officer-1")
        demo.approve(trust["request"], "officer-1", "officer-2")
    asked = demo.run("import", str(folder / "stick"), who="operator-1")
    demo.say("importing approved nothing: it waits for two officers")
    demo.run("approve", asked["request"], who="officer-1")
    demo.title("Refusal 1: one officer approving twice")
    demo.expect("SIGNED_ALREADY", 3, "approve", asked["request"], who="officer-1")
    demo.title("Another officer approves; each signed in a process of their own")
    demo.approve(asked["request"], "officer-3")
    tiny = demo.run("import", str(folder / "stick-tiny"), who="operator-1")
    demo.approve(tiny["request"], "officer-2", "officer-3")
    listed = demo.run("models")["models"]
    for model in listed:
        demo.say(f"{model['name']}@{model['version']}  {model['state']}  {model['digest'][:19]}…")


def embed(demo: Demo) -> None:
    """Deploy the real model, grant an application, compare sentences."""
    demo.title("Deploy it in Germany; the controller chooses the node, the node checks everything")
    demo.run("deploy", f"{MODEL}@2.0", "--alias", "minilm", "--zone", "de", "--wait", "60")
    where = demo.run("deployments")["deployments"][0]["replicas"][0]
    demo.say(f"ready on {where['node']}, device {where['device']}, after its golden probe")
    grant(demo, "triage", "de", "minilm,babble,french")
    demo.title("Ask it over NATS: which sentences mean the same?")
    vectors = {}
    for sentence in SENTENCES:
        answer = demo.run("infer", "minilm", "--op", "embed", sentence, who="triage")
        vectors[sentence] = answer["output"]
    pairs = [(cosine(vectors[a], vectors[b]), a, b) for a, b in combinations(SENTENCES, 2)]
    for score, one, other in sorted(pairs, reverse=True):
        demo.say(f"{score:5.2f}  {one}  |  {other}")
    best = {frozenset(pair[1:]) for pair in sorted(pairs, reverse=True)[:2]}
    if best != {frozenset(SENTENCES[:2]), frozenset(SENTENCES[2:4])}:
        raise StepError("the two related pairs should be the most similar")


def chat(demo: Demo) -> None:
    """Stream a chat from the random model."""
    demo.title("Stream a chat (random weights: expect nonsense, word by word)")
    demo.run("deploy", f"{TINY}@1", "--alias", "babble", "--zone", "de", "--wait", "60")
    words = ("infer", "babble", "--op", "chat", "--stream", "--max-tokens", "48")
    demo.show(*words, "Once upon a time", who="triage")


def refusals(demo: Demo) -> None:
    """One flipped byte; a German application whose only replica stands in France."""
    folder = demo.folder
    demo.title("Refusal 2: a stick with one flipped byte")
    shutil.copytree(folder / "stick-tiny", folder / "stick-flipped")
    blobs = sorted((folder / "stick-flipped").rglob("sha256/*"), key=lambda p: p.stat().st_size)
    largest = blobs[-1]
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 0x01
    largest.chmod(0o644)
    largest.write_bytes(bytes(data))
    root = str(folder / "keys-acme" / "root.json")
    demo.expect("BLOB_DIGEST", 4, "bundle", "verify", str(folder / "stick-flipped"), "--root", root)
    demo.title("Refusal 3: a German application, and the only replica is in France")
    demo.run("deploy", f"{MODEL}@2.0", "--alias", "french", "--zone", "fr", "--wait", "60")
    demo.expect(
        "NO_LEGAL_PLACEMENT", 3, "infer", "french", "--op", "embed", SENTENCES[0], who="triage"
    )


def grant(demo: Demo, app: str, zone: str, aliases: str) -> None:
    """Grant an application within its zone's defaults: one officer suffices."""
    asked = demo.run("app", "create", app, "--zone", zone, "--aliases", aliases, who="operator-1")
    demo.approve(asked["request"], "officer-1")
    demo.say(f"application {app} holds its own key; its folder is site/creds/{app}")


def cosine(one: list[float], other: list[float]) -> float:
    """Return the cosine between two vectors."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))


if __name__ == "__main__":
    sys.exit(main())
