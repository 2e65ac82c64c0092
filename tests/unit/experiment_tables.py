"""Tables of a made-up experiment, written by the library from runs made by a formula."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from study_tables import FACTORS, models
from tunescape.contrast import contrast
from tunescape.design import plan_runs, write_design
from tunescape.experiments import collect_runs
from tunescape.populations import measure_coverage
from tunescape.regression import regress
from tunescape.schemas import FEATURE_COLUMNS
from tunescape.tables import write_json, write_table
from tunescape.training.metrics import METRICS
from tunescape.training.run import HISTORY_COLUMNS

VARIED: dict[str, Any] = {
    "learning_rate": {"low": 3e-5, "high": 3e-4, "scale": "log"},
    "train_batch_size": {"low": 8, "high": 32, "scale": "log"},
    "num_epochs": {"low": 1, "high": 3},
}


@dataclass(frozen=True)
class Written:
    """Folders of one experiment; ``analysis`` holds a folder a metric."""

    name: str
    folder: Path
    runs: Path
    analysis: Path

    def tables(self, *names: str) -> list[Path]:
        return [self.folder / name for name in names]


def experiment(folder: Path, name: str = "made-up", **changes: Any) -> dict[str, Any]:
    """A Box-Behnken design of three factors with a toy task."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data.csv"
    data.write_text("sentence,label\nfine,1\npoor,0\n")
    return {
        "name": name,
        "model": "distilbert/distilbert-base-uncased",
        "task": {"name": "toy", "files": {"train": [str(data)]}, "holdout": 0.5},
        "design": {"kind": "box_behnken", "center": 3},
        "factors": VARIED,
        "fixed": {"weight_decay": 0.01},
        "seeds": [1],
        **changes,
    }


def write_experiment(
    folder: Path, spec: dict[str, Any], failed: int = 0, reason: str = "the loss is not a number"
) -> Written:
    """Design, runs by a formula (the first ones fail), and what is collected from them."""
    rng = np.random.default_rng(1)
    runs, out = folder / "runs", folder / "experiments" / spec["name"]
    out.mkdir(parents=True)
    folders = []
    for i, run in enumerate(plan_runs(spec)):
        own = runs / run.run_id
        own.mkdir(parents=True, exist_ok=True)
        folders.append(own)
        write_json(run.spec, own / "spec.json")
        if i < failed:
            lost = {"run_id": run.run_id, "status": "failed", "error": reason}
            write_json(lost, own / "metrics.json")
            continue
        z = run.coded.get("learning_rate", 0.0)
        epochs = int(run.spec["num_epochs"])
        lines = [",".join(HISTORY_COLUMNS)]
        for epoch in range(1, epochs + 1):
            level = 0.7 + 0.05 * z + 0.03 * epoch + 0.004 * float(rng.normal())
            values = dict.fromkeys(METRICS, level) | {"loss": 1.1 - level}
            row = [epoch, 10 * epoch, 1e-5, values["loss"], *(values[m] for m in METRICS)]
            lines.append(",".join(map(repr, row)))
        (own / "history.csv").write_text("\n".join(lines) + "\n")
        told = {
            "run_id": run.run_id, "status": "ok", "error": None, **values,
            "standard_errors": dict.fromkeys(METRICS, 0.02), "n_train": 320, "n_eval": 400,
            "n_labels": 2, "steps": 10 * epochs, "numeric_precision": "fp32",
        }  # fmt: skip
        write_json(told, own / "metrics.json")
        write_json({"seconds": 2.0}, own / "timing.json")
    named = [out / name for name in ("design.csv", "diagnostics.csv", "design.json", "specs")]
    write_design(spec, *named)
    collected = [
        out / f for f in ("features.parquet", "runs.csv", "sample_flow.csv", "history.csv")
    ]
    collect_runs(named[0], folders, *collected, {"name": spec["name"]})
    return Written(spec["name"], out, runs, folder / "analysis" / spec["name"] / "absolute")


def regress_runs(written: Written, metric: str) -> Path:
    """The experiment's regression, as the study runs it; returns its folder."""
    place = written.analysis / metric
    place.mkdir(parents=True)
    features = written.folder / "features.parquet"
    coverage = {
        "name": written.name, "min_rows": 1, "min_settings": 2, "factors": list(FACTORS),
        "metrics": [metric],
    }  # fmt: skip
    chosen = place / "chosen.csv"
    measure_coverage(features, place / "coverage.csv", chosen, coverage)
    spec = {"metric": metric, "view": "absolute", "factors": dict(FACTORS), "wild_draws": 0}
    outputs = [place / n for n in ("coefficients.csv", "fit.json", "diagnostics.csv")]
    regress(features, chosen, *outputs, spec)
    return place


def write_contrast(
    written: Written, folder: Path, metric: str, rows: int = 120, aliased: bool = False
) -> Path:
    """Contrast with made-up published models; returns its folder."""
    frame = models(rows, seed=9)
    if aliased:
        frame["num_epochs"] = np.where(frame["num_epochs"] > 2, 3.0, 1.0)
    out = folder / "contrast" / "hub" / written.name / metric
    out.mkdir(parents=True)
    write_table(frame.astype(FEATURE_COLUMNS), out / "sample.parquet", FEATURE_COLUMNS)
    spec = {
        "metric": metric, "factors": dict(FACTORS),
        "labels": {"hub": "hub", "experiment": written.name},
    }  # fmt: skip
    contrast(
        out / "sample.parquet",
        written.folder / "features.parquet",
        out / "contrast.csv",
        out / "contrast.json",
        spec,
    )
    return out
