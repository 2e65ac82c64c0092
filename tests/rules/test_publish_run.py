"""publish_run: a run's own folder, with a card that our own reader reads back."""

from __future__ import annotations

from pathlib import Path

from tunescape.cards import parse_card
from tunescape.tables import read_json
from tunescape.training.run import finished_folder
from tunescape.training.runspec import run_id


def folders(finished: Path) -> list[Path]:
    found = sorted((finished / "results/runs").iterdir())
    assert len(found) == 8
    return found


def test_files_are_those_of_the_store(finished: Path) -> None:
    for folder in folders(finished):
        spec = read_json(folder / "spec.json")
        assert run_id(spec) == folder.name
        kept = finished_folder(finished / "work/runs", spec, "auto")
        for name in ("spec.json", "metrics.json", "timing.json", "history.csv", "model/README.md"):
            assert (folder / name).read_bytes() == (kept / name).read_bytes()


def test_metrics_have_their_errors_and_what_made_them(finished: Path) -> None:
    for folder in folders(finished):
        metrics = read_json(folder / "metrics.json")
        assert metrics["status"] == "ok" and metrics["n_eval"] == 60 and metrics["n_train"] == 24
        share = metrics["accuracy"]
        binomial = (share * (1 - share) / 60) ** 0.5
        assert abs(metrics["standard_errors"]["accuracy"] - binomial) < 1e-9
        assert metrics["versions"]["torch"] and metrics["train_digest"]
        assert read_json(folder / "timing.json")["examples_per_second"] > 0


def test_card_reads_back_to_the_same_numbers(finished: Path) -> None:
    for folder in folders(finished)[:2]:
        spec, metrics = read_json(folder / "spec.json"), read_json(folder / "metrics.json")
        record = parse_card((folder / "model/README.md").read_text(encoding="utf-8"))
        for name in ("learning_rate", "train_batch_size", "num_epochs", "seed"):
            assert record.number(name) == spec[name]
        for name in ("loss", "accuracy", "f1"):
            assert record.number(name) == metrics[name]
