"""Figures of an experiment: n and levels named, agreement and its absence said, stable bytes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from experiment_tables import Written, experiment, regress_runs, write_contrast, write_experiment
from study_tables import FACTORS
from tunescape.figures import style
from tunescape.figures.contrast import draw_contrast
from tunescape.figures.design import diagnostic_lines, draw_design, factor_columns
from tunescape.figures.learning import draw_learning, level_names
from tunescape.figures.of_experiment import draw_experiment
from tunescape.figures.of_regression import draw_analysis
from tunescape.tables import read_json, read_table

LABELS = {"hub": "published", "experiment": "ours"}


def texts(svg: Path) -> list[str]:
    root = ET.fromstring(svg.read_bytes())
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("experiment")
    return write_experiment(folder, experiment(folder))


def make(tmp_path: Path, **changes: Any) -> Written:
    return write_experiment(tmp_path, experiment(tmp_path, **changes))


def draw_both(written: Written, out: Path, suffixes: tuple[str, ...] = ("svg",)) -> list[Path]:
    files = [out / f"{kind}.{suffix}" for kind in ("design", "learning") for suffix in suffixes]
    tables = written.tables("design.csv", "diagnostics.csv", "design.json", "history.csv")
    draw_experiment(*tables, files, {"dpi": 80})
    return files


@pytest.fixture(scope="module")
def drawn(written: Written, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return draw_both(written, tmp_path_factory.mktemp("drawn"), ("svg", "png"))


def test_same_bytes_again_and_readable_at_print_size(
    written: Written, drawn: list[Path], tmp_path: Path
) -> None:
    again = draw_both(written, tmp_path, ("svg", "png"))
    for one, two in zip(drawn, again, strict=True):
        assert one.read_bytes() == two.read_bytes()
        if one.suffix == ".svg":
            sizes = [float(s) for s in re.findall(r"font-size: ([\d.]+)px", one.read_text())]
            assert min(sizes) >= 5.0 and max(sizes) <= 9.0
            width = float(re.search(r'width="([\d.]+)pt"', one.read_text())[1])
            assert width <= 72 * style.PAGE_WIDTH + 0.01


def test_design_shows_replicates_and_what_it_can_tell(written: Written, drawn: list[Path]) -> None:
    said = texts(drawn[0])
    assert any("n = 15 runs" in t for t in said)
    # Three pairs of factors: 9 places each, whose numbers of runs add up to all runs.
    numbers = [int(t) for t in said if t in ("1", "2", "3")]
    assert numbers.count(3) >= 3
    summary = read_json(written.folder / "design.json")
    assert f"D-efficiency {summary['d_efficiency']:.2f}" in said
    assert f"condition number {summary['condition']:.1f}" in said
    facts, effects = diagnostic_lines(summary, read_table(written.folder / "diagnostics.csv"))
    assert "10 of 10 terms estimable" in facts
    assert sum(line.count(",") + 1 for line in effects[1:]) == 9


def test_terms_that_a_design_cannot_estimate_are_named(tmp_path: Path) -> None:
    made = make(tmp_path, design={"kind": "ofat"})
    tables = made.tables("design.csv", "diagnostics.csv", "design.json")
    draw_design(*tables, [tmp_path / "d.svg"], {})
    said = " ".join(texts(tmp_path / "d.svg"))
    assert "not estimable:" in said and "learning rate × epochs" in said
    assert "D-efficiency 0.00" in said


@pytest.mark.parametrize(
    ("design", "more"),
    [
        ({"kind": "latin_hypercube", "points": 9}, {"schedule": {"values": ["linear", "cosine"]}}),
        ({"kind": "sobol", "points": 8}, {"weight_decay": {"low": 0.0, "high": 0.1}}),
    ],
)
def test_many_factors_and_names(
    design: dict[str, Any], more: dict[str, Any], tmp_path: Path
) -> None:
    varied = {**experiment(tmp_path)["factors"], "dropout": {"low": 0.0, "high": 0.3}, **more}
    made = make(tmp_path / "x", design=design, factors=varied, fixed={})
    files = draw_both(made, tmp_path / "out")
    for name in varied:
        assert all(any(style.wording(name) in t for t in texts(f)) for f in files), name


def test_one_factor(tmp_path: Path) -> None:
    varied = {"learning_rate": experiment(tmp_path)["factors"]["learning_rate"]}
    made = make(tmp_path / "x", design={"kind": "factorial", "levels": 3}, factors=varied, fixed={})
    said = texts(draw_both(made, tmp_path / "out")[0])
    assert "runs" in said and any("n = 3 runs" in t for t in said)


def test_learning_curves_name_levels_with_their_runs(drawn: list[Path]) -> None:
    path = drawn[2]
    said = texts(path)
    for factor in ("learning rate", "epochs", "train batch size"):
        assert f"{factor}: n = 15 runs" in said
    assert {"3e−5 (4)", "9.49e−5 (7)", "3e−4 (4)", "8 (4)", "32 (4)"} <= set(said)
    assert "evaluation loss" in said and "evaluation accuracy" in said
    # One thin line a run in every panel: two metrics, three factors.
    thin = re.findall(r"stroke-opacity: 0\.4", path.read_text())
    assert len(thin) == 15 * 6


def test_factors_with_many_settings_are_cut_into_thirds() -> None:
    history = pd.DataFrame({"run_id": list("abcdefghi"), "dropout": np.arange(9) / 10})
    levels = level_names(history, "dropout")
    assert list(levels.cat.categories) == ["0 to 0.2", "0.3 to 0.5", "0.6 to 0.8"]
    assert levels.value_counts().to_list() == [3, 3, 3]
    few = level_names(history.assign(dropout=[0.1, 0.2, 0.3] * 3), "dropout")
    assert list(few.cat.categories) == ["0.1", "0.2", "0.3"]


def test_no_history_is_said(written: Written, tmp_path: Path) -> None:
    read_table(written.folder / "history.csv").head(0).to_csv(tmp_path / "h.csv", index=False)
    draw_learning(tmp_path / "h.csv", [tmp_path / "l.svg"], {})
    assert any("n = 0" in t for t in texts(tmp_path / "l.svg"))


def test_factor_columns_follow_the_seed(written: Written) -> None:
    for name in ("design.csv", "runs.csv", "history.csv"):
        columns = read_table(written.folder / name).columns
        assert factor_columns(columns) == ["learning_rate", "num_epochs", "train_batch_size"], name


def test_contrast_says_agreement_of_each_term(written: Written, tmp_path: Path) -> None:
    place = write_contrast(written, tmp_path, "accuracy")
    spec = {"metric": "accuracy", "labels": LABELS}
    draw_contrast(place / "contrast.csv", [tmp_path / "c.svg"], spec)
    said = texts(tmp_path / "c.svg")
    table = read_table(place / "contrast.csv")
    table = table[table["kind"] != "intercept"]
    same = int(table["same_sign"].astype(bool).sum())
    assert f"9 of 9 terms compared, {same} of them with the same sign" in said
    assert sum(t.startswith("= same sign") for t in said) == same
    assert sum(t.startswith("≠ opposite sign") for t in said) == 9 - same
    assert {"published", "ours", "combined"} <= set(said)
    assert sum("(Holm)" in t for t in said) == int(table["p_holm"].notna().sum())


def test_terms_that_cannot_be_compared_are_named_with_the_reason(
    written: Written, tmp_path: Path
) -> None:
    place = write_contrast(written, tmp_path, "accuracy", aliased=True)
    draw_contrast(place / "contrast.csv", [tmp_path / "c.svg"], {"metric": "accuracy"})
    said = " ".join(texts(tmp_path / "c.svg"))
    table = read_table(place / "contrast.csv")
    lost = table[~table["comparable"] & (table["kind"] != "intercept")]
    assert len(lost) and said.count("not compared:") == len(lost)
    assert "cannot estimate it: it equals" in said and "epochs²" in said


def test_a_hub_that_dwarfs_the_experiment_leaves_the_plot_as_an_arrow(
    written: Written, tmp_path: Path
) -> None:
    table = read_table(write_contrast(written, tmp_path, "accuracy") / "contrast.csv")
    hub = [
        c
        for c in table
        if c.startswith("hub_") and c.split("_", 1)[1] in ("estimate", "ci_low", "ci_high")
    ]
    table.loc[table["term"] == "learning_rate", hub] = [50.0, 40.0, 60.0]
    table.to_csv(tmp_path / "c.csv", index=False)
    draw_contrast(tmp_path / "c.csv", [tmp_path / "c.svg"], {"metric": "accuracy"})
    assert "50" in texts(tmp_path / "c.svg")


def test_nothing_to_compare_is_said(written: Written, tmp_path: Path) -> None:
    place = write_contrast(written, tmp_path, "accuracy", rows=1)
    draw_contrast(place / "contrast.csv", [tmp_path / "c.svg"], {"metric": "accuracy"})
    assert "accuracy: the two samples cannot be compared" in texts(tmp_path / "c.svg")


def test_figures_of_its_regression_speak_of_runs(written: Written, tmp_path: Path) -> None:
    place = regress_runs(written, "accuracy")
    files = [tmp_path / f"{kind}.svg" for kind in ("scatter", "regression", "forest")]
    spec = {"metric": "accuracy", "factors": dict(FACTORS), "unit": "run"}
    tables = [place / n for n in ("coefficients.csv", "fit.json", "diagnostics.csv")]
    draw_analysis(written.folder / "features.parquet", *tables, files, spec)
    for path in files:
        said = " ".join(texts(path))
        assert "13 configurations" in said, path.name
        assert "owner" not in said and "models" not in said, path.name
