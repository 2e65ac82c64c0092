"""The canonical run specification: one form, one id, clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tunescape.errors import UserError
from tunescape.training.packing import (
    make_packs,
    predict_memory_mb,
    predict_seconds,
    predict_sweep_seconds,
)
from tunescape.training.runspec import complete, identity, normalise, run_id, step_counts

TASK = {"dataset": "nyu-mll/glue", "subset": "sst2"}


def spec(**changes: object) -> dict[str, object]:
    return normalise({"model": "distilbert/distilbert-base-uncased", "task": TASK, **changes})


def test_canonical_form_is_plain_and_stable() -> None:
    first = spec(num_epochs=3.0, train_batch_size=16.0, learning_rate=1e-4)
    assert json.loads(json.dumps(first)) == first
    assert normalise(first) == first
    assert first["num_epochs"] == 3 and isinstance(first["train_batch_size"], int)
    assert spec(num_epochs=2.5)["num_epochs"] == 2.5


def test_id_ignores_spelling_names_and_outputs() -> None:
    base = run_id(spec(learning_rate=1e-4, seed=1))
    assert base == run_id(spec(seed=1, learning_rate=0.0001, num_epochs=3.0))
    assert base == run_id(spec(seed=1, learning_rate=1e-4, keep="weights"))
    assert base == run_id(spec(seed=1, learning_rate=1e-4, task={**TASK, "name": "other"}))
    assert len(base) == 16


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2}, {"learning_rate": 2e-5}, {"train_batch_size": 8}, {"num_epochs": 4},
        {"weight_decay": 0.1}, {"warmup_steps": 3}, {"warmup_ratio": 0.1}, {"schedule": "wsd"},
        {"adam_epsilon": 1e-6}, {"max_grad_norm": 0.5}, {"dropout": 0.2}, {"max_length": 64},
        {"train_size": 100}, {"method": "lora"}, {"precision": "bf16"}, {"eval_batch_size": 8},
        {"model": {"source": "distilbert/distilbert-base-uncased", "revision": "abc"}},
        {"task": {"dataset": "nyu-mll/glue", "subset": "mrpc"}},
    ],
)  # fmt: skip
def test_id_changes_with_everything_that_can_change_a_metric(change: dict[str, object]) -> None:
    assert run_id(spec(**change)) != run_id(spec())


def test_id_follows_the_bytes_of_local_data_and_not_their_place(tmp_path: Path) -> None:
    ids = []
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        for split in ("train", "dev"):
            (tmp_path / f"{name}-{split}.tsv").write_text(f"sentence\tlabel\n{text}\t0\n")
        files = {
            "train": str(tmp_path / f"{name}-train.tsv"),
            "validation": str(tmp_path / f"{name}-dev.tsv"),
        }
        ids.append(run_id(complete({"model": "a/b", "task": {"files": files}})))
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rat": 1}, "did you mean 'learning_rate'"),
        ({"learning_rate": 0}, "a number above 0"),
        ({"learning_rate": "1e-4"}, "a number above 0"),
        ({"learning_rate": float("nan")}, "a number above 0"),
        ({"train_batch_size": 2.5}, "whole number"),
        ({"train_batch_size": True}, "whole number"),
        ({"num_epochs": 0}, "above 0"),
        ({"schedule": "step"}, "linear, cosine, constant or wsd"),
        ({"warmup_steps": 1, "warmup_ratio": 0.1}, "both warmup_steps and warmup_ratio"),
        ({"lora_r": 8}, "method is 'full'"),
        ({"dropout": 1.0}, "below 1"),
        ({"task": {}}, "exactly one of 'dataset' and 'files'"),
        ({"task": {"files": {"train": "a.tsv"}}}, "no evaluation data"),
        ({"task": {"files": {"train": "a.pkl"}, "holdout": 0.1}}, ".parquet"),
        ({"task": {"dataset": "x", "txt": ["a"]}}, "did you mean 'text'"),
        ({"model": 3}, "Hub id"),
    ],
)
def test_refusals_say_what_is_right(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=f"(?i){said}"):
        spec(**change)


def test_steps_are_counted_as_trainer_does() -> None:
    assert step_counts(100, 32, 3) == (4, 12)
    assert step_counts(100, 32, 2.5) == (4, 10)
    assert step_counts(5, 8, 1) == (1, 1)


def test_packs_have_equal_cost_and_ignore_order() -> None:
    specs = [spec(seed=seed, learning_rate=rate) for seed in range(6) for rate in (1e-5, 1e-4)]
    seconds = {run_id(s): float(index + 1) for index, s in enumerate(specs)}
    packs = make_packs(specs, 3, seconds)
    assert packs == make_packs(specs[::-1], 3, seconds)
    assert sorted(run for pack in packs for run in pack) == sorted(seconds)
    loads = [sum(seconds[run] for run in pack) for pack in packs]
    assert max(loads) - min(loads) <= 1
    assert make_packs(specs[:1], 5) == [[run_id(specs[0])]]


def test_runs_of_one_trajectory_stay_together() -> None:
    specs = [spec(schedule="constant", num_epochs=n, seed=s) for n in (1, 2, 3) for s in (1, 2)]
    packs = make_packs(specs, 2)
    assert [len(pack) for pack in packs] == [3, 3]


def test_cost_grows_with_work() -> None:
    small, large = spec(num_epochs=1), spec(num_epochs=4)
    assert predict_seconds(large) > 2 * predict_seconds(small)
    assert predict_seconds(spec(train_size=100)) < predict_seconds(small)
    assert predict_sweep_seconds([small, large], 2) < predict_sweep_seconds([small, large], 1)
    assert 1000 < predict_memory_mb(small) < predict_memory_mb(spec(train_batch_size=256))


def test_only_an_adapter_can_be_merged() -> None:
    assert spec(method="lora", keep="merged")["keep"] == "merged"
    with pytest.raises(UserError, match="there is no adapter to merge"):
        spec(keep="merged")


def test_all_evaluation_rows_is_the_same_run_as_before() -> None:
    task = {"name": "t", "dataset": "d", "validation_size": None}
    assert "validation_size" not in identity(spec(task=task))["task"]
    some = spec(task={**task, "validation_size": 100})
    assert run_id(some) != run_id(spec(task=task))
