"""Packs of runs: predicted cost, and a split into packs of about equal cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tunescape.digests import digest
from tunescape.errors import UserError
from tunescape.training.runspec import identity, run_id, step_counts

# Per-core figures of a CPU of 2020 or later; only ratios matter for packing.
FLOPS_PER_SECOND = 7e10
OPTIMIZER_BYTES_PER_SECOND = 8e9
RUN_OVERHEAD_SECONDS = 1.0
START_SECONDS = 9.0
DEFAULT_ENCODER_PARAMETERS = 43e6
DEFAULT_TOKENS = 24.0
SPECIAL_TOKENS = 2.0
BYTES_PER_TOKEN = 4.5


def trajectory_id(spec: Mapping[str, Any]) -> str:
    """Id shared by runs that differ in the number of epochs alone."""
    return digest({k: v for k, v in identity(spec).items() if k != "num_epochs"}, 16)


def encoder_parameters(model: Mapping[str, Any]) -> float:
    """Parameters that every token passes through, from a local model's configuration.

    Returns:
        12 * layers * width^2 (for a feed-forward of four widths), or DistilBERT's number for a
        model that is not on this machine.
    """
    from tunescape.training import models

    source = model["source"]
    try:
        if source.startswith(models.PACKAGE_PREFIX) or models.is_local(source):
            config = models.read_config(models.locate(model))
        else:
            return DEFAULT_ENCODER_PARAMETERS
        width = float(config.get("hidden_size", config.get("dim", 768)))
        layers = float(config.get("num_hidden_layers", config.get("n_layers", 6)))
        inner = float(config.get("intermediate_size", config.get("hidden_dim", 4 * width)))
    except (UserError, TypeError, ValueError):
        return DEFAULT_ENCODER_PARAMETERS
    return layers * (4 * width * width + 2 * width * inner)


def count_rows(task: Mapping[str, Any]) -> tuple[int, int, float]:
    """Training rows, evaluation rows and tokens a row of a task, from local files' sizes.

    Estimates (lines and bytes; a Hub data set gets 10,000 and 1,000 rows): they decide how runs
    are packed and what progress says, never a result.
    """
    most = task["validation_size"]
    if not task["files"]:
        return 10_000, most or 1_000, DEFAULT_TOKENS
    rows, size = {}, 0
    for split, paths in task["files"].items():
        rows[split] = 0
        for path in map(Path, paths):
            if not path.is_file():
                continue
            stat = path.stat()
            size += stat.st_size
            rows[split] += _file_rows(str(path), stat.st_size, stat.st_mtime_ns)
    total = max(1, sum(rows.values()))
    tokens = size / total / BYTES_PER_TOKEN + SPECIAL_TOKENS
    train = max(1, rows.get(task["train_split"], 0))
    if task["holdout"] is not None:
        held = max(1, round(train * task["holdout"]))
        return max(1, train - held), min(held, most or held), tokens
    held = max(1, rows.get(task["validation_split"], 0))
    return train, min(held, most or held), tokens


@lru_cache(maxsize=256)
def _file_rows(path: str, size: int, _modified: int) -> int:
    if path.endswith(".parquet"):
        return max(1, size // 60)
    return max(1, Path(path).read_bytes().count(b"\n") - 1)


def most_rows(paths: Sequence[str | Path]) -> int | None:
    """Rows that data files hold at most (a text may have line ends), or None where one is parquet.

    A read of the bytes: cheap enough for every look at the configuration.
    """
    total = 0
    for path in map(Path, paths):
        if path.suffix == ".parquet":
            return None
        try:
            handle = path.open("rb")
        except OSError as error:
            raise UserError(f"not readable ({error.strerror})", where=str(path)) from None
        with handle:
            lines = [0, 0]
            while part := handle.read(2**20):
                lines = [lines[0] + part.count(b"\n"), lines[1] + part.count(b"\r")]
        total += max(lines) + (path.suffix == ".jsonl")  # others have a line of names
    return total


def predict_seconds(
    spec: Mapping[str, Any],
    n_train: int | None = None,
    n_eval: int | None = None,
    tokens: float | None = None,
) -> float:
    """Predicted seconds of a run on one CPU core, start-up not counted.

    Args:
        spec: canonical specification.
        n_train, n_eval: rows, estimated from the files when not given.
        tokens: mean tokens a row, likewise.
    """
    rows = count_rows(spec["task"])
    n_train = rows[0] if n_train is None else n_train
    n_eval = rows[1] if n_eval is None else n_eval
    if spec["train_size"] is not None:
        n_train = min(n_train, spec["train_size"])
    tokens = min(rows[2] if tokens is None else tokens, float(spec["max_length"]))
    weights = encoder_parameters(spec["model"])
    _, steps = step_counts(n_train, spec["train_batch_size"], spec["num_epochs"])
    evaluations = max(1.0, float(spec["num_epochs"])) if spec["eval_strategy"] == "epoch" else 1.0
    epochs = float(spec["num_epochs"])
    passes = 6.0 if spec["method"] == "full" else 4.0
    work = passes * n_train * epochs + 2.0 * n_eval * evaluations
    trained = weights if spec["method"] == "full" else 0.02 * weights
    return (
        RUN_OVERHEAD_SECONDS
        + weights * tokens * work / FLOPS_PER_SECOND
        + steps * trained * 32 / OPTIMIZER_BYTES_PER_SECOND
    )


def predict_memory_mb(spec: Mapping[str, Any]) -> int:
    """Predicted peak memory of a pack that trains this run, in MB.

    Imports take 900 MB; weights, gradients and AdamW's two moments 4 bytes each a parameter, and
    the shared base weights with their embeddings as much again; activations of a batch about 40
    numbers a token, width and layer of a twelve-layer model.
    """
    weights = encoder_parameters(spec["model"])
    tokens = int(spec["train_batch_size"]) * int(spec["max_length"])
    activations = tokens * math.sqrt(weights / 12) * 2000
    return round(900 + (weights * 4 * 6 + activations) / 1e6)


def predict_sweep_seconds(specs: Sequence[Mapping[str, Any]], workers: int) -> float:
    """Predicted wall seconds of a sweep with one pack a worker, start-up counted."""
    seconds = {run_id(spec): predict_seconds(spec) for spec in specs}
    packs = make_packs(specs, workers, seconds)
    return START_SECONDS + max(sum(seconds[run] for run in pack) for pack in packs)


def make_packs(
    specs: Sequence[Mapping[str, Any]],
    n_packs: int,
    seconds: Mapping[str, float] | None = None,
) -> list[list[str]]:
    """Split runs into packs of about equal predicted cost (longest processing time first).

    Runs that share a trajectory (constant or wsd schedule, other epochs) stay together and cost
    what the longest of them costs. The result depends on the set of runs, not on their order.

    Args:
        specs: canonical specifications.
        n_packs: packs at most.
        seconds: run id -> cost; :func:`predict_seconds` when not given.

    Returns:
        Run ids by pack; no pack is empty, each pack is sorted, and so are the packs.
    """
    from tunescape.training.schedules import shared_steps

    known: dict[str, float] = {}
    units: dict[str, list[str]] = {}
    for spec in specs:
        run = run_id(spec)
        known[run] = seconds[run] if seconds is not None else predict_seconds(spec)
        shares = shared_steps(spec, 1000) > 0
        members = units.setdefault(trajectory_id(spec) if shares else run, [])
        if run not in members:
            members.append(run)
    costs = {unit: max(known[run] for run in runs) for unit, runs in units.items()}
    packs: list[list[str]] = [[] for _ in range(max(1, min(n_packs, len(units))))]
    loads = [0.0] * len(packs)
    for unit in sorted(units, key=lambda name: (-costs[name], name)):
        lightest = loads.index(min(loads))
        packs[lightest] += units[unit]
        loads[lightest] += costs[unit]
    return sorted(sorted(pack) for pack in packs if pack)
