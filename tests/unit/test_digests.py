"""Digests: of data, and of a script with what it imports."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from tunescape.digests import (
    canonical_json,
    code_digest,
    digest,
    environment_digest,
    import_closure,
    imported_modules,
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    package = tmp_path / "tunescape"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def f():\n    from tunescape.inner import deep\n")
    (package / "b.py").write_text("import json\n")
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "deep.py").write_text("from . import sibling\n")
    (package / "inner" / "sibling.py").write_text("X = 1\n")
    (tmp_path / "script.py").write_text("from tunescape import a\n")
    return tmp_path


def test_closure_follows_imports_in_functions_and_relative_ones(tree: Path) -> None:
    names = {path.relative_to(tree).as_posix() for path in import_closure(tree / "script.py")}
    assert names == {
        "script.py",
        "tunescape/__init__.py",
        "tunescape/a.py",
        "tunescape/inner/__init__.py",
        "tunescape/inner/deep.py",
        "tunescape/inner/sibling.py",
    }


def test_digest_goes_by_content_alone(tree: Path) -> None:
    before = code_digest(tree / "script.py")
    os.utime(tree / "tunescape/inner/sibling.py", (1, 1))
    (tree / "tunescape/b.py").write_text("import os\n")
    assert code_digest(tree / "script.py") == before
    (tree / "tunescape/inner/sibling.py").write_text("X = 2\n")
    assert code_digest(tree / "script.py") != before


def test_data_files_count_with_the_package_they_lie_in(tree: Path) -> None:
    before = code_digest(tree / "script.py")
    (tree / "tunescape/inner/templates").mkdir()
    (tree / "tunescape/inner/templates/page.html").write_text("<p>")
    with_page = code_digest(tree / "script.py")
    assert with_page != before
    (tree / "tunescape/other").mkdir()
    (tree / "tunescape/other/__init__.py").write_text("")
    (tree / "tunescape/other/data.csv").write_text("1")
    assert code_digest(tree / "script.py") == with_page


def test_import_statements_are_those_that_python_reads(root: Path) -> None:
    scripts = root / "scripts"
    modules = sorted(scripts.rglob("*.py"))
    assert len(modules) > 100
    for path in modules:
        package = path.relative_to(scripts).parts[:-1]
        expected: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                expected |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                parent = package[: len(package) - node.level + 1] if node.level else ()
                base = ".".join((*parent, *filter(None, [node.module])))
                expected |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        ours = {name for name in expected if name.split(".")[0] == "tunescape"}
        assert set(imported_modules(path, scripts)) == ours, path


def test_import_statements_in_every_spelling(tmp_path: Path) -> None:
    path = tmp_path / "tunescape" / "inner" / "module.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import os, tunescape.a as first, tunescape.b  # why\n"
        "from tunescape.c import (\n    d,  # a comment, with a comma\n    e as f,\n)\n"
        "def g():\n    from .h import i\n    from .. import j as k, l\n"
        "text = 'from tunescape.no import one'\n"
    )
    names = ("a", "b", "c", "c.d", "c.e", "inner.h", "inner.h.i", "", "j", "l")
    expected = {".".join(filter(None, ("tunescape", name))) for name in names}
    assert set(imported_modules(path, tmp_path)) == expected


def test_environment_goes_by_the_locked_versions_of_its_packages(tmp_path: Path) -> None:
    conda = tmp_path / "stage.yaml"
    conda.write_text(
        "dependencies:\n  - python=3.11\n  - pytorch=2.0\n  - numpy=1.0\n  - pip\n"
        "  - pip:\n      - opda==0.8\n      - --requirement lock-nodeps.txt\n"
    )
    lock, nodeps = tmp_path / "lock.txt", tmp_path / "lock-nodeps.txt"
    text = "# Resolved.\nnumpy==1.0\nOpda==0.8\ntorch==2.0\nrich==14.0\n"
    lock.write_text(text)
    nodeps.write_text("a-model==1.0\n")
    before = environment_digest(conda)
    lock.write_text(text.replace("rich==14.0", "rich==15.0"))
    conda.write_text("# A comment.\n" + conda.read_text())
    assert environment_digest(conda) == before
    found = set()
    for old, new in (("torch==2.0", "torch==2.1"), ("numpy==1.0", "numpy==1.1"), ("0.8", "0.9")):
        lock.write_text(text.replace(old, new))
        found.add(environment_digest(conda))
    lock.write_text(text)
    nodeps.write_text("a-model==1.1\n")
    found.add(environment_digest(conda))
    nodeps.write_text("a-model==1.0\n")
    conda.write_text(conda.read_text().replace("3.11", "3.12"))
    found.add(environment_digest(conda))
    assert len(found | {before}) == 6


def test_canonical_json_has_one_spelling() -> None:
    assert canonical_json({"b": [1, None], "a": 0.1}) == '{"a":0.1,"b":[1,null]}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    with pytest.raises(ValueError):
        canonical_json(float("nan"))
    with pytest.raises(TypeError):
        canonical_json({"a": {1, 2}})
