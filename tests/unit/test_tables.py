"""Writing: checked, sorted, atomic, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tunescape import tables
from tunescape.errors import UserError

FRAME = pd.DataFrame({"id": ["b", "a"], "x": [0.1 + 0.2, 1e-5], "n": [1, None]})
COLUMNS = {"id": "string", "n": "Int64", "x": "float64"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_round_trip_is_exact_sorted_and_typed(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{suffix}"
    tables.write_table(FRAME, path, COLUMNS, sort_by=["id"])
    back = tables.read_table(path)
    assert list(back["id"]) == ["a", "b"]
    assert list(back["x"]) == [1e-5, 0.1 + 0.2]
    assert list(back.columns) == list(COLUMNS)
    first = path.read_bytes()
    tables.write_table(FRAME.iloc[::-1], path, COLUMNS, sort_by=["id"])
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"id": "string"}, "unknown x, n"),
        ({**COLUMNS, "y": "float64"}, "missing y"),
        ({**COLUMNS, "id": "float64"}, "column 'id' does not hold float64"),
    ],
)
def test_schema_is_held(columns: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        tables.write_table(FRAME, tmp_path / "t.csv", columns)
    assert not list(tmp_path.iterdir())


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    tables.write_json({"a": 1}, path)
    with pytest.raises(RuntimeError), tables.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert tables.read_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_json_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        tables.write_json({"a": float("nan")}, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["t.json", "t.csv", "t.parquet"])
def test_missing_and_damaged_files_are_user_errors(name: str, tmp_path: Path) -> None:
    read = tables.read_json if name.endswith("json") else tables.read_table
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / name)
    (tmp_path / name).write_bytes(b"" if name == "t.csv" else b"\xff{garbled")
    with pytest.raises(UserError, match="not readable"):
        read(tmp_path / name)
