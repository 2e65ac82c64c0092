"""Curves and bands, tables of a study, exports that other programs read, figures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from tunescape.figures import tuning as figures
from tunescape.tables import read_json, read_table, write_json, write_table, write_text
from tunescape.tuning import curves, export, interactive, lora, results, rounds
from tunescape.tuning.study import read_study
from tuning_objective import FACTORS, make_trainer, study_spec

STAGES = [
    {"screen": {"keep": 2}},
    {"grid": {"levels": 3}},
    {"bayes": {"trials": 8, "parallel": 4, "prior": "earlier_stages", "repeats": 2}},
    {"confirm": {"seeds": [101, 102, 103]}},
]
FILES = ("trials.csv", "table.csv", "curves.csv", "importance.csv", "history.csv", "summary.json")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    spec = study_spec(STAGES)
    rounds.run_study(spec, root, make_trainer())
    results.summarise_study(spec, root, *[root / name for name in FILES])
    return spec, root


# Curves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("maximise", [True, False])
def test_bands_cover_the_true_tuning_curve_at_all_n(maximise):
    ns = np.arange(1, 11)
    # The median best of n uniform draws is 0.5^(1/n), or one minus that.
    true = 0.5 ** (1 / ns) if maximise else 1 - 0.5 ** (1 / ns)
    inside = []
    for seed in range(200):
        values = np.random.default_rng(seed).random(12)
        curve = curves.tuning_curve(values, ns, maximise=maximise, level=0.8)
        assert np.all(curve.low <= curve.median) and np.all(curve.median <= curve.high)
        inside.append(np.all((curve.low <= true) & (true <= curve.high)))
    assert 0.76 <= np.mean(inside) <= 1.0


def test_best_so_far_passes_over_failed_runs():
    found = curves.best_so_far([np.nan, 0.2, np.nan, 0.1, 0.3])
    assert np.isnan(found[0]) and found[1:].tolist() == [0.2, 0.2, 0.2, 0.3]
    assert curves.best_so_far([0.3, 0.2, 0.4], maximise=False).tolist() == [0.3, 0.2, 0.2]


def test_runs_saved_are_timed_to_what_both_reach():
    warm, cold = [0.5, 0.9, 0.9, 0.9], [0.1, 0.2, 0.3, 0.8]
    assert curves.runs_saved(warm, cold) == 4 - 2
    assert curves.runs_saved(cold, warm) == -2
    assert curves.runs_saved([-v for v in warm], [-v for v in cold], maximise=False) == 2
    assert curves.runs_saved([np.nan], cold) is None


# The study's tables -----------------------------------------------------------------------------


def test_the_table_has_baseline_manual_and_automatic_with_intervals(done):
    _, root = done
    table = read_table(root / "table.csv").set_index("candidate")
    automatic = [f"bayes-{arm}-s{s}" for s in (1, 2) for arm in ("warm", "cold")]
    assert list(table.index) == ["baseline", "manual", *automatic]
    best = table.loc["manual"]
    assert best["gain"] > 0
    assert best["gain_low"] < best["gain_examples"] < best["gain_high"]
    assert best["gain_method"] == "binomial" and best["n_eval"] == 408
    assert best["corrected"] < best["found"] and "shrunk" in best["correction"]
    assert best["confirmed_low"] < best["confirmed"] < best["confirmed_high"]
    assert best["confirmed_examples"] > 0 and best["seeds"] == 3
    summary = read_json(root / "summary.json")
    assert any("free of the choice among seeds" in said for said in summary["statements"])
    assert any("the warm start" in said for said in summary["statements"])


def test_predictions_pair_the_gain_and_split_the_rows(done, tmp_path):
    spec, root = done
    shutil.copytree(root, tmp_path / "study")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100)
    for path in (tmp_path / "study").glob("*/round-*/trial-*/metrics.json"):
        right = rng.random(100) < read_json(path)["accuracy"]
        frame = pd.DataFrame({"label": labels, "prediction": np.where(right, labels, 1 - labels)})
        write_table(frame, path.with_name("predictions.csv"))
    study = read_study(spec)
    from tunescape.tuning.trials import read_trials

    table, notes = results.result_table(
        study, read_trials(study, tmp_path / "study"), tmp_path / "study"
    )
    share = np.bincount(labels).max() / 100
    assert f"commonest class has accuracy {share:.4f}" in notes[0]
    row = table.set_index("candidate").loc["bayes-cold-s1"]
    assert row["gain_method"] == "paired"
    assert "one half of the 100 rows" in row["correction"]


def test_importance_finds_the_factors_that_were_searched(done):
    _, root = done
    table = read_table(root / "importance.csv")
    kept = read_json(root / "screen/kept.json")["kept"]
    assert set(table["factor"]) == set(kept)
    assert (table["low"] <= table["high"]).all() and table["partial_r2"].is_monotonic_decreasing


def test_the_summary_is_the_same_bytes_again(done, tmp_path):
    spec, root = done
    results.summarise_study(spec, root, *[tmp_path / name for name in FILES])
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (root / name).read_bytes(), name


def test_history_of_the_best_has_every_epoch_of_its_seeds(done):
    _, root = done
    history = read_table(root / "history.csv")
    assert history.groupby("seed")["epoch"].apply(list).map(lambda e: e == [1, 2, 3]).all()
    assert {101, 102, 103} <= set(history["seed"])


# Exports ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(done):
    spec, root = done
    files = [root / "export" / name for name in ("study.log", "trials.csv", "configspace.csv")]
    export.export_search(spec, root, "bayes-warm-s1", *files)
    return files


def test_optuna_loads_the_journal(done, exported):
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(exported[0])))
    study = optuna.load_study(study_name="toy/bayes-warm-s1", storage=storage)
    trials = read_table(done[1] / "trials.csv")
    own = trials[trials["search"] == "bayes-warm-s1"]
    assert [trial.value for trial in study.trials] == own["value"].tolist()
    assert study.best_value == own["value"].max()
    assert study.trials[0].intermediate_values.keys() == {1, 2, 3}
    assert study.trials[0].user_attrs["run_id"] == own["run_id"].iloc[0]


def test_exports_are_the_same_bytes_again(done, exported, tmp_path):
    spec, root = done
    again = [tmp_path / path.name for path in exported]
    export.export_search(spec, root, "bayes-warm-s1", *again)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in exported]


def test_deepcaves_rules_hold_for_its_tables(exported):
    trials, space = pd.read_csv(exported[1]), pd.read_csv(exported[2])
    metrics = [name for name in trials.columns if name.startswith("metric")]
    pattern = r"metric:(\w+) \[(-?\d+\.?\d*|[-+]inf); (-?\d+\.?\d*|[-+]inf)\] \((\w+)\)"
    assert [re.match(pattern, name).groups() for name in metrics] == [
        ("accuracy", "0", "1", "maximize")
    ]
    assert set(trials["status"].str.upper()) <= {"SUCCESS", "CRASHED"}
    assert set(space["type"]) <= {"float", "integer", "categorical"}
    assert (space["distribution"] == "uniform").all()
    for row in space.to_dict("records"):
        assert trials[row["name"]].between(row["lower"], row["upper"]).all()
    assert {"config_id", "start_time", "end_time", "budget", "seed"} <= set(trials.columns)


def test_a_losss_bounds_are_spelled_as_deepcave_reads_them():
    assert export._bound(float("inf")) == "+inf" and export._bound(0.0) == "0"


def test_failed_runs_and_names_are_exported(tmp_path):
    factors = {**FACTORS, "schedule": {"values": ["linear", "cosine"]}}
    spec = study_spec([{"screen": {}}], factors=factors)

    def sometimes(run):
        return None if run["dropout"] == 0.3 else 0.8

    rounds.run_search(spec, tmp_path, "screen", make_trainer(sometimes))
    files = [tmp_path / name for name in ("study.log", "trials.csv", "configspace.csv")]
    export.export_search(spec, tmp_path, "screen", *files)
    space = read_table(files[2]).set_index("name")
    assert space.loc["schedule", ["default", "item_0", "item_1"]].tolist() == [
        "cosine", "cosine", "linear",
    ]  # fmt: skip
    assert '"state":3' in files[0].read_text()


# LoRA -------------------------------------------------------------------------------------------


def test_lora_tables_take_one_factor_at_a_time(tmp_path):
    rows, histories, folders = [], [], []
    levels = [(2000, 16), (25000, 16), (2000, 1), (2000, 8)]
    for point, (size, rank) in enumerate(levels):
        for seed in (1, 2):
            run = f"a{point}{seed}b" * 4
            rows.append(
                {"run_id": run, "seed": seed, "train_size": size, "lora_r": rank, "status": "ok",
                 "loss": 0.3 + 0.01 * seed, "f1": 0.85 + size / 1e6 + 0.001 * seed,
                 "n_train": size, "n_eval": 500}
            )  # fmt: skip
            histories += [
                {"run_id": run, "seed": seed, "train_size": size, "lora_r": rank, "epoch": e,
                 "train_loss": 0.7 / e, "loss": 0.6 / e}
                for e in (1, 2, 3)
            ]  # fmt: skip
            folder = tmp_path / run
            write_json({"train_seconds": size / 10 + seed, "examples_per_second": 10.0},
                       folder / "timing.json")  # fmt: skip
            write_json({"eval_digest": "abc"}, folder / "metrics.json")
            folders.append(folder)
    write_table(pd.DataFrame(rows), tmp_path / "runs.csv")
    write_table(pd.DataFrame(histories), tmp_path / "history.csv")
    outs = [tmp_path / n for n in ("losses.csv", "sizes.csv", "ranks.csv", "summary.json")]
    spec = {"name": "imdb-lora", "baseline": {"train_size": 2000, "lora_r": 16}}
    lora.write_lora_tables(tmp_path / "runs.csv", tmp_path / "history.csv", folders, *outs, spec)
    losses, sizes, ranks = (read_table(path) for path in outs[:3])
    assert sizes["train_size"].tolist() == [2000, 25000] and sizes["runs"].tolist() == [2, 2]
    assert sizes["seconds"].tolist() == [201.5, 2501.5]
    assert ranks["lora_r"].tolist() == [1, 8, 16]
    assert (ranks["loss_low"] < ranks["loss"]).all()
    one = losses[(losses["train_size"] == 2000) & (losses["lora_r"] == 16)]
    assert one["epoch"].tolist() == [1, 2, 3] and one["loss"].tolist() == [0.6, 0.3, 0.6 / 3]
    said = read_json(outs[3])
    assert said["same_evaluation_rows"] and "by seed +0.0230" in said["statements"][1]
    assert "no effect shown" not in said["statements"][1]
    assert said["statements"][2].endswith("of 2 seeds: no effect shown)")
    write_json({"eval_digest": "other"}, folders[0] / "metrics.json")
    lora.write_lora_tables(tmp_path / "runs.csv", tmp_path / "history.csv", folders, *outs, spec)
    assert "cannot be compared" in read_json(outs[3])["statements"][0]


# Figures ----------------------------------------------------------------------------------------


def test_all_figures_are_drawn_the_same_twice(done, tmp_path):
    _, root = done
    inputs = {name: root / f"{name}.csv" for name in ("curves", "trials", "history")}
    inputs |= {"effects": root / "screen/effects.csv", "summary": root / "summary.json"}
    told = {"metric": "accuracy", "maximise": True, "factors": list(FACTORS), "dpi": 80}
    figures.draw_tuning(inputs, [tmp_path / f"a/{kind}.svg" for kind in figures.KINDS], told)
    figures.draw_tuning(inputs, [tmp_path / "b/parallel.svg", tmp_path / "b/half_normal.svg"], told)
    for path in (tmp_path / "a").iterdir():
        ElementTree.fromstring(path.read_bytes())
    for path in (tmp_path / "b").iterdir():
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()
    text = (tmp_path / "a/parallel.svg").read_text()
    assert "higher accuracy" in text and "learning rate" in text


def test_parallel_data_leaves_constant_factors_out_and_escapes_text(done):
    _, root = done
    trials = read_table(root / "trials.csv")
    assert "confirm" in set(trials["search"])
    trials.loc[0, "search"] = "</script><script>alert(1)</script>"
    data = interactive.parallel_data(trials, list(FACTORS), "accuracy", True)
    assert data["axes"][-1]["said"] == "accuracy"
    assert data["rows"] and "confirm" not in data["searches"]
    snippet = interactive.parallel_snippet(data, "toy")
    assert snippet.count("</script>") == 2 and "alert(1)</script>" not in snippet
    assert "http" not in snippet.replace("http://www.w3.org/2000/svg", "")
    embedded = re.search(r'application/json">(.*?)</script>', snippet, re.S).group(1)
    assert json.loads(embedded) == data
    with pytest.raises(ValueError):
        interactive.parallel_snippet(data, "a b")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
def test_the_snippets_script_is_javascript(done, tmp_path):
    _, root = done
    data = interactive.parallel_data(read_table(root / "trials.csv"), list(FACTORS), "loss", False)
    script = interactive.parallel_snippet(data).split("<script>")[1].split("</script>")[0]
    write_text(script, tmp_path / "snippet.js")
    subprocess.run(["node", "--check", str(tmp_path / "snippet.js")], check=True)
