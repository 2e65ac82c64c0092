"""A study of an analytic objective, whose trials take no time, for the tests of tuning."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tunescape.tables import read_json, write_json, write_text
from tunescape.training.runspec import run_id

FACTORS: dict[str, Any] = {
    "learning_rate": {"low": 1e-5, "high": 2e-4, "scale": "log", "baseline": 5e-5},
    "weight_decay": {"low": 0.0, "high": 0.2, "baseline": 0.01},
    "warmup_steps": {"low": 0, "high": 500, "baseline": 50},
    "dropout": {"low": 0.0, "high": 0.3, "baseline": 0.1},
    "max_grad_norm": {"low": 0.5, "high": 2.0, "baseline": 1.0},
}


def study_spec(stages: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "name": "toy",
        "task": {"dataset": "nyu-mll/glue", "subset": "mrpc", "text": ["sentence1", "sentence2"]},
        "model": "distilbert/distilbert-base-uncased",
        "factors": FACTORS,
        "fixed": {"num_epochs": 3, "train_batch_size": 32},
        "seeds": [42],
        "stages": list(stages),
    }
    return spec | changes


def noise_of(spec: Mapping[str, Any]) -> float:
    """The same number in -1..1 for the same run, whatever the machine and the order."""
    told = json.dumps(dict(spec), sort_keys=True).encode()
    return int(hashlib.sha256(told).hexdigest()[:8], 16) / 2**31 - 1


def accuracy(spec: Mapping[str, Any], noise: float = 0.001) -> float:
    """Best at a learning rate of 2.5e-5, a weight decay of 0.05 and 100 warm-up steps."""
    value = 0.86
    value -= 0.03 * math.log10(spec["learning_rate"] / 2.5e-5) ** 2
    value -= 1e-7 * (spec["warmup_steps"] - 100) ** 2
    value -= 0.5 * (spec["weight_decay"] - 0.05) ** 2
    return value + noise * noise_of(spec)


def make_trainer(
    objective: Callable[[Mapping[str, Any]], float | None] = accuracy, limit: int | None = None
) -> Callable[[Sequence[Mapping[str, Any]], Sequence[Path]], None]:
    """Write the files of trials as training would; ``limit`` dies after so many trials."""
    left = [limit]

    def train(specs: Sequence[Mapping[str, Any]], folders: Sequence[Path]) -> None:
        for spec, folder in zip(specs, folders, strict=True):
            if left[0] is not None:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
            value = objective(spec)
            run = {"schema": 1, "run_id": run_id(spec)}
            if value is None:
                write_json({**run, "status": "failed", "error": "nan"}, folder / "metrics.json")
                continue
            epochs = int(spec["num_epochs"])
            rows = [
                f"{e},{e * 100},1e-05,0.5,{1 - value!r},{value - 0.02 * (epochs - e)!r}"
                for e in range(1, epochs + 1)
            ]
            header = "epoch,step,learning_rate,train_loss,loss,accuracy"
            write_text("\n".join([header, *rows]) + "\n", folder / "history.csv")
            metrics = {**run, "status": "ok", "accuracy": value, "loss": 1 - value}
            metrics |= {"n_eval": 408, "steps": 100 * epochs}
            write_json(metrics, folder / "metrics.json")

    return train


def proposals(root: Path) -> dict[str, Any]:
    """Every round's file below an experiment's folder, by its place."""
    paths = sorted(root.glob("*/round-*.json"))
    return {path.relative_to(root).as_posix(): read_json(path) for path in paths}


def proposed(root: Path) -> list[dict[str, Any]]:
    """Every place of every round, empty ones too."""
    return list(chain.from_iterable(one["trials"] for one in proposals(root).values()))
