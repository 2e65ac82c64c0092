"""Figures: the same bytes each time, n on every panel, honest where nothing can be estimated."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_tables import BASELINE, FACTORS, analyse, models, regression_spec
from tunescape.errors import UserError
from tunescape.figures import style
from tunescape.figures.correlation import correlate, correlation_columns, draw_correlation
from tunescape.figures.coverage import draw_coverage
from tunescape.figures.flow import draw_flow, flow_steps
from tunescape.figures.forest import draw_forest
from tunescape.figures.of_regression import REGRESSION_KINDS, draw_analysis
from tunescape.figures.regression import draw_regression, held_values
from tunescape.figures.sample import largest_owners, make_sample, read_fitted
from tunescape.figures.scatter import draw_scatter, spread_ties
from tunescape.schemas import COVERAGE_COLUMNS

ROOT = Path(__file__).resolve().parents[2]


def texts(svg: Path) -> list[str]:
    """The text of a drawing, element by element."""
    root = ET.fromstring(svg.read_bytes())
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full-rank regression of 90 models of many owners."""
    folder = tmp_path_factory.mktemp("sound")
    return analyse(models(90, seed=1), folder, "accuracy", "absolute")


@pytest.fixture(scope="module")
def deficient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two learning rates and one number of epochs, nearly all of one owner."""
    frame = models(40, seed=2)
    frame["learning_rate"] = np.where(frame["learning_rate"] > 3e-5, 5e-5, 2e-5)
    frame["num_epochs"] = np.where(np.arange(40) % 2, 3.0, 5.0)
    frame["owner"] = ["one"] * 38 + ["two", "three"]
    return analyse(frame, tmp_path_factory.mktemp("deficient"), "accuracy", "absolute")


def draw_all(folder: Path, out: Path, view: str = "absolute") -> dict[str, Path]:
    files = [out / f"{kind}.{suffix}" for kind in REGRESSION_KINDS for suffix in ("svg", "png")]
    draw_analysis(
        folder / "sample.parquet",
        folder / "coefficients.csv",
        folder / "fit.json",
        folder / "diagnostics.csv",
        files,
        regression_spec("accuracy", view),
    )
    return {f.name: f for f in files}


@pytest.fixture(scope="module")
def drawn(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Its figures."""
    return draw_all(sound, tmp_path_factory.mktemp("drawn"))


def test_same_bytes_again(sound: Path, drawn: dict[str, Path], tmp_path: Path) -> None:
    first, second = drawn, draw_all(sound, tmp_path)
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes(), name
        assert b"Matplotlib" not in path.read_bytes() and b"<dc:date>" not in path.read_bytes()


def test_svg_does_not_depend_on_other_formats(sound: Path, tmp_path: Path) -> None:
    args = (sound / "coefficients.csv", sound / "fit.json")
    draw_forest(*args, [tmp_path / "a.svg"], {})
    draw_forest(*args, [tmp_path / "b.png", tmp_path / "b.svg"], {"dpi": 90})
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_every_panel_states_n(sound: Path, drawn: dict[str, Path]) -> None:
    n = len(pd.read_csv(sound / "diagnostics.csv"))
    curves = [t for t in texts(drawn["regression.svg"]) if f"n = {n}" in t]
    assert len(curves) == 2 * len(FACTORS)  # each curve panel and each residual panel
    assert sum("R²" in t for t in texts(drawn["regression.svg"])) == len(FACTORS)
    assert sum(bool(re.match(r"n = \d", t)) for t in texts(drawn["scatter.svg"])) == len(FACTORS)
    terms = 1 + 3 + 6
    assert sum(bool(re.match(r"n \d", t)) for t in texts(drawn["correlation.svg"])) == terms**2
    assert any(f"n = {n}" in t and "rank 10 of 10" in t for t in texts(drawn["forest.svg"]))


def test_fonts_are_readable_at_print_size(drawn: dict[str, Path]) -> None:
    for name, path in drawn.items():
        if name.endswith(".svg"):
            sizes = [float(s) for s in re.findall(r"font-size: ([\d.]+)px", path.read_text())]
            assert min(sizes) >= 5.0 and max(sizes) <= 9.0, name
            width = float(re.search(r'width="([\d.]+)pt"', path.read_text())[1])
            assert width <= 72 * style.PAGE_WIDTH + 0.01


def test_undetermined_curve_is_said_not_drawn(deficient: Path, tmp_path: Path) -> None:
    draw_regression(deficient / "fit.json", deficient / "diagnostics.csv", [tmp_path / "r.svg"], {})
    said = " ".join(texts(tmp_path / "r.svg"))
    assert "single settings only" in said or "not estimable" in said
    draw_forest(deficient / "coefficients.csv", deficient / "fit.json", [tmp_path / "f.svg"], {})
    forest = texts(tmp_path / "f.svg")
    table = pd.read_csv(deficient / "coefficients.csv")
    assert forest.count("not estimable") == int((~table["estimable"]).sum()) > 0
    assert "no cluster-robust (CR3) interval" in forest
    assert any("one (38 of 40)" in t for t in texts(tmp_path / "r.svg"))


def test_curve_of_aliased_factor_is_not_estimable(tmp_path: Path) -> None:
    frame = models(40, seed=3)
    # Epochs follow the batch size, so that no slice over either is determined.
    frame["num_epochs"] = np.log(frame["train_batch_size"]) * 2
    folder = analyse(frame, tmp_path, "accuracy", "absolute")
    draw_regression(folder / "fit.json", folder / "diagnostics.csv", [tmp_path / "r.svg"], {})
    said = " ".join(texts(tmp_path / "r.svg"))
    assert "curve at" in said
    found = read_fitted(folder / "fit.json", folder / "diagnostics.csv")
    assert found.fit is not None and found.fit.aliased
    assert "single settings only" in said or "cannot tell apart" in said


@pytest.mark.parametrize("rows", [0, 6])
def test_too_few_models_still_give_every_figure(rows: int, tmp_path: Path) -> None:
    folder = analyse(models(rows, seed=4), tmp_path, "accuracy", "absolute")
    drawn = draw_all(folder, tmp_path / "out")
    for name, path in drawn.items():
        assert path.stat().st_size > 300, name
        if path.suffix == ".svg":
            assert f"n = {rows}" in " ".join(texts(path)) or f"n {rows}" in " ".join(texts(path))
    assert any("not fitted" in t for t in texts(drawn["forest.svg"]))


def test_rebuilt_fit_is_the_regression(sound: Path) -> None:
    found = read_fitted(sound / "fit.json", sound / "diagnostics.csv")
    table = pd.read_csv(sound / "coefficients.csv").set_index("term")["estimate"]
    assert found.fit is not None
    for name, value in zip(found.fit.columns, found.fit.coef, strict=True):
        assert value == pytest.approx(table[name], rel=1e-12)


def test_relative_values_are_ratios_and_differences() -> None:
    frame = models(5, seed=5)
    rows = make_sample(frame, "accuracy", "relative", dict(FACTORS), BASELINE["values"])
    np.testing.assert_allclose(rows.values["learning_rate"], frame["learning_rate"] / 1e-5)
    np.testing.assert_allclose(rows.values["num_epochs"], frame["num_epochs"] - 3)
    np.testing.assert_allclose(rows.response, frame["accuracy"] - 0.9106)
    assert rows.said("num_epochs") == "epochs − baseline"


def test_relative_view_marks_the_baseline(tmp_path: Path) -> None:
    folder = analyse(models(60, seed=6), tmp_path, "accuracy", "relative")
    spec = regression_spec("accuracy", "relative")
    draw_scatter(folder / "sample.parquet", [tmp_path / "s.svg"], spec)
    draw_regression(folder / "fit.json", folder / "diagnostics.csv", [tmp_path / "r.svg"], spec)
    assert "learning rate ÷ baseline" in texts(tmp_path / "s.svg")
    assert "accuracy − baseline" in texts(tmp_path / "r.svg")


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_correlations_match_scipy(kind: str) -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 50).astype(float), rng.normal(size=50)
    x[3], y[7] = np.nan, np.nan
    both = np.isfinite(x) & np.isfinite(y)
    reference = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[kind]
    r, n = correlate(x, y, kind)
    assert n == 48
    assert r == pytest.approx(reference(x[both], y[both]).statistic, abs=1e-12)


def test_correlation_of_a_constant_is_missing() -> None:
    r, n = correlate(np.ones(9), np.arange(9.0), "spearman")
    assert np.isnan(r) and n == 9


def test_correlation_columns_are_named_terms() -> None:
    rows = make_sample(models(20, seed=7), "loss", "absolute", dict(FACTORS), {})
    names, columns = correlation_columns(rows)
    assert names[0] == "loss" and "learning_rate:num_epochs" in names and "num_epochs^2" in names
    assert columns.shape == (20, 10)


def test_owner_names_are_drawn_as_text(tmp_path: Path) -> None:
    frame = models(50, seed=8)
    frame["owner"] = ['$<script>alert("x")</script>$'] * 30 + ["a\nb\x00c"] * 20
    folder = analyse(frame, tmp_path, "accuracy", "absolute")
    path = tmp_path / "s.svg"
    draw_scatter(folder / "sample.parquet", [path], regression_spec("accuracy", "absolute"))
    assert "<script" not in path.read_text()
    assert any("<script>" in t for t in texts(path))
    assert any(t.startswith("a b c (20 of 50)") for t in texts(path))


def test_flow_gathers_reasons(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        [
            ("p", "base model", "other base model", 100, 40, 60),
            ("p", "base model", "remain", 40, 40, 0),
            ("p", "learning_rate", "not stated", 40, 38, 2),
            ("p", "metric f1", "not stated", 38, 8, 30),
        ],
        columns=["population", "step", "reason", "before", "after", "removed"],
    )
    steps = flow_steps(rows)
    assert [(s.before, s.after, s.branch) for s in steps] == [
        (100, 40, False),
        (40, 38, False),
        (38, 8, True),
    ]
    rows.to_csv(tmp_path / "flow.csv", index=False)
    draw_flow(tmp_path / "flow.csv", [tmp_path / "f.svg"], {"population": "p"})
    said = texts(tmp_path / "f.svg")
    assert {"n = 100", "n = 40", "n = 38", "n = 8", "−60 other base model"} <= set(said)
    draw_flow(tmp_path / "flow.csv", [tmp_path / "e.svg"], {"population": "none"})
    assert "No models: n = 0" in texts(tmp_path / "e.svg")


def test_coverage_shows_counts_and_settings(tmp_path: Path) -> None:
    table = pd.DataFrame(
        [
            ("p", h, m, 40 * (h == "learning_rate"), 5, 3, 2)
            for h in FACTORS
            for m in ("f1", "loss")
        ],
        columns=list(COVERAGE_COLUMNS),
    )
    table.to_csv(tmp_path / "c.csv", index=False)
    spec = {
        "population": "p",
        "min_rows": 30,
        "min_settings": 3,
        "factors": [*FACTORS],
        "metrics": ["f1"],
    }
    draw_coverage(tmp_path / "c.csv", [tmp_path / "c.svg"], spec)
    said = texts(tmp_path / "c.svg")
    assert said.count("40") == 2 and said.count("5 settings") == 2 and said.count("0") == 4
    draw_coverage(tmp_path / "c.csv", [tmp_path / "e.svg"], {**spec, "population": "q"})
    assert any("n = 0" in t for t in texts(tmp_path / "e.svg"))


def test_other_formats_are_refused(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pdf"):
        draw_correlation(
            sound / "sample.parquet", [tmp_path / "x.pdf"], regression_spec("accuracy", "absolute")
        )


def test_helpers() -> None:
    assert style.wording("learning_rate:num_epochs") == "learning rate × epochs"
    assert style.wording("train_batch_size^2") == "train batch size²"
    assert style.short_number(2e-5) == "2e−5" and style.short_number(16.0) == "16"
    assert style.short_number(0) == "0" and style.short_number(-3) == "−3"
    assert style.plain("a\u202eb\n c" * 30, 10).endswith("…")
    assert largest_owners(np.array(["b", "a", "a", "b", "c"])) == [("a", 2), ("b", 2)]
    assert held_values({"x": np.array([1.0, 9.0, 2.0, 5.0])}) == {"x": 2.0}
    np.testing.assert_array_equal(style.jitter(5, 1.0), style.jitter(9, 1.0)[:5])


def test_jitter_is_small() -> None:
    with style.sheet(3, 2) as figure:
        axes = figure.add_subplot()
        axes.set_xlim(0, 10)
        moved = spread_ties(axes, np.full(50, 5.0), False)
    assert np.ptp(moved) > 0 and np.abs(moved - 5).max() <= 0.12 + 1e-12


def test_text_on_cells_has_contrast() -> None:
    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    from matplotlib.colors import to_rgb

    for colours in (style.diverging(), style.sequential()):
        for value in np.linspace(0, 1, 101):
            fill = colours(float(value))
            one, two = luminance(fill), luminance(to_rgb(style.ink_on(fill)))
            assert (max(one, two) + 0.05) / (min(one, two) + 0.05) >= 4.5


def test_counterparts_of_the_published_figures() -> None:
    with (ROOT / "resources" / "paper_figures.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [int(row["figure"]) for row in rows] == list(range(1, 13))
    assert len({(r["kind"], r["metric"], r["view"]) for r in rows}) == 12
    for row in rows:
        place = f"{row['view']}/{row['metric']}/{row['kind']}.svg"
        assert row["path"] == f"results/figures/distilbert-sst2/{place}"
