"""Tables in ranges of ids: the same rows, order and (for one range) bytes as in one piece."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hub_cards import card, parsed
from tunescape import features, ranges
from tunescape.errors import UserError
from tunescape.ranges import Ranges, arrow_table, write_ranges
from tunescape.tables import read_table, write_table

COLUMNS = {"id": "str", "field": "str", "n": "Int64", "x": "float64"}


def table(rows: int) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "id": [f"o/{(n * 7919) % rows // 3:05d}" for n in range(rows)],
            "field": [None if n % 5 == 0 else "abc"[n % 3] for n in range(rows)],
            "n": [None if n % 4 == 0 else n for n in range(rows)],
            "x": [n / 7 for n in range(rows)],
        }
    )
    return frame.astype(COLUMNS)


def write(frame: pd.DataFrame, folder: Path, models: int, parts: int = 7) -> Path:
    ids = list(dict.fromkeys(frame["id"]))
    cut = Ranges(ids, sorted(range(len(ids)), key=ids.__getitem__), models)
    folder.mkdir()
    with cut.writers(folder, "t") as put:
        for start in range(0, len(frame), max(1, len(frame) // parts)):
            put(arrow_table(frame.iloc[start : start + max(1, len(frame) // parts)]))
    write_ranges(cut.files(folder, "t"), folder / "t.parquet", COLUMNS, ["id", "field"])
    return folder / "t.parquet"


@pytest.mark.parametrize("models", [1, 7, 50, 10_000])
def test_ranges_give_the_table_in_one_piece(
    tmp_path: Path, models: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "BATCH_ROWS", 16)
    frame = table(300)
    whole = tmp_path / "whole.parquet"
    write_table(frame, whole, COLUMNS, sort_by=["id", "field"])
    cut = write(frame, tmp_path / "cut", models)
    pd.testing.assert_frame_equal(read_table(cut), read_table(whole))
    assert (cut.read_bytes() == whole.read_bytes()) == (models == 10_000)


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    found = read_table(write(table(3).iloc[:0], tmp_path / "none", 5))
    assert list(found.columns) == list(COLUMNS) and len(found) == 0


def models(count: int) -> list[tuple[str, str, dict[str, str]]]:
    """Repeats, sweeps and chains whose members lie in different buckets."""
    found = []
    for n in range(count):
        base = f"o/m-{n // 6 - 1}" if n >= 6 else "distilbert-base-uncased"
        figures = {"Loss": f"0.{4213 + n // 2}", "Accuracy": f"0.{8765 + n // 2}"}
        text = card(base=base, metrics=figures, learning_rate=f"{1 + n // 2 % 5}e-05")
        found.append((f"o/m-{n}", text, {"lastModified": f"2023-01-{1 + n % 28:02d}"}))
    return found


def test_features_do_not_depend_on_buckets_or_ranges(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = models(30)

    def build(name: str, buckets: int, size: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        monkeypatch.setattr(features, "RANGE_MODELS", size)
        monkeypatch.setattr(features, "GROUP_MODELS", size)
        folder = tmp_path / name
        folder.mkdir()
        paths: tuple[list[Path], list[Path]] = ([], [])
        for bucket in range(buckets):
            frames = parsed(known[bucket::buckets])
            for kind, frame, listed in zip("pq", frames, paths, strict=True):
                listed.append(folder / f"{bucket}.{kind}.parquet")
                frame.to_parquet(listed[-1])
        out = folder / "f.parquet", folder / "v.parquet"
        features.build_features(*paths, *out, eval_sizes=root / "resources/eval_sizes.csv")
        assert not list(folder.glob(".features*"))
        return read_table(out[0]), read_table(out[1])

    whole, sources = build("one", 1, 1000)
    assert whole["duplicate_of"].notna().any() and whole["family"].nunique() < len(whole)
    assert whole["base_chain"].str.contains("|", regex=False).any()
    for name, buckets, size in (("many", 4, 1000), ("cut", 3, 7)):
        cut, cut_sources = build(name, buckets, size)
        pd.testing.assert_frame_equal(cut, whole)
        pd.testing.assert_frame_equal(cut_sources, sources)


def test_a_model_in_two_buckets_is_one_message(root: Path, tmp_path: Path) -> None:
    frame, sources = parsed(models(2))
    frame.to_parquet(tmp_path / "p.parquet")
    sources.to_parquet(tmp_path / "q.parquet")
    with pytest.raises(UserError, match="model 'o/m-0' has several rows"):
        features.build_features(
            [tmp_path / "p.parquet"] * 2,
            [tmp_path / "q.parquet"],
            tmp_path / "f.parquet",
            tmp_path / "v.parquet",
            eval_sizes=root / "resources/eval_sizes.csv",
        )
    assert not (tmp_path / "f.parquet").exists()
