"""Overhead of a search: what 20 sequential trials of a 1-second objective cost beyond the trials.

    python benchmarks/tuning.py [--trials 20] [--seconds 1.0] [--sampler tpe]

Each trial is a round of its own: the study is rebuilt from the files on disk, one point is asked,
its proposal written, the objective slept and its metrics written. Includes the imports.
Beside it Optuna's own loop over the same objective with an SQLite study. One core.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

STUDY: dict[str, Any] = {
    "name": "overhead",
    "task": {"dataset": "nyu-mll/glue", "subset": "mrpc", "text": ["sentence1", "sentence2"]},
    "model": "distilbert/distilbert-base-uncased",
    "factors": {
        "learning_rate": {"low": 1e-5, "high": 5e-5, "scale": "log"},
        "weight_decay": {"low": 0.0, "high": 0.1},
        "warmup_steps": {"low": 0, "high": 500},
    },
    "fixed": {"num_epochs": 3, "train_batch_size": 32},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--sampler", default="tpe", choices=("tpe", "gp", "random"))
    given = parser.parse_args()
    print("loop                    wall s   beyond the trials s      %")
    for name, run in (("rounds on disk", on_disk), ("Optuna, SQLite", peer)):
        slept = [0.0]
        started = time.perf_counter()
        run(given, slept)
        wall = time.perf_counter() - started
        over = wall - slept[0]
        print(f"{name:20s} {wall:9.2f} {over:21.2f} {100 * over / slept[0]:6.1f}")


def objective(seconds: float, slept: list[float], rate: float) -> float:
    started = time.perf_counter()
    time.sleep(seconds)
    slept[0] += time.perf_counter() - started
    return 0.86 - abs(rate - 2.5e-5)


def on_disk(given: argparse.Namespace, slept: list[float]) -> None:
    from tunescape.tables import write_json
    from tunescape.training.runspec import run_id
    from tunescape.tuning import rounds

    def train(specs: Sequence[Mapping[str, Any]], folders: Sequence[Path]) -> None:
        for spec, folder in zip(specs, folders, strict=True):
            value = objective(given.seconds, slept, spec["learning_rate"])
            metrics = {"run_id": run_id(spec), "status": "ok", "accuracy": value}
            write_json(metrics, folder / "metrics.json")

    stage = {"trials": given.trials, "parallel": 1, "sampler": given.sampler}
    with tempfile.TemporaryDirectory() as root:
        rounds.run_search({**STUDY, "stages": [{"bayes": stage}]}, root, "bayes", train)


def peer(given: argparse.Namespace, slept: list[float]) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = optuna.samplers
    sampler: Any = {
        "tpe": lambda: samplers.TPESampler(seed=0, multivariate=True),
        "gp": lambda: samplers.GPSampler(seed=0),
        "random": lambda: samplers.RandomSampler(seed=0),
    }[given.sampler]()

    def one(trial: Any) -> float:
        rate = trial.suggest_float("learning_rate", 1e-5, 5e-5, log=True)
        trial.suggest_float("weight_decay", 0.0, 0.1)
        trial.suggest_int("warmup_steps", 0, 500)
        return objective(given.seconds, slept, rate)

    with tempfile.TemporaryDirectory() as root:
        study = optuna.create_study(
            storage=f"sqlite:///{root}/study.db", sampler=sampler, direction="maximize"
        )
        study.optimize(one, n_trials=given.trials)


if __name__ == "__main__":
    main()
