"""The auditor: known tables, tampered tables, untouched tables, the published ones."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import linprog
from tunescape.audit import (
    Audit,
    Finding,
    Interval,
    PublishedTable,
    audit_tables,
    examine,
    parse_printed,
    read_study,
    read_tables,
)
from tunescape.audit.__main__ import main
from tunescape.audit.arithmetic import DF_GRID, df_from_row, infer_degrees, quantile
from tunescape.audit.granularity import (
    examples_gained,
    fewest_changes,
    possible_counts,
    possible_f1,
)
from tunescape.audit.surfaces import shape
from tunescape.audit.terms import powers_in_order
from tunescape.audit.views import identify_factors
from tunescape.errors import UserError
from tunescape.tables import read_json, read_table

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "resources" / "published_tables.csv"
CLAIMS = ROOT / "resources" / "claims.yaml"
HEADER = ["term", "coef", "std_err", "t", "p", "ci_low", "ci_high"]
SERIOUS = ("warning", "error")
Lines = list[list[str]]


def printed(fit: sm.regression.linear_model.RegressionResultsWrapper) -> Lines:
    """A fit's rows as statsmodels prints them."""
    rows = list(csv.reader(fit.summary().tables[1].as_csv().splitlines()))
    return [[cell.strip() for cell in row] for row in rows[1:]]


def simulate(seed: int, n: int | None = None, k: int | None = None, constant: bool = True) -> Lines:
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(14, 300))
    k = k or int(rng.integers(1, min(10, n - 5)))
    x = rng.normal(size=(n, k)) * 10 ** rng.uniform(-3, 3, k) + rng.normal(size=k)
    effect = rng.normal(size=k) / x.std(axis=0)
    y = 10 ** rng.uniform(-1, 2) * (x @ effect + 1 + rng.standard_t(5, size=n))
    return printed(sm.OLS(y, sm.add_constant(x) if constant else x).fit())


def write(lines: Lines, path: Path, header: list[str] = HEADER) -> Path:
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([header, *lines])
    return path


def load(lines: Lines, tmp_path: Path) -> PublishedTable:
    return read_tables(write(lines, tmp_path / "table.csv"))[0]


def serious(audit: Audit) -> list[Finding]:
    return [finding for finding in audit.findings if finding.severity in SERIOUS]


# --- printed numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("-0.0010", -0.00105, -0.00095),
        ("3.705e+08", 3.7045e8, 3.7055e8),
        ("6.9e+04", 68500, 69500),
        ("1,204", 1203.5, 1204.5),
        ("−.027*", -0.0275, -0.0265),
        ("1.2×10^-5", 1.15e-5, 1.25e-5),
        ("[0.086", 0.0855, 0.0865),
        ("<0.001", -np.inf, 0.001),
    ],
)
def test_a_printed_number_is_an_interval(text: str, low: float, high: float) -> None:
    interval = parse_printed(text).interval
    assert interval.low == pytest.approx(low, rel=1e-5)
    assert interval.high == pytest.approx(high, rel=1e-5)


@pytest.mark.parametrize("text", ["abc", "1.2.3", "0x10", "1e999", "=1+1", "12 13"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_printed(text)


@pytest.mark.parametrize("text", ["", " ", "-", "NA", "nan"])
def test_empty_cells_are_missing(text: str) -> None:
    assert parse_printed(text).missing


def test_interval_products_hold_all_products() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = (Interval(*sorted(rng.normal(size=2))) for _ in range(2))
        u, v = (rng.uniform(i.low, i.high, 20) for i in (a, b))
        whole = a.product(b)
        assert np.all((whole.low <= u * v) & (u * v <= whole.high))


# --- reading --------------------------------------------------------------------------------------


def test_usual_column_names_are_read(tmp_path: Path) -> None:
    lines = simulate(1, n=30, k=3)
    header = ["", " Coef. ", "Std Err", "t", "P>|t|", "[0.025", "0.975]"]
    table = read_tables(write(lines, tmp_path / "a.csv", header))[0]
    assert table.level == 0.95
    assert [row.coef.text for row in table.rows] == [line[1] for line in lines]
    joined = [[*line[:5], f"[{line[5]}, {line[6]}]"] for line in lines]
    header = ["Variable", "Coef", "Std Err", "t", "P≤|t|", "[0.025, 0.975]"]
    assert read_tables(write(joined, tmp_path / "b.csv", header))[0].rows == table.rows


def test_level_comes_from_the_header(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(25, 2))
    fit = sm.OLS(x @ [1.0, 2.0] + rng.normal(size=25), sm.add_constant(x)).fit()
    path = tmp_path / "ninety.csv"
    path.write_text(fit.summary(alpha=0.1).tables[1].as_csv())
    table = read_tables(path)[0]
    assert table.level == pytest.approx(0.9)
    assert not serious(examine([table]))
    wrong = examine([replace(table, level=0.95)])
    assert [f.check for f in serious(wrong)].count("common_df") >= 1


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ([*HEADER[:-1], "vif"], "missing column 'ci_high'; unknown column 'vif'"),
        ([*HEADER[:4], "coef", *HEADER[5:]], "two columns for 'coef'"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, header: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_tables(write(simulate(1, n=30, k=2), tmp_path / "t.csv", header))


@pytest.mark.parametrize("content", ["", "term,coef\n", ",".join(HEADER) + "\n", "\x00\x01"])
def test_unreadable_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(UserError):
        read_tables(path)
    with pytest.raises(UserError, match="no such file"):
        read_tables(tmp_path / "none.csv")


def test_a_bad_cell_is_named_with_its_place(tmp_path: Path) -> None:
    lines = simulate(1, n=30, k=2)
    lines[1][2] = "about 3"
    with pytest.raises(UserError, match=r"t\.csv:3, column 'std_err': 'about 3' is not a number"):
        read_tables(write(lines, tmp_path / "t.csv"))


# --- one table ------------------------------------------------------------------------------------


def test_clean_tables_are_left_alone(tmp_path: Path) -> None:
    flagged = []
    for seed in range(200):
        table = load(simulate(1000 + seed), tmp_path)
        flagged += [(seed, f.id) for f in serious(examine([table]))]
    assert len({seed for seed, _ in flagged}) <= 2, flagged


@pytest.mark.parametrize("seed", range(6))
def test_clean_tables_with_many_rows_are_left_alone(tmp_path: Path, seed: int) -> None:
    """Beyond 1000 df the grid holds ranges of df, not single values."""
    n = 1100 + 700 * seed
    audit = examine([load(simulate(seed, n=n, k=4), tmp_path)])
    assert not serious(audit)
    low, high = audit.degrees["table"].limits or (0, 10**9)
    assert low <= n - 5 <= high


def test_robust_errors_refer_to_the_normal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    fit = sm.OLS(x @ [30.0, 2, 10] + 50 * rng.normal(size=30), sm.add_constant(x)).fit(
        cov_type="HC3"
    )
    path = tmp_path / "z.csv"
    path.write_text(fit.summary().tables[1].as_csv())
    audit = examine(read_tables(path))
    assert not serious(audit)
    assert np.isinf(DF_GRID[audit.degrees["z"].allowed][-1])


@pytest.mark.parametrize("seed", range(25))
def test_true_degrees_of_freedom_fit(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(15, 60)), int(rng.integers(2, 7))
    degrees = infer_degrees(load(simulate(seed, n=n, k=k), tmp_path))
    low, high = degrees.limits or (0, 10**9)
    assert low <= n - k - 1 <= high
    assert high - low <= 6


def test_feasibility_agrees_with_linear_programming(tmp_path: Path) -> None:
    """Elimination by hand against a solver, on rows right and wrong."""
    rng = np.random.default_rng(5)
    agreed = {True: 0, False: 0}
    for seed in range(12):
        for row in load(simulate(seed, n=30, k=3), tmp_path).rows:
            if row.t.interval.low <= 0 <= row.t.interval.high:
                continue
            low = parse_printed(f"{row.ci_low.value * rng.choice([1, 1, 1.01]):.3f}")
            changed = replace(row, ci_low=low)
            mask = df_from_row(changed, 0.95)
            for df in (20, 24, 25, 26, 27, 32):
                found = bool(mask[list(DF_GRID).index(df)])
                agreed[found] += 1
                assert found == solver_says(changed, df)
    assert min(agreed.values()) > 20


def solver_says(row: object, df: float) -> bool:
    from tunescape.audit.table import Row

    assert isinstance(row, Row)
    q = quantile(0.95, df)
    size = row.t.interval.magnitude()
    grid = np.linspace(size.low, size.high, 4001)
    p = 2 * stats.t.sf(grid, df)
    allowed = grid[(p >= row.p_printed.low) & (p <= row.p_printed.high)]
    if not allowed.size:
        return False
    low, high = allowed[0], allowed[-1]
    if row.t.value < 0:
        low, high = -high, -low
    a = [[-1, low], [1, -high], [1, -q], [-1, q], [1, q], [-1, -q]]
    ends = (row.ci_low.interval, row.ci_high.interval)
    b = [0, 0, ends[0].high, -ends[0].low, ends[1].high, -ends[1].low]
    scale = abs(row.coef.value)
    bounds = [
        (row.coef.interval.low / scale, row.coef.interval.high / scale),
        (row.se.low / scale, row.se.high / scale),
    ]
    return bool(linprog([0, 0], a, np.array(b) / scale, bounds=bounds).status == 0)


def shift(text: str, by: float) -> str:
    """A number moved by `by`, printed with as many decimals as before."""
    decimals = len(text.partition("e")[0].partition(".")[2])
    if "e" in text:
        return f"{float(text) + by:.{decimals}e}"
    return f"{float(text) + by:.{decimals}f}"


def edit_estimate(line: list[str]) -> None:
    line[1] = shift(line[1], 0.5 * float(line[2]))


def edit_error(line: list[str]) -> None:
    line[2] = shift(line[2], 0.2 * float(line[2]))


def edit_t(line: list[str]) -> None:
    line[3] = shift(line[3], 0.3)


def edit_p(line: list[str]) -> None:
    line[4] = f"{float(line[4]) * 0.5 + (0.02 if float(line[4]) < 0.01 else 0):.3f}"


def move_interval(line: list[str]) -> None:
    for i in (5, 6):
        line[i] = shift(line[i], 0.3 * float(line[2]))


def widen_interval(line: list[str]) -> None:
    line[5], line[6] = (shift(line[i], s * 0.25 * float(line[2])) for i, s in ((5, -1), (6, 1)))


EDITS = [edit_estimate, edit_error, edit_t, edit_p, move_interval, widen_interval]


def well_printed(seed: int, n: int = 30, k: int = 5) -> Lines:
    """A table whose numbers have three digits or more, so that an edit can be seen."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k))
    y = 50 * (x @ rng.uniform(0.05, 0.6, k) + rng.normal(size=n))
    return printed(sm.OLS(y, sm.add_constant(x)).fit())


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("seed", range(10))
def test_an_edited_row_is_found(
    tmp_path: Path, edit: Callable[[list[str]], None], seed: int
) -> None:
    lines = well_printed(seed)
    line = lines[1 + seed % 5]
    edit(line)
    found = serious(examine([load(lines, tmp_path)]))
    assert found and {finding.term for finding in found} == {line[0]}
    assert all(finding.severity == "error" for finding in found)


@pytest.mark.parametrize("seed", range(10))
def test_a_row_of_another_fit_is_found(tmp_path: Path, seed: int) -> None:
    lines, others = well_printed(seed), well_printed(100 + seed, n=80)
    lines[2] = others[2]
    found = serious(examine([load(lines, tmp_path)]))
    assert {finding.term for finding in found} == {lines[2][0]}
    assert {finding.check for finding in found} == {"common_df"}
    assert "of another fit" in found[0].why


def test_two_halves_of_two_fits_fit_no_common_df(tmp_path: Path) -> None:
    lines = well_printed(1)[:3] + well_printed(2, n=90)[3:]
    found = serious(examine([load(lines, tmp_path)]))
    assert [finding.check for finding in found] == ["common_df"]
    assert found[0].term == ""


def test_a_dropped_constant_is_found(tmp_path: Path) -> None:
    table = load(well_printed(3)[1:], tmp_path)
    without_n = serious(examine([table]))
    assert [finding.check for finding in without_n] == ["no_constant"]
    with_n = serious(examine([table], {"n": {table.name: 30}}))
    assert [finding.check for finding in with_n] == ["no_constant", "dropped_constant"]
    origin = load(simulate(4, n=30, k=3, constant=False), tmp_path)
    checks = {f.check for f in serious(examine([origin], {"n": {origin.name: 30}}))}
    assert checks == {"no_constant"}


def test_implied_n_with_and_without_a_constant(tmp_path: Path) -> None:
    audit = examine([load(well_printed(6), tmp_path)])
    told = audit.summary()["tables"]["table"]
    assert (told["df"], told["n_with_constant"], told["n_without_constant"]) == (
        24,
        [30, 30],
        [29, 29],
    )
    wrong = serious(examine(audit.tables, {"n": {"table": 55}}))
    assert [(f.check, f.recomputed) for f in wrong] == [("n_stated", "n 30")]


def test_impossible_numbers_and_repeated_terms(tmp_path: Path) -> None:
    lines = well_printed(7)
    lines[1][2] = "-" + lines[1][2]
    lines[2][4] = "1.200"
    lines[3][5], lines[3][6] = lines[3][6], lines[3][5]
    lines[4][0] = lines[5][0]
    checks = {(f.term, f.check) for f in serious(examine([load(lines, tmp_path)]))}
    possible = {(lines[i][0], "possible") for i in (1, 2, 3)}
    assert possible | {(lines[5][0], "repeated_term")} <= checks


def test_empty_cells_skip_their_checks(tmp_path: Path) -> None:
    lines = well_printed(8)
    lines[1][4] = ""
    lines[2][5] = lines[2][6] = "NA"
    audit = examine([load(lines, tmp_path)])
    assert not serious(audit)
    assert {f.term for f in audit.findings if f.check == "empty_cells"} == {
        lines[1][0],
        lines[2][0],
    }


def test_columns_that_are_not_there_skip_their_checks(tmp_path: Path) -> None:
    header = ["", "Estimate", "Std. Error", "t value", "Pr(>|t|)"]
    lines = [line[:5] for line in well_printed(8)]

    def audited(lines: Lines) -> Audit:
        return examine(read_tables(write(lines, tmp_path / "r.csv", header)))

    whole = audited(lines)
    assert not serious(whole) and not [f for f in whole.findings if f.check == "empty_cells"]
    lines[3][3] = "9.99"
    assert (lines[3][0], "t_ratio") in {(f.term, f.check) for f in serious(audited(lines))}
    with pytest.raises(UserError, match="nothing to check"):
        read_tables(write([line[:3] for line in lines], tmp_path / "r.csv", header[:3]))


# --- views and terms ------------------------------------------------------------------------------

FACTORS = ("learning_rate", "train_batch_size", "num_epochs")
BASE = {"learning_rate": 1e-5, "train_batch_size": 32.0, "num_epochs": 3.0, "accuracy": 0.9}
SPEC = {"factors": list(FACTORS), "baseline": BASE}


def polynomial(
    x: NDArray[np.float64], convention: str = "polynomial_features"
) -> NDArray[np.float64]:
    powers = powers_in_order(x.shape[1], convention)  # type: ignore[arg-type]
    return np.column_stack([np.prod(x ** np.array(p), axis=1) for p in powers])


def view_lines(
    seed: int,
    order: tuple[int, ...] = (0, 1, 2),
    convention: str = "polynomial_features",
    rows: int = 60,
) -> Lines:
    """Absolute and relative fits of one data set, as one file's lines."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([
        10 ** rng.uniform(-5.5, -4, rows), rng.choice([8.0, 16, 32, 64], rows), rng.uniform(1, 10, rows)
    ])  # fmt: skip
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    y = 0.8 + 0.03 * z @ [1, -1, 0.5] - 0.02 * z[:, 0] ** 2 + 0.02 * rng.normal(size=rows)
    base = np.array([BASE[name] for name in FACTORS])
    lines = []
    for name, view, columns, response in (
        ("a", "absolute", x, y), ("r", "relative", x - base, y - BASE["accuracy"])
    ):  # fmt: skip
        design = polynomial(columns[:, list(order)], convention)
        scale = np.abs(design).max(axis=0)  # raw columns are too ill-conditioned for OLS's pinv
        fit = sm.OLS(response, sm.add_constant(design / scale)).fit()
        df = fit.df_resid
        q = quantile(0.95, df)
        for i, (c, s) in enumerate(zip(fit.params, fit.bse, strict=True)):
            c, s = (v / (scale[i - 1] if i else 1) for v in (c, s))
            numbers = [f"{v:.4g}" for v in (c, s)] + [f"{c / s:.3f}", f"{fit.pvalues[i]:.3f}"]
            numbers += [f"{v:.4g}" for v in (c - q * s, c + q * s)]
            lines.append([name, "accuracy", view, f"x{i}" if i else "const", *numbers])
    return lines


VIEW_HEADER = ["table", "metric", "view", *HEADER]


def load_views(lines: Lines, tmp_path: Path) -> list[PublishedTable]:
    return read_tables(write(lines, tmp_path / "views.csv", VIEW_HEADER))


@pytest.mark.parametrize("seed", range(8))
def test_views_of_one_fit_are_identical(tmp_path: Path, seed: int) -> None:
    audit = examine(load_views(view_lines(seed), tmp_path), SPEC)
    assert not serious(audit)
    said = [f for f in audit.findings if f.check == "view_identity"]
    assert [(f.severity, f.printed) for f in said] == [("info", "6 second-order terms")]


def test_a_changed_second_order_term_breaks_the_identity(tmp_path: Path) -> None:
    lines = view_lines(1)
    row = next(line for line in lines if line[0] == "r" and line[3] == "x7")
    for i in (4, 8, 9):
        row[i] = f"{float(row[i]) + float(row[5]):.4g}"
    row[6] = f"{float(row[4]) / float(row[5]):.3f}"
    found = serious(examine(load_views(lines, tmp_path), SPEC))
    assert any(
        f.check == "view_identity" and f.term == "x7" and f.severity == "error" for f in found
    )


def test_views_without_the_same_constant_are_told_apart(tmp_path: Path) -> None:
    lines = [line for line in view_lines(2) if (line[0], line[3]) != ("a", "const")]
    found = serious(examine(load_views(lines, tmp_path), SPEC))
    assert [f.check for f in found] == ["no_constant"]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize(
    "convention", ["polynomial_features", "squares_first", "interactions_first"]
)
def test_order_of_factors_and_terms_is_found(
    tmp_path: Path, order: tuple[int, ...], convention: str
) -> None:
    tables = load_views(view_lines(3, order, convention), tmp_path)
    reading = identify_factors(tables, FACTORS, BASE)
    assert reading.factors == tuple(FACTORS[i] for i in order)
    if order[0] == 0:
        assert reading.convention == convention


def test_named_terms_are_read_by_name(tmp_path: Path) -> None:
    names = ["lr", "bs", "lr^2", "lr:bs", "bs²"]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    y = 1 - x[:, 0] ** 2 - 2 * x[:, 1] ** 2 + 0.1 * rng.normal(size=40)
    lines = printed(sm.OLS(y, sm.add_constant(polynomial(x))).fit())
    for line, name in zip(lines[1:], names, strict=True):
        line[0] = name
    audit = examine([load(lines, tmp_path)])
    assert audit.reading.factors == ("lr", "bs")
    surface = audit.summary()["tables"]["table"]["surface"]
    assert (surface["nature"], surface["robust"]) == ("maximum", True)
    assert abs(surface["stationary"]["lr"]) < 0.1


# --- surface --------------------------------------------------------------------------------------


def surface_table(second_order: list[str], tmp_path: Path) -> PublishedTable:
    texts = ["0.5", "0.1", "0.1", *second_order]
    lines = [[f"x{i}" if i else "const", c, "0.100", "", "", "", ""] for i, c in enumerate(texts)]
    return load(lines, tmp_path)


@pytest.mark.parametrize(
    ("second_order", "nature", "robust"),
    [
        (["-1.00", "0.10", "-1.00"], "maximum", True),
        (["1.00", "0.10", "1.00"], "minimum", True),
        (["1.00", "0.10", "-1.00"], "saddle", True),
        (["1.00", "3.00", "1.00"], "saddle", True),
        (["-1.0", "2.0", "-1.0"], "flat", False),
        (["-1.00", "0.10", "-0.00"], "maximum", False),
        (["-1.0", "2.1", "-1.0"], "saddle", False),
    ],
)
def test_nature_and_its_robustness(
    tmp_path: Path, second_order: list[str], nature: str, robust: bool
) -> None:
    table = surface_table(second_order, tmp_path)
    found = shape(table, identify_factors([table], ["a", "b"], {}))
    assert found is not None
    if "-0.00" not in second_order:
        assert found.nature == nature
    assert found.robust is robust


def test_robust_natures_hold_for_every_matrix_in_the_box(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seen = {True: 0, False: 0}
    for _ in range(60):
        texts = [f"{v:.1f}" for v in rng.normal(scale=0.5, size=3)]
        table = surface_table(texts, tmp_path)
        found = shape(table, identify_factors([table], ["a", "b"], {}))
        assert found is not None
        boxes = [row.coef.interval for row in table.slopes[2:]]
        draws = np.array(
            [rng.choice([b.low, b.high, *rng.uniform(b.low, b.high, 4)], 400) for b in boxes]
        )
        a, ab, b = draws
        det = 4 * a * b - ab**2
        natures = set(np.where(det < 0, "saddle", np.where(a < 0, "maximum", "minimum")))
        if found.robust:
            assert natures == {found.nature}
        elif found.robust is False:
            assert found.also
        seen[bool(found.robust)] += 1
    assert min(seen.values()) >= 5, seen


def test_impossible_predictions_use_the_whole_rounding(tmp_path: Path) -> None:
    lines = [[f"x{i}" if i else "const", c, "0.100", "", "", "", ""]
             for i, c in enumerate(["0.95", "0.010", "0.0000"])]  # fmt: skip
    rows = [["t", "accuracy", "absolute", *line] for line in lines]
    rows[1][3], rows[2][3] = "lr", "lr^2"
    table = read_tables(write(rows, tmp_path / "t.csv", VIEW_HEADER))[0]
    spec = {"factors": ["lr"], "settings": {"near": {"lr": 4}, "edge": {"lr": 5}, "far": {"lr": 8}}}
    audit = examine([table], spec)
    found = {f.printed: f.severity for f in audit.findings if f.check == "impossible_prediction"}
    # .95 + .01 x + 0 x^2, with half units .005, .0005 and .00005
    assert found == {"edge": "note", "far": "warning"}
    near = audit.summary()["tables"]["t"]["predictions"]["near"]
    assert (near["low"], near["high"]) == pytest.approx((0.9822, 0.9978), abs=1e-6)


# --- granularity ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [7, 30, 408])
def test_possible_counts_are_those_that_print_so(n: int) -> None:
    for k in range(0, n + 1, max(1, n // 20)):
        text = f"{k / n:.3f}"
        expected = [
            i for i in range(n + 1) if abs(Fraction(i, n) - Fraction(text)) <= Fraction(1, 2000)
        ]
        assert possible_counts(text, n) == expected


def test_the_mrpc_figures() -> None:
    assert [possible_counts(text, 408) for text in ("0.85049", "0.85784", "0.85294")] == [
        [347],
        [350],
        [348],
    ]
    assert possible_counts("0.8510", 408) == []
    gain = examples_gained("0.85049", "0.85784", 408)
    assert (gain.fewest, gain.most, gain.best_p) == (3, 3, 0.25)
    assert gain.standard_error == pytest.approx(0.01765, abs=1e-5)
    assert possible_counts("85.05", 408, percent=True) == [347]


def test_f1_counts_against_enumeration() -> None:
    n = 40
    every = {(tp, errors) for tp in range(1, n + 1) for errors in range(n - tp + 1)}
    for text in ("0.8506", "0.800", "0.123", "1.000"):
        half = Fraction(1, 2 * 10 ** len(text.partition(".")[2]))
        expected = {
            (tp, e) for tp, e in every if abs(Fraction(2 * tp, 2 * tp + e) - Fraction(text)) <= half
        }
        assert {tuple(pair) for pair in possible_f1(text, n).tolist()} == expected


def test_fewest_changes_between_f1_values() -> None:
    before, after = np.array([[20, 6]]), np.array([[21, 5]])
    assert fewest_changes(before, after) == 1  # one false negative became a true positive
    assert fewest_changes(before, np.array([[20, 4]])) == 2
    assert fewest_changes(before, np.empty((0, 2), dtype=np.int64)) is None


# --- output ---------------------------------------------------------------------------------------


def test_findings_and_summary_are_written(tmp_path: Path) -> None:
    lines = well_printed(9)
    lines[1][0] = '=HYPERLINK("http://x")'
    edit_t(lines[1])
    path = write(lines, tmp_path / "t.csv")
    for _ in range(2):
        audit_tables(path, tmp_path / "f.csv", tmp_path / "s.json")
        first = (tmp_path / "f.csv").read_bytes()
    assert (tmp_path / "f.csv").read_bytes() == first
    found = read_table(tmp_path / "f.csv")
    assert list(found) == [
        "id",
        "table",
        "term",
        "check",
        "severity",
        "printed",
        "recomputed",
        "why",
    ]
    assert found["id"].is_unique
    assert lines[1][0] in set(found["term"].dropna())
    written = (tmp_path / "f.csv").read_text()
    assert "'=HYPERLINK" in written and not re.search(r'(?m)(?:^|,)"?=', written)
    assert read_json(tmp_path / "s.json")["tables"]["t"]["df"] == 24
    with pytest.raises(UserError, match="unknown key"):
        audit_tables(path, tmp_path / "none.csv", tmp_path / "none.json", {"lvl": 0.9})
    assert not (tmp_path / "none.csv").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = well_printed(9)
    edit_t(lines[2])
    path = write(lines, tmp_path / "t.csv")
    out = tmp_path / "o.csv"
    assert (
        main([str(path), "-o", str(out), "--summary", str(tmp_path / "s.json"), "--n", "30"]) == 0
    )
    said = capsys.readouterr().out
    assert "t: 6 rows, df 24, n 30" in said
    assert f"t/{lines[2][0]}/t_ratio" in said and out.exists()
    for arguments in (
        [str(tmp_path / "no.csv")],
        [str(path), "--at", "lr"],
        [str(path), "--level", "2"],
    ):
        assert main(arguments) == 2
        message = capsys.readouterr().err
        assert message.startswith("audit: ") and "Traceback" not in message


# --- the published tables -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> Audit:
    if not PUBLISHED.exists():
        pytest.skip(f"{PUBLISHED} is not there")
    return examine(read_tables(PUBLISHED), read_study(CLAIMS))


def test_degrees_of_freedom_of_the_published_tables(published: Audit) -> None:
    told = published.summary()["tables"]
    assert {name: t["df"] for name, t in told.items()} == {
        "1": 29, "2": 26, "3": 14, "4": 13, "5": 31, "6": 28,
    }  # fmt: skip
    assert {name: t["df_misfits"] for name, t in told.items() if t["df_misfits"]} == {
        "1": ["const", "x1"]
    }
    assert [name for name, t in told.items() if not t["constant"]] == ["3", "5"]
    assert [t["n_with_constant"][0] for t in told.values()] == [39, 36, 24, 23, 41, 38]
    assert [t["n"] for t in told.values()] == [
        [38, 39],
        [36, 36],
        [23, 24],
        [23, 23],
        [40, 41],
        [38, 38],
    ]


def test_errors_of_the_published_tables(published: Audit) -> None:
    errors = {(f.table, f.term, f.check) for f in published.findings if f.severity == "error"}
    assert errors == {
        ("1", "const", "common_df"), ("1", "x1", "common_df"),
        ("1", "x1", "interval_centre"), ("1", "x1", "interval_df"),
    }  # fmt: skip
    centre = next(f for f in published.findings if f.check == "interval_centre")
    assert "-23814.37" in centre.why
    warned = {(f.table, f.check) for f in published.findings if f.severity == "warning"}
    assert {("3", "no_constant"), ("5", "no_constant")} <= warned
    assert {
        (pair, check) for pair in ("1|2", "3|4", "5|6") for check in ("view_rows", "view_identity")
    } <= warned
    assert ("1|2", "view_identity") in warned
    assert {t for t, c in warned if c == "impossible_prediction"} == {"1", "2", "3", "4", "6"}


def test_order_of_the_published_terms(published: Audit) -> None:
    assert published.reading.factors == FACTORS
    assert published.reading.convention == "polynomial_features"
    ranked = sorted(published.reading.misfit.values())
    assert ranked[0] < 1.5 and ranked[1] > 5
    table = published.tables[0]
    assert published.reading.name(table, "x7") == "train_batch_size^2"
    assert published.reading.name(table, "x8") == "train_batch_size:num_epochs"
    assert published.reading.name(table, "x9") == "num_epochs^2"


def test_survivors_of_the_published_tables(published: Audit) -> None:
    summary = published.summary()
    assert summary["family"] == {"tests": 58, "printed": 20, "holm": 3, "bh": 15, "by": 3}
    survivors = {name: t["survivors"]["holm"] for name, t in summary["tables"].items()}
    assert survivors == {"1": ["const", "x2", "x7"], "2": [], "3": [], "4": [], "5": [], "6": []}
    natures = {t["surface"]["nature"] for t in summary["tables"].values()}
    assert natures == {"saddle"} and all(t["surface"]["robust"] for t in summary["tables"].values())


def test_the_published_predictions(published: Audit) -> None:
    told = published.summary()["tables"]
    assert told["2"]["predictions"]["baseline"]["low"] == pytest.approx(1.6306, abs=1e-3)
    assert told["6"]["predictions"]["baseline"]["high"] == pytest.approx(-4.2482, abs=1e-3)
    assert not told["1"]["predictions"]["baseline"]["possible"]
