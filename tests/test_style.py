"""Formatting, static checks and the rules of style that a program can hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
RULES = sorted((ROOT / "rules").glob("*.smk"))
ADAPTERS = sorted((ROOT / "scripts").glob("*.py"))


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["snakefmt", "--check", "Snakefile", "rules"],
        ["snakemake", "--lint"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_checker_is_clean(command: list[str]) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def rule_blocks() -> dict[str, str]:
    """Rule name -> its text, over all rules files."""
    blocks: dict[str, str] = {}
    for path in RULES:
        parts = re.split(r"^(?:rule|checkpoint) (\w+):$", path.read_text(), flags=re.M)
        blocks |= dict(zip(parts[1::2], parts[2::2], strict=True))
    return blocks


@pytest.mark.parametrize("name", rule_blocks())
def test_one_name_in_every_place(name: str) -> None:
    block = rule_blocks()[name]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name), "verb_object"
    assert f'"../scripts/{name}.py"' in block
    assert re.search(rf'log:\s+"results/logs/{name}\b', block)
    assert re.search(rf'benchmark:\s+"results/benchmarks/{name}\b', block)
    assert f'spec=spec("{name}")' in block
    assert (ROOT / "tests" / "rules" / f"test_{name}.py").exists() or any(
        f"test_{name}" in test.read_text() for test in (ROOT / "tests" / "rules").glob("*.py")
    )


@pytest.mark.parametrize("name", rule_blocks())
def test_rule_states_all_it_should(name: str) -> None:
    block = rule_blocks()[name]
    for directive in ("input", "output", "log", "benchmark", "threads", "resources", "conda"):
        assert re.search(rf"^    {directive}:", block, flags=re.M), directive
    assert "message:" in block
    assert "mem_mb=" in block and "runtime=" in block


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_file_opens_with_its_purpose(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert not re.search(r"\blambda\b|^\s+run:|\bancient\(", text, re.M)


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.name)
def test_adapter_is_thin(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 25
    assert "snakemake.config" not in text
    assert path.stem in rule_blocks()
    assert "with logged(snakemake.log[0], snakemake.input, snakemake.output):" in text


def test_library_knows_nothing_of_snakemake() -> None:
    for path in (ROOT / "scripts" / "tunescape").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not [name for name in names if name.split(".")[0] == "snakemake"], path


def tracked_text() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [ROOT / name for name in listed if not name.endswith((".png", ".parquet"))]


def test_nothing_of_one_machine() -> None:
    home = re.compile(r"(?<![\w.])/(?:work|home|Users)/\w")
    index = re.compile(r"https?://[^ ]+/(?:simple|packages)/")
    for path in tracked_text():
        if path.exists() and path != Path(__file__):
            text = path.read_text(errors="replace")
            assert not home.search(text), f"absolute path in {path}"
            assert not index.search(text), f"package index in {path}"
