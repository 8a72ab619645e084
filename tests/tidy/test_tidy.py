"""House rules that a reviewer would otherwise repeat: budgets, broad excepts, forbidden words."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES = 400
FUNCTION_LINES = 60
DEPTH = 4
PARAMETERS = 6

BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.With, ast.AsyncWith, ast.Match)


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


PYTHON = tracked("*.py")


def depth(node: ast.AST, level: int = 0) -> int:
    best = level
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        best = max(best, depth(child, level + isinstance(child, BLOCKS)))
    return best


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_budgets(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    over: list[str] = []
    lines = len(source.splitlines())
    if lines > FILE_LINES:
        over.append(f"{lines} lines, budget {FILE_LINES}")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES:
            over.append(f"{node.name}: {length} lines, budget {FUNCTION_LINES}")
        if depth(node) > DEPTH:
            over.append(f"{node.name}: depth {depth(node)}, budget {DEPTH}")
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        counted = [a for a in arguments if a.arg not in ("self", "cls")]
        # A command's parameters are its options on the command line, one each.
        if len(counted) > PARAMETERS and not path.name.startswith("commands"):
            over.append(f"{node.name}: {len(counted)} parameters, budget {PARAMETERS}")
    assert not over


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_broad_excepts_only_in_shells(path: Path) -> None:
    if path.name == "shell.py":
        return
    broad = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
    ]
    assert not broad, f"except Exception belongs in shell.py alone: lines {broad}"


def test_no_lock_or_script_names_a_registry() -> None:
    hosts = ("pypi" + ".org", "python" + "hosted", "deb.debian" + ".org", "registry.npm" + "js")
    for path in tracked("*"):
        if path.suffix in {".png", ".svg", ".gguf"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not any(host in text for host in hosts), relative(path)


def test_every_member_is_typed() -> None:
    for source in [*ROOT.glob("packages/*/src/*"), *ROOT.glob("*/src/*")]:
        if (source / "__init__.py").exists():
            assert (source / "py.typed").exists(), relative(source)
