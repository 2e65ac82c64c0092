"""Searches that really train, on a tiny model: killed and resumed, pruned, taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_models import save_model, write_rows
from tunescape.tables import read_json
from tunescape.training.run import PackOptions, train_pack
from tunescape.tuning import rounds
from tunescape.tuning.study import read_study
from tunescape.tuning.trials import read_trials
from tuning_objective import proposals

SCRIPT = """
import json, sys
from tunescape.training.run import PackOptions, train_pack
from tunescape.tuning import rounds

spec, root, work, cache = json.loads(sys.argv[1])
options = PackOptions(cache_dir=cache, record_failures=True)
rounds.run_study(spec, root, lambda specs, folders: train_pack(specs, folders, work, options))
"""
SAME = ("spec.json", "metrics.json", "history.csv")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuning")
    save_model(folder / "m", "distilbert")
    write_rows(folder / "train.tsv", 48, 0)
    write_rows(folder / "dev.tsv", 40, 1)
    return folder


def spec_of(place: Path, stages: list[dict[str, Any]], **fixed: Any) -> dict[str, Any]:
    files = {"train": str(place / "train.tsv"), "validation": str(place / "dev.tsv")}
    return {
        "name": "tiny",
        "task": {"name": "words", "files": files},
        "model": str(place / "m"),
        "factors": {
            "learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"},
            "weight_decay": {"low": 0.0, "high": 0.1},
        },
        "fixed": {"num_epochs": 2, "train_batch_size": 8, "max_length": 16, **fixed},
        "seeds": [7],
        "stages": stages,
    }


def run(spec: dict[str, Any], place: Path, name: str) -> Path:
    root, work = place / name, place / f"{name}-work"
    options = PackOptions(
        cache_dir=str(place / "cache"), record_failures=True, keep_states=True, keep_finished=True
    )
    rounds.run_study(spec, root, lambda specs, folders: train_pack(specs, folders, work, options))
    return root


STAGES: list[dict[str, Any]] = [
    {"screen": {"keep": 1, "replicates": 2}},
    {"bayes": {"trials": 4, "parallel": 2, "prior": "earlier_stages"}},
    {"confirm": {"seeds": [101]}},
]


def test_a_study_killed_while_training_ends_as_an_undisturbed_one(place: Path) -> None:
    spec = spec_of(place, STAGES)
    whole = run(spec, place, "whole")
    root, work = place / "killed", place / "killed-work"
    told = json.dumps([spec, str(root), str(work), str(place / "cache")])
    paths = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", SCRIPT, told]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})
    inside = root / "bayes-warm/round-1/trial-2/metrics.json"
    deadline = time.monotonic() + 120
    while not inside.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert inside.is_file()
    assert not (root / "confirm").exists(), "it was killed before its end"
    before = {p: p.stat().st_mtime_ns for p in root.glob("*/round-*/trial-*/metrics.json")}
    run(spec, place, "killed")
    assert proposals(root) == proposals(whole)
    for path in whole.glob("*/round-*/trial-*/metrics.json"):
        for name in SAME:
            mine = root / path.relative_to(whole).with_name(name)
            assert mine.read_bytes() == path.with_name(name).read_bytes()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


def test_promoted_trials_continue_the_shorter_ones(place: Path) -> None:
    stage = {"bayes": {"trials": 4, "parallel": 4, "pruning": {"reduction": 2, "min_epochs": 1}}}
    spec = spec_of(place, [stage], num_epochs=4, schedule="constant")
    root = run(spec, place, "pruned")
    trials = read_trials(read_study(spec), root)
    assert [len(t.history) for t in trials] == [1, 1, 1, 1, 2, 2, 4]
    by_place = {t.place: t for t in trials}
    for trial in trials:
        if trial.parent:
            parent = by_place[trial.parent]
            assert trial.history[: len(parent.history)] == parent.history
    last = root / "bayes/round-3/trial-1/timing.json"
    assert read_json(last)["resumed_from_step"] > 0


def test_a_run_that_fails_is_recorded_and_the_search_goes_on(place: Path) -> None:
    stages: list[dict[str, Any]] = [
        {"grid": {"levels": {"train_size": [1, 40]}, "factors": ["train_size"]}},
        {"bayes": {"trials": 2, "parallel": 2, "sampler": "random", "factors": ["learning_rate"]}},
    ]
    spec = spec_of(place, stages)
    spec["factors"]["train_size"] = {"low": 1, "high": 40, "baseline": 40}
    root = run(spec, place, "failing")
    trials = read_trials(read_study(spec), root)
    assert [t.status for t in trials] == ["failed", "ok", "ok", "ok"]
    assert "one class" in read_json(root / "grid/round-1/trial-1/metrics.json")["error"]
