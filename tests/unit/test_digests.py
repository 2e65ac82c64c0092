"""Digests: of data, and of a script with what it imports."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tunescape.digests import canonical_json, code_digest, digest, import_closure


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


def test_canonical_json_has_one_spelling() -> None:
    assert canonical_json({"b": [1, None], "a": 0.1}) == '{"a":0.1,"b":[1,null]}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    with pytest.raises(ValueError):
        canonical_json(float("nan"))
    with pytest.raises(TypeError):
        canonical_json({"a": {1, 2}})
