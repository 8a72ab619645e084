"""Who may know Cedar: one file imports it, and only programs that decide load it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ENGINE = "packages/policy/src/holdfast_policy/cedar/engine.py"


def imports(path: Path, module: str) -> bool:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name.split(".")[0] == module for name in names):
            return True
    return False


def test_one_file_imports_cedar() -> None:
    sources = [*ROOT.glob("packages/*/src"), *ROOT.glob("*/src")]
    found = [
        str(path.relative_to(ROOT))
        for source in sources
        for path in sorted(source.rglob("*.py"))
        if "cedarpy" in path.read_text(encoding="utf-8") and imports(path, "cedarpy")
    ]
    assert found == [ENGINE]


def test_what_does_not_decide_does_not_load_it() -> None:
    program = (
        "import sys, holdfast_policy.port, holdfast_policy.tickets, holdfast_policy.combined\n"
        "import holdfast_policy.logic.labels, holdfast_policy.logic.invariants\n"
        "import holdfast_agent.main, holdfast_agent.logic.gateway.decide, holdfast_tui.main\n"
        "import holdfast_controller.main\n"
        "assert 'cedarpy' not in sys.modules\n"
        "import holdfast_policy.base\n"
        "assert 'cedarpy' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
