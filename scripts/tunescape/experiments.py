"""Collect an experiment's runs into the features table that published models have, too.

A run is a row: its id is the run's, its owner the configuration (everything but the seed), so
that clusters are configurations and replicates are seeds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape import schemas
from tunescape.design import configuration_id
from tunescape.digests import digest
from tunescape.errors import UserError
from tunescape.identity import TEXT_CLASSIFICATION, canonical_dataset, canonical_model
from tunescape.tables import read_json, read_table, write_table
from tunescape.training import runspec
from tunescape.training.metrics import METRICS
from tunescape.training.models import PUBLISHED_AS

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

SCHEDULER_NAMES = {"wsd": "warmup_stable_decay"}
SAME_NAME = (
    "learning_rate",
    "train_batch_size",
    "eval_batch_size",
    "seed",
    "num_epochs",
    "weight_decay",
    "adam_epsilon",
    "max_grad_norm",
    "dropout",
    "max_length",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
)
DONE, FAILED, MISSING = "ok", "failed", "missing"
PLACE_COLUMNS = ("run_id", "configuration", "point", "kind", "replicate", "seed")


def collect_runs(
    design_path: str | Path,
    run_dirs: Sequence[str | Path],
    out_features: str | Path,
    out_runs: str | Path,
    out_flow: str | Path,
    out_history: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Collect the runs of a design.

    Args:
        design_path: design.csv of ``design.write_design``.
        run_dirs: folders of runs, each named by its run id, with ``spec.json``, ``metrics.json``
            (``status``; ``error`` of a failed run) and ``history.csv``. Others are ignored.
        out_features: parquet of ``schemas.FEATURE_COLUMNS``, one row a run that ended well.
        out_runs: CSV, one row a planned run: its place in the design, factors, ``status`` (ok,
            failed, missing), ``reason``, metrics and their standard errors (``NAME_se``).
        out_flow: CSV of ``schemas.FLOW_COLUMNS``: how many runs each reason left out.
        out_history: CSV, one row a run and epoch: place, factors, then the history's columns
            (its learning rate as ``current_learning_rate``).
        spec: ``name`` of the experiment.

    Raises:
        UserError: a folder holds another run than its name says.
    """
    import pandas as pd

    design = read_table(design_path)
    folders = {Path(folder).name: Path(folder) for folder in run_dirs}
    coded = [name for name in design.columns if name.endswith("_coded")]
    factors = [
        name for name in design.columns if name not in (*PLACE_COLUMNS, *coded, "predicted_seconds")
    ]
    features, runs, histories = [], [], []
    for row in design.to_dict("records"):
        own = str(row["run_id"])
        folder = folders.get(own)
        metrics = _read_metrics(folder, own)
        status = str(metrics["status"])
        place = {name: row[name] for name in (*PLACE_COLUMNS, *factors)}
        runs.append({**place, "status": status, "reason": metrics["error"], **_numbers(metrics)})
        if status == DONE and folder is not None:
            run_spec = read_json(folder / "spec.json")
            if runspec.run_id(run_spec) != own:
                raise UserError(
                    "holds the specification of another run",
                    where=str(folder / "spec.json"),
                    expected=f"run {own}",
                    fix="delete the folder and run again",
                )
            features.append(features_row(run_spec, metrics, _model_type(folder)))
            history = read_table(folder / "history.csv")
            history = history.rename(columns={"learning_rate": "current_learning_rate"})
            histories.append(history.assign(**place)[[*place, *history.columns]])
    table = pd.DataFrame(
        {
            name: pd.Series([row.get(name) for row in features], dtype=dtype)
            for name, dtype in schemas.FEATURE_COLUMNS.items()
        }
    )
    schemas.validate_features(table, str(out_features))
    report = pd.DataFrame(runs)
    flow = _flow(report, str(spec.get("name", "experiment")))
    lost = int((report["status"] != DONE).sum())
    if lost:
        logger.warning("%d of %d runs left out: %s", lost, len(report), _reasons(report))
    write_table(table, out_features, schemas.FEATURE_COLUMNS, sort_by=("id",))
    write_table(report, out_runs)
    write_table(flow, out_flow, schemas.FLOW_COLUMNS)
    empty = pd.DataFrame(columns=[*PLACE_COLUMNS, *factors, "epoch", "step"])
    write_table(pd.concat(histories, ignore_index=True) if histories else empty, out_history)


def features_row(
    spec: Mapping[str, Any], metrics: Mapping[str, Any], model_type: str | None = None
) -> dict[str, Any]:
    """One run as a row of the features table; what a run does not have is left out.

    Args:
        spec: the canonical specification.
        metrics: content of ``metrics.json`` of a run that ended well.
        model_type: architecture family, where known.
    """
    task, source = spec["task"], spec["model"]["source"]
    dataset = canonical_dataset(task["dataset"], task["subset"]) or task["name"]
    row: dict[str, Any] = {
        "id": runspec.run_id(spec),
        "owner": configuration_id(spec),
        "revision": digest(dict(spec), 32),
        "base_model": canonical_model(PUBLISHED_AS.get(source, source)),
        "dataset": dataset,
        "datasets": dataset,
        "task": TEXT_CLASSIFICATION,
        "n_labels": metrics.get("n_labels"),
        "model_type": model_type,
        "library": "peft" if spec["method"] == "lora" else "transformers",
        "card_kind": "run",
        **{name: spec[name] for name in SAME_NAME},
        "optimizer": "adamw",
        "lr_scheduler_type": SCHEDULER_NAMES.get(spec["schedule"], spec["schedule"]),
        "gradient_accumulation_steps": 1.0,
        "total_train_batch_size": spec["train_batch_size"],
        "num_devices": 1.0,
        "train_size": metrics.get("n_train"),
        "n_eval": metrics["n_eval"],
        **{name: metrics.get(name) for name in schemas.METRICS},
    }
    row["base_chain"] = row["base_model"]
    row["warmup_ratio" if spec["warmup_ratio"] else "warmup_steps"] = (
        spec["warmup_ratio"] or spec["warmup_steps"]
    )
    if metrics.get("numeric_precision") == "bf16":
        row["mixed_precision"] = "bf16"
    beyond = [
        f"impossible_value:{name}"
        for name, column in schemas.FEATURES.items()
        if column.dtype == "float64" and _beyond(row.get(name), column)
    ]
    row["flags"] = schemas.SEPARATOR.join(beyond) or None
    return row


def _beyond(value: Any, column: schemas.Column) -> bool:
    """Whether a hyperparameter lies outside what the features table takes for possible."""
    if value is None:
        return False
    low, high, above = column.minimum, column.maximum, column.above
    return bool(
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
    )


def _read_metrics(folder: Path | None, run: str) -> dict[str, Any]:
    """metrics.json with ``status`` and ``error``; a run without it is missing."""
    if folder is None or not (folder / "metrics.json").is_file():
        return {"status": MISSING, "error": "not trained"}
    metrics: dict[str, Any] = read_json(folder / "metrics.json")
    if metrics.get("run_id", run) != run:
        raise UserError(
            f"holds run {metrics['run_id']}",
            where=str(folder / "metrics.json"),
            expected=f"run {run}",
            fix="delete the folder and run again",
        )
    if metrics.get("status", DONE) != DONE:
        return {**metrics, "status": FAILED, "error": metrics.get("error") or "no reason given"}
    return {**metrics, "status": DONE, "error": None}


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    errors = metrics.get("standard_errors") or {}
    values = {name: metrics.get(name) for name in METRICS}
    sizes = {name: metrics.get(name) for name in ("n_train", "n_eval", "steps")}
    return {**values, **{f"{name}_se": errors.get(name) for name in METRICS}, **sizes}


def _model_type(folder: Path) -> str | None:
    config = folder / "model" / "config.json"
    if not config.is_file():
        return None
    found = read_json(config).get("model_type")
    return found if isinstance(found, str) else None


def _reasons(report: pd.DataFrame) -> str:
    counts = report.loc[report["status"] != DONE, "reason"].value_counts()
    return "; ".join(f"{count} x {reason}" for reason, count in sorted(counts.items()))


def _flow(report: pd.DataFrame, name: str) -> pd.DataFrame:
    """Planned runs, what each reason took away, and what is left."""
    import pandas as pd

    left = len(report)
    rows = [(name, "runs", "planned", left, left, 0)]
    lost = report[report["status"] != DONE]
    for (status, reason), part in lost.groupby(["status", "reason"], sort=True):
        rows.append((name, "runs", f"{status}: {reason}", left, left - len(part), len(part)))
        left -= len(part)
    return pd.DataFrame(rows, columns=list(schemas.FLOW_COLUMNS))
