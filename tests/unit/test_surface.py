"""The fitting core: certified numbers, invariance, aliasing, exact change of units."""

from __future__ import annotations

import ast
import csv
import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from tunescape import extended
from tunescape.errors import UserError
from tunescape.surface import (
    INTERCEPT,
    Factor,
    code_factor,
    design_matrix,
    find_aliases,
    fit_polynomial,
    fit_surface,
    polynomial_terms,
)

NIST = Path(__file__).parents[1] / "data" / "nist"
CERTIFIED = json.loads((NIST / "certified.json").read_text())["datasets"]
# Least digits of coefficients; standard deviations are held to the same, Filip's to 13.
DIGITS = {
    "Norris": 12, "Pontius": 12, "NoInt1": 14, "NoInt2": 14, "Filip": 13, "Longley": 13,
    "Wampler1": 9, "Wampler2": 12, "Wampler3": 9, "Wampler4": 8, "Wampler5": 7.5,
}  # fmt: skip


def digits(value: float, certified: str) -> float:
    """Log relative error (log absolute error where the certified value is 0), at most 15."""
    truth = float(certified)
    gap = abs(value - truth) / (abs(truth) or 1.0)
    return 15.0 if gap == 0 else min(15.0, -float(np.log10(gap)))


def nist(name: str) -> tuple[dict[str, list[float]], list[float]]:
    with (NIST / f"{name}.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    columns = [c for c in rows[0] if c != "y"]
    return {c: [float(r[c]) for r in rows] for c in columns}, [float(r["y"]) for r in rows]


def worst(found: np.ndarray, name: str, key: str) -> float:
    return min(digits(v, p[key]) for v, p in zip(found, CERTIFIED[name]["parameters"], strict=True))


@pytest.mark.parametrize("name", DIGITS)
def test_coded_qr_reaches_the_certified_digits(name: str) -> None:
    values, y = nist(name)
    known = CERTIFIED[name]
    origin = not known["intercept"]
    factors = [code_factor(c, v, through_origin=origin) for c, v in values.items()]
    fit = fit_surface(values, y, factors, degree=known["degree"] or 1, intercept=not origin)
    raw = fit.raw()
    assert worst(raw.estimate, name, "estimate") >= DIGITS[name]
    assert worst(raw.se, name, "sd") >= DIGITS[name]
    assert digits(fit.r2, known["r_squared"]) >= 13
    assert fit.r2_kind == known["r_squared_kind"].split()[0]
    assert fit.df_residual == known["df_residual"]


@pytest.mark.parametrize("name", [n for n in DIGITS if n != "Longley"])
def test_orthogonal_polynomials_reach_the_certified_digits(name: str) -> None:
    values, y = nist(name)
    known = CERTIFIED[name]
    fit = fit_polynomial(values["x"], y, known["degree"], intercept=known["intercept"])
    assert worst(fit.coef, name, "estimate") >= DIGITS[name]
    assert worst(fit.se, name, "sd") >= DIGITS[name]
    assert digits(fit.sigma, known["residual_sd"]) >= 13
    assert fit.condition < 10


def test_methods_hold_the_table_of_certified_digits() -> None:
    """Made by benchmarks/nist.py: both our routes on every set, at least the digits held above."""
    text = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    block = text.split("<!-- certified digits -->\n")[1].split("<!-- end of certified digits -->")[
        0
    ]
    head, _, *lines = [line for line in block.splitlines() if line.startswith("| ")]
    assert {"statsmodels pinv", "numpy lstsq", "scikit-learn"} <= set(head.strip("| ").split(" | "))
    table = {}
    for line in lines:
        name, *cells = line.replace("\\|", "/").strip("| ").split(" | ")
        table[name] = [
            [float(n) for n in cell.split(" / ")] if cell[0] != "–" else [15.0]
            for cell in cells[:2]
        ]
    assert set(table) == set(DIGITS)
    for name, routes in table.items():
        assert min(routes[0]) >= DIGITS[name] and min(routes[1]) >= DIGITS[name], name


def test_no_other_module_builds_a_design_matrix() -> None:
    """No column of ones is put beside others, and no library is asked for polynomials."""
    library = Path(__file__).parents[2] / "scripts" / "tunescape"
    makers = {"PolynomialFeatures", "vander", "polyvander", "add_constant", "dmatrix", "dmatrices"}
    for path in library.rglob("*.py"):
        if path.name == "surface.py" and path.parent == library:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Name, ast.Attribute)):
                name = node.id if isinstance(node, ast.Name) else node.attr
                assert name not in makers, f"{path}: {name}"
            stacks = ("column_stack", "hstack", "concatenate", "c_")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                inner = ast.dump(ast.Tuple(node.args, ast.Load()))
                made = node.func.attr in stacks and "attr='ones'" in inner
                assert not made, f"{path}:{node.lineno}"


def test_double_double_holds_what_doubles_lose() -> None:
    one, tiny = np.array([1.0]), np.array([1e-25])
    total = extended.add(extended.from_float(one), extended.from_float(tiny))
    assert extended.subtract(total, extended.from_float(one)).high[0] == 1e-25
    third = extended.divide(extended.from_float(one), extended.from_float(3 * one))
    back = extended.multiply(third, extended.from_float(3 * one))
    assert abs((back.high - 1 + back.low)[0]) < 1e-31
    many = extended.from_float(np.array([1e16, 1.0, -1e16, 1.0, 0.5]))
    assert extended.total(many).high == 2.5


def smell() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The Box-Behnken example of SAS PROC RSREG."""
    y = [66, 39, 43, 49, 58, 17, -5, -40, 65, 7, 43, -22, -31, -35, -26]
    t = [40, 120, 40, 120, 40, 120, 40, 120, 80, 80, 80, 80, 80, 80, 80]
    r = [0.3, 0.3, 0.7, 0.7, 0.5, 0.5, 0.5, 0.5, 0.3, 0.7, 0.3, 0.7, 0.5, 0.5, 0.5]
    h = [4, 4, 4, 4, 2, 2, 6, 6, 2, 2, 6, 6, 4, 4, 4]
    columns = {"T": np.array(t, float), "R": np.array(r), "H": np.array(h, float)}
    return columns, np.array(y, float)


def study(n: int = 80, seed: int = 3) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    values = {
        "learning_rate": rng.choice([1e-6, 1e-5, 2e-5, 5e-5, 3e-4], n),
        "train_batch_size": rng.choice([8.0, 16.0, 32.0, 64.0], n),
        "num_epochs": rng.choice([1.0, 2.0, 3.0, 5.0, 10.0], n),
    }
    y = 0.9 - 0.01 * np.log(values["learning_rate"] / 2e-5) ** 2 + rng.normal(0, 0.02, n)
    return values, y


def coded(values: dict[str, np.ndarray], coding: dict[str, str] | None = None) -> list[Factor]:
    return [
        code_factor(name, v, (coding or {}).get(name, "linear"))  # type: ignore[arg-type]
        for name, v in values.items()
    ]


LOG = {"learning_rate": "log", "train_batch_size": "log"}


def test_terms_are_named_in_graded_order() -> None:
    names = [t.name for t in polynomial_terms(["a", "b", "c"])]
    assert names == [INTERCEPT, "a", "b", "c", "a^2", "a:b", "a:c", "b^2", "b:c", "c^2"]
    assert [len(polynomial_terms(list("abcdef")[:k])) for k in range(1, 7)] == [
        3,
        6,
        10,
        15,
        21,
        28,
    ]
    assert [t.kind for t in polynomial_terms(["a", "b"], 3)].count("higher") == 4
    assert "a:b" not in [t.name for t in polynomial_terms(["a", "b"], interactions=False)]


def test_coding_maps_the_range_to_minus_one_and_one_and_back() -> None:
    x = np.array([1e-6, 1e-5, 1e-4])
    factor = code_factor("learning_rate", x, "log")
    assert np.allclose(factor.encode(x), [-1, 0, 1], atol=1e-14)
    assert np.allclose(factor.decode(factor.encode(x)), x, rtol=1e-14)
    with pytest.raises(UserError, match="log coding met"):
        factor.encode(np.array([0.0]))


def test_raw_coefficients_are_those_of_the_raw_polynomial() -> None:
    values, _ = smell()
    t, r, h = values.values()
    y = 3 - 2 * t + 5 * r + 0.25 * h + 0.125 * t * t - 4 * t * r + 2 * r * h + h * h
    raw = fit_surface(values, y, coded(values)).raw()
    expected = [3, -2, 5, 0.25, 0.125, -4, 0, 0, 2, 1]
    assert np.allclose(raw.estimate, expected, rtol=1e-9, atol=1e-9)


def test_raw_covariance_matches_extended_normal_equations() -> None:
    values, y = smell()
    fit = fit_surface(values, y, coded(values))
    plain = [Factor(f.name) for f in fit.factors]
    x = design_matrix(values, plain, fit.terms).astype(np.longdouble)
    scale = np.abs(x).max(axis=0)
    inverse = np.linalg.inv((x / scale).T.astype(float) @ (x / scale).astype(float))
    expected = fit.sigma2 * inverse / np.outer(scale, scale).astype(float)
    assert np.allclose(fit.raw().se, np.sqrt(np.diag(expected)), rtol=1e-6)


@pytest.mark.parametrize("coding", [{}, LOG], ids=["linear", "log"])
def test_units_rows_factor_order_and_sign_change_nothing(coding: dict[str, str]) -> None:
    values, y = study()
    fit = fit_surface(values, y, coded(values, coding))
    scaled = {**values, "learning_rate": values["learning_rate"] * 1e6}
    other = fit_surface(scaled, y, coded(scaled, coding))
    assert np.allclose(other.fitted, fit.fitted, rtol=0, atol=1e-12)
    assert np.allclose(other.coef, fit.coef, rtol=1e-8, atol=1e-12)
    shuffle = np.random.default_rng(0).permutation(len(y))
    moved = {k: v[shuffle] for k, v in values.items()}
    assert np.allclose(
        fit_surface(moved, y[shuffle], coded(moved, coding)).coef, fit.coef, atol=1e-12
    )
    assert np.allclose(fit_surface(values, -y, coded(values, coding)).coef, -fit.coef, atol=1e-13)
    for order in permutations(values):
        again = fit_surface(values, y, coded({k: values[k] for k in order}, coding))
        assert np.allclose(again.fitted, fit.fitted, atol=1e-12)


def test_aliased_terms_are_named_and_not_estimated() -> None:
    rng = np.random.default_rng(1)
    a = rng.choice([1.0, 2.0, 3.0], 40)
    values = {"a": a, "b": 10 * a, "c": rng.choice([1.0, 5.0], 40)}
    y = a + values["c"] + rng.normal(0, 0.1, 40)
    fit = fit_surface(values, y, coded(values))
    assert set(fit.aliased) == {"b", "a:b", "b^2", "b:c", "c^2"}
    assert fit.aliased["b"] == pytest.approx({"a": 1.0})
    assert fit.aliased["b:c"] == pytest.approx({"a:c": 1.0})
    assert fit.aliased["c^2"] == pytest.approx({INTERCEPT: 1.0})
    assert np.isnan(fit.coef[list(fit.columns).index("b^2")])
    assert fit.confounded()["a"] == ("b",)
    assert fit.rank == 5 and fit.df_residual == 35
    assert np.isnan(fit.raw().estimate[fit.columns.index("b")])
    ok = fit.predict({"a": [2.0, 2.0], "b": [20.0, 30.0], "c": [1.0, 1.0]})
    assert ok.estimable.tolist() == [True, False]


def test_which_terms_are_aliased_does_not_depend_on_factor_order() -> None:
    rng = np.random.default_rng(2)
    a = rng.choice([1.0, 2.0, 3.0], 30)
    values = {"a": a, "b": 2 * a + 1, "c": rng.choice([1.0, 4.0, 9.0], 30)}
    y = rng.normal(size=30)
    found = set()
    for order in permutations(values):
        fit = fit_surface(values, y, coded({k: values[k] for k in order}))
        found.add(frozenset(frozenset(name.split(":")) for name in fit.aliased))
    assert len(found) == 1


def test_rank_is_found_where_raw_units_lose_it() -> None:
    values, y = study()
    values["learning_rate"] = values["learning_rate"] / 100
    fit = fit_surface(values, y, coded(values))
    assert fit.rank == 10 and not fit.aliased
    assert fit.condition_raw > 1e13 > 1e3 > fit.condition_coded
    raw = design_matrix(values, [Factor(k) for k in values], fit.terms)
    assert np.linalg.lstsq(raw, y)[2] < 10


def test_find_aliases_counts_no_more_columns_than_rows() -> None:
    found = find_aliases(np.random.default_rng(0).normal(size=(3, 5)))
    assert found.kept == (0, 1, 2) and set(found.combinations) == {3, 4}


def test_weights_are_replications() -> None:
    values, y = study(30)
    counts = np.random.default_rng(0).integers(1, 4, 30)
    weighted = fit_surface(values, y, coded(values, LOG), weights=counts)
    repeated = {k: np.repeat(v, counts) for k, v in values.items()}
    plain = fit_surface(repeated, np.repeat(y, counts), coded(repeated, LOG))
    assert np.allclose(weighted.coef, plain.coef, atol=1e-11)
    assert weighted.rss == pytest.approx(plain.rss, rel=1e-10)


def test_effects_absorb_group_means() -> None:
    values, y = study(60)
    groups = np.random.default_rng(5).choice(["x", "y", "z"], 60)
    bumped = y + np.where(groups == "y", 10.0, 0.0)
    fit = fit_surface(values, bumped, coded(values, LOG), effects={"dataset": list(groups)})
    base = fit_surface(values, y, coded(values, LOG), effects={"dataset": list(groups)})
    keep = [i for i, c in enumerate(fit.columns) if "[" not in c]
    assert np.allclose(fit.coef[keep], base.coef[keep], atol=1e-10)
    assert fit.columns[:2] == ("dataset[y]", "dataset[z]")


def test_links_keep_predictions_possible() -> None:
    values, y = study()
    y = np.clip(y, 0.01, 1.0)
    fit = fit_surface(values, y, coded(values, LOG), link="logit")
    far = {
        "learning_rate": [1e-9, 1.0],
        "train_batch_size": [1.0, 512.0],
        "num_epochs": [50.0, 1.0],
    }
    p = fit.predict(far)
    assert ((p.ci_low >= 0) & (p.ci_high <= 1) & (p.pi_high <= 1)).all()
    assert p.extrapolated.all()
    assert (fit_surface(values, y, coded(values, LOG), link="log").predict(far).fit > 0).all()
    with pytest.raises(UserError, match="logit"):
        fit_surface(values, y + 1, coded(values, LOG), link="logit")


def test_prediction_intervals_match_a_textbook_line() -> None:
    x = np.array([1.0, 2, 3, 4, 5])
    y = np.array([1.1, 1.9, 3.2, 3.9, 5.1])
    p = fit_surface({"x": x}, y, [code_factor("x", x)], degree=1).predict({"x": [6.0]})
    import statsmodels.api as sm

    frame = sm.OLS(y, sm.add_constant(x)).fit().get_prediction([[1, 6.0]]).summary_frame()
    assert p.fit[0] == pytest.approx(frame["mean"][0])
    assert p.ci_low[0] == pytest.approx(frame["mean_ci_lower"][0])
    assert p.pi_high[0] == pytest.approx(frame["obs_ci_upper"][0])


def test_slopes_are_derivatives_of_predictions() -> None:
    values, y = study()
    fit = fit_surface(values, y, coded(values, LOG))
    point = {"learning_rate": 2e-5, "train_batch_size": 20.0, "num_epochs": 3.0}
    slopes = fit.slopes(point)
    for i, name in enumerate(values):
        h = 1e-4 * point[name]
        ends = [
            {**{k: [v] for k, v in point.items()}, name: [point[name] + s * h]} for s in (1, -1)
        ]
        numeric = (fit.predict(ends[0]).fit[0] - fit.predict(ends[1]).fit[0]) / (2 * h)
        assert slopes.per_raw_unit[i] == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_through_origin_is_uncentred_and_refuses_centres() -> None:
    values, y = study()
    factors = [code_factor(k, v, through_origin=True) for k, v in values.items()]
    fit = fit_surface(values, y, factors, intercept=False)
    assert fit.r2_kind == "uncentred"
    assert fit.r2 == pytest.approx(1 - fit.rss / float(y @ y))
    with pytest.raises(UserError, match="through the origin"):
        fit_surface(values, y, coded(values), intercept=False)


@pytest.mark.parametrize(
    ("values", "y", "message"),
    [
        ({"a": []}, [], "empty"),
        ({"a": [1.0, np.nan]}, [1.0, 2.0], "not all finite"),
        ({"a": [1.0]}, [1.0, 2.0], "for 2 rows"),
        ({"a": [1.0, 2.0]}, [1.0, np.inf], "not finite"),
    ],
)
def test_bad_rows_are_refused_in_one_line(values: dict, y: list, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit_surface(values, y, [Factor("a")])


def test_saturated_and_tiny_fits_have_no_error_instead_of_a_crash() -> None:
    fit = fit_surface({"a": [1.0, 2.0, 3.0]}, [1.0, 4.0, 9.0], [Factor("a", "linear", 2.0, 1.0)])
    assert fit.df_residual == 0 and np.isnan(fit.sigma2)
    assert np.allclose(fit.raw().estimate, [0, 0, 1], atol=1e-14)
    one = fit_surface({"a": [5.0]}, [2.0], [Factor("a")])
    assert one.rank == 1 and len(one.aliased) == 2
