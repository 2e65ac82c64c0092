"""Coefficients by harvest: does what the Hub suggests change as models are added?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescape.digests import digest
from tunescape.hub import CACHE
from tunescape.sources import read_bucket
from tunescape.tables import read_json, read_table, write_json, write_table

DRIFT_COLUMNS: dict[str, str] = {
    "harvested": "str",
    "models": "int64",
    "population": "str",
    "view": "str",
    "metric": "str",
    "term": "str",
    "estimate": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "n": "Int64",
}
"""One row a harvest and term; estimates are of coded factors, intervals cluster-robust."""

_KEPT = ("term", "estimate", "ci_low", "ci_high", "n")


def record_drift(
    harvest_path: str | Path,
    coefficient_paths: Sequence[str | Path],
    out_drift: str | Path,
    spec: Mapping[str, Any],
    *,
    folder: str | Path = CACHE,
) -> None:
    """Put this harvest's coefficients on record, and write those of all harvests.

    Harvests are compared where the list of models and the regressions are the same ones. A harvest
    of the same commits replaces its earlier record.

    Args:
        harvest_path: raw records of ``harvest.fetch_models``.
        coefficient_paths: ``.../{population}/{view}/{metric}/coefficients.csv``.
        out_drift: CSV of :data:`DRIFT_COLUMNS`.
        spec: what a harvest must share with this one to be compared with it.
        folder: where harvests are on record.
    """
    import pandas as pd

    commits, last, count = [], "", 0
    for record in read_bucket(harvest_path):
        commits.append([record["id"], record["revision"], record["status"]])
        last = max(last, record["fetched_at"] or "")
        count += 1
    rows: list[dict[str, Any]] = []
    for path in sorted(map(Path, coefficient_paths)):
        population, view, metric = path.parts[-4:-1]
        table = read_table(path)[list(_KEPT)]
        frame = table.assign(population=population, view=view, metric=metric)
        plain = frame.astype(object).where(frame.notna(), None)
        names = [*_KEPT, "population", "view", "metric"]
        rows += [dict(zip(names, values, strict=True)) for values in plain[names].to_numpy()]
    comparable = {key: value for key, value in spec.items() if key != "code"}
    home = Path(folder) / "drift" / digest(comparable)
    write_json({"harvested": last, "models": count, "rows": rows}, home / f"{digest(commits)}.json")
    told = []
    for path in sorted(home.glob("*.json")):
        known = read_json(path)
        told += [
            {**row, "harvested": known["harvested"], "models": known["models"]}
            for row in known["rows"]
        ]
    drift = pd.DataFrame(told, columns=list(DRIFT_COLUMNS))
    order = ["population", "view", "metric", "term", "harvested"]
    write_table(drift, out_drift, DRIFT_COLUMNS, sort_by=order)
