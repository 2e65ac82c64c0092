"""record_drift: the coefficients of two harvests beside each other, of one and the same once."""

from __future__ import annotations

import shutil
from pathlib import Path

from tunescape.live.drift import record_drift
from tunescape.sources import card_record, raw_line
from tunescape.tables import read_table


def write_harvest(path: Path, models: int, fetched_at: str) -> None:
    """Raw records of some models, fetched at one time."""
    with path.open("w", encoding="utf-8") as lines:
        for number in range(models):
            record = card_record(f"o/m{number}", {"sha": f"{number:040x}"}, "# card")
            record |= {"source": "hub", "fetched_at": fetched_at, "hub": {}}
            lines.write(raw_line(record) + "\n")


def test_two_harvests_are_held_beside_each_other(root: Path, tmp_path: Path) -> None:
    fit = tmp_path / "analysis/p/absolute/loss/coefficients.csv"
    fit.parent.mkdir(parents=True)
    fit.write_text("term,estimate,ci_low,ci_high,n\nintercept,1.5,1,2,40\nx,,,,40\n")
    harvest, out = tmp_path / "harvest.jsonl", tmp_path / "drift.csv"

    def record(day: int, models: int, **spec: int) -> list[list[object]]:
        write_harvest(harvest, models, f"2026-01-0{day}T00:00:00Z")
        record_drift(harvest, [fit], out, {"code": day, **spec}, folder=tmp_path / "work")
        table = read_table(out)
        return table[["harvested", "models", "term", "estimate"]].fillna(0).to_numpy().tolist()

    first = record(1, 3)
    assert first == [
        ["2026-01-01T00:00:00Z", 3, "intercept", 1.5],
        ["2026-01-01T00:00:00Z", 3, "x", 0],
    ]
    fit.write_text(fit.read_text().replace("1.5", "1.75"))
    later = record(2, 4)
    assert [row[3] for row in later] == [1.5, 1.75, 0, 0]
    assert record(2, 4) == later
    assert len(record(3, 4, degree=1)) == 2
    shutil.rmtree(tmp_path / "work")
    assert len(record(2, 4)) == 2
