"""Shape of a surface: published examples, constructed surfaces, optimality of the paths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import QhullError
from test_surface import coded, smell
from tunescape import inference
from tunescape.canonical import (
    _within_data,
    canonical_analysis,
    inside_hull,
    optimum_region,
    quadratic_form,
    ridge_path,
    rsreg_tables,
    steepest_path,
)
from tunescape.surface import Factor, SurfaceFit, fit_surface


def rounded(values: np.ndarray, decimals: int) -> list[float]:
    return np.round(np.asarray(values, dtype=float), decimals).tolist()


def test_smell_is_the_published_example() -> None:
    values, y = smell()
    fit = fit_surface(values, y, coded(values))
    found = canonical_analysis(fit, values)
    assert rounded(found.point, 6) == [0.121913, 0.199575, 1.770525]
    assert np.allclose(found.point, [0.1219126, 0.1995746, 1.7705249], atol=5.1e-8)
    assert round(found.value, 6) == -52.024631
    assert rounded(found.eigenvalues, 4) == [48.8588, 31.1035, 6.0377]
    assert found.nature == "minimum" and not found.inside_range
    assert found.statement.startswith("no interior optimum")


def test_smell_tables() -> None:
    values, y = smell()
    tables = rsreg_tables(fit_surface(values, y, coded(values)), values)
    assert set(tables) == {
        "coding", "model_anova", "error_anova", "factor_anova", "estimates", "spectral",
        "stationary_point", "ridge", "fit_statistics",
    }  # fmt: skip
    model = {r["source"]: r for r in tables["model_anova"]}
    assert model["linear"]["ss"] == pytest.approx(7143.25)
    assert model["quadratic"]["ss"] == pytest.approx(11445.23333333)
    assert model["interaction"]["ss"] == pytest.approx(293.5)
    assert model["total model"]["ss"] + tables["error_anova"][2]["ss"] == pytest.approx(
        np.sum((y - y.mean()) ** 2)
    )
    lack = tables["error_anova"][0]
    assert (round(lack["f"], 2), round(lack["p"], 4)) == (40.75, 0.0240)
    factors = {r["factor"]: (round(r["f"], 2), round(r["p"], 4)) for r in tables["factor_anova"]}
    assert factors == {"T": (2.60, 0.1613), "R": (5.46, 0.0454), "H": (1.89, 0.2510)}
    statistics = tables["fit_statistics"]
    assert rounded(
        [statistics[k] for k in ("response_mean", "root_mse", "r2", "coefficient_of_variation")], 4
    ) == [15.2, 22.4785, 0.882, 147.8849]


def chem_react() -> tuple[SurfaceFit, dict[str, np.ndarray]]:
    """The two-block central composite of R's rsm (Myers, Montgomery, Anderson-Cook)."""
    time = [80, 80, 90, 90, 85, 85, 85, 85, 85, 85, 92.07, 77.93, 85, 85]
    temp = [170, 180, 170, 180, 175, 175, 175, 175, 175, 175, 175, 175, 182.07, 167.93]
    y = [80.5, 81.5, 82, 83.5, 83.9, 84.3, 84, 79.7, 79.8, 79.5, 78.4, 75.6, 78.5, 77]
    values = {"Time": np.array(time), "Temp": np.array(temp)}
    factors = [Factor("Time", "linear", 85, 5), Factor("Temp", "linear", 175, 5)]
    return fit_surface(values, y, factors, effects={"Block": ["B1"] * 7 + ["B2"] * 7}), values


def test_chem_react_is_the_published_example() -> None:
    fit, values = chem_react()
    tests = inference.term_tests(fit, inference.covariance(fit, "classical"))
    estimate = dict(zip(tests.terms, rounded(tests.estimate, 5), strict=True))
    assert estimate == {
        "Block[B2]": -4.45753, "intercept": 84.09543, "Time": 0.93254, "Temp": 0.57771,
        "Time^2": -1.30856, "Time:Temp": 0.125, "Temp^2": -0.93344,
    }  # fmt: skip
    assert sorted(rounded(tests.se, 6)) == sorted(
        [0.087226, 0.079631, 0.057699, 0.057699, 0.060064, 0.081592, 0.060064]
    )
    assert (round(fit.r2, 4), round(fit.adjusted_r2, 4)) == (0.9981, 0.9964)
    found = canonical_analysis(fit, values)
    assert rounded(found.point, 7) == [0.3722954, 0.3343802]
    assert rounded(found.point_raw, 5) == [86.86148, 176.6719]
    assert rounded(found.eigenvalues, 7) == [-0.9233027, -1.3186949]
    assert found.nature == "maximum" and found.inside_hull


def surface(matrix: np.ndarray, linear: np.ndarray) -> tuple[SurfaceFit, dict[str, np.ndarray]]:
    grid = np.linspace(-1, 1, 5)
    z = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    y = z @ linear + np.einsum("ni,ij,nj->n", z, matrix, z) + 1e-3 * np.sin(17 * z[:, 0] + z[:, 1])
    values = {"a": z[:, 0], "b": z[:, 1]}
    return fit_surface(values, y, [Factor("a"), Factor("b")]), values


@pytest.mark.parametrize(
    ("curvature", "slope", "nature", "optimum"),
    [
        ([-1.0, -2.0], [0.4, 0.4], "maximum", True),
        ([1.0, 2.0], [0.4, 0.4], "minimum", True),
        ([1.0, -2.0], [0.4, 0.4], "saddle", False),
        ([-1.0, -2.0], [9.0, 0.0], "maximum", False),
    ],
)
def test_nature_and_place(
    curvature: list[float], slope: list[float], nature: str, optimum: bool
) -> None:
    fit, values = surface(np.diag(curvature), np.array(slope))
    found = canonical_analysis(fit, values)
    assert found.nature == nature
    assert found.statement.startswith("no interior optimum") is not optimum
    constant, linear, matrix = quadratic_form(fit)
    gradient = linear + 2 * matrix @ found.point
    assert np.allclose(gradient, 0, atol=1e-12)
    assert found.value == pytest.approx(constant + linear @ found.point / 2)


def test_aliased_curvature_is_no_optimum() -> None:
    a = np.tile([-1.0, 1.0], 10)
    b = np.repeat(np.linspace(-1, 1, 5), 4)
    rng = np.random.default_rng(0)
    fit = fit_surface(
        {"a": a, "b": b}, -(b**2) + rng.normal(0, 0.1, 20), [Factor("a"), Factor("b")]
    )
    found = canonical_analysis(fit, {"a": a, "b": b})
    assert found.nature == "unknown" and "a^2" in found.statement


@pytest.mark.parametrize("maximise", [True, False])
def test_ridge_is_best_on_every_sphere(maximise: bool) -> None:
    fit, values = surface(np.array([[1.0, 0.3], [0.3, -0.5]]), np.array([0.2, -0.6]))
    path = ridge_path(fit, values, maximise=maximise)
    assert np.allclose(np.linalg.norm(path.coded, axis=1), path.radius, atol=1e-9)
    angle = np.linspace(0, 2 * np.pi, 3601)
    sign = 1 if maximise else -1
    for radius, value in zip(path.radius, path.fit, strict=True):
        circle = fit.predict({"a": radius * np.cos(angle), "b": radius * np.sin(angle)}).fit
        assert sign * value >= (sign * circle).max() - 1e-9


def test_ridge_without_slope_follows_the_steepest_axis() -> None:
    fit, values = surface(np.diag([2.0, -1.0]), np.zeros(2))
    path = ridge_path(fit, values, radii=[0.5])
    assert abs(path.coded[0, 0]) == pytest.approx(0.5, abs=1e-2)


def test_steepest_path_starts_along_the_gradient() -> None:
    fit, values = surface(np.diag([-1.0, -2.0]), np.array([0.3, 0.4]))
    path = steepest_path(fit, values, steps=[0.0, 0.1, 2.0])
    _, linear, _ = quadratic_form(fit)
    assert np.allclose(path.coded[1], 0.1 * linear / np.linalg.norm(linear))
    assert path.fit[1] > path.fit[0]
    assert path.extrapolated.tolist() == [False, False, True]


def test_paths_are_extrapolated_where_the_hull_ends_not_the_box() -> None:
    rng = np.random.default_rng(3)
    z = rng.uniform(-1, 1, (400, 2))
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    z = np.vstack([corners, z[z.sum(axis=1) <= 0]])
    values = {"a": z[:, 0], "b": z[:, 1]}
    fit = fit_surface(values, z.sum(axis=1), [Factor("a"), Factor("b")])
    up = steepest_path(fit, values, steps=[0.0, 0.1, 0.5, 1.0])
    down = steepest_path(fit, values, maximise=False, steps=[0.0, 0.1, 0.5, 1.0])
    assert (np.abs(up.coded) < 1).all() and np.allclose(up.coded[:, 0], up.coded[:, 1])
    assert up.extrapolated.tolist() == [False, True, True, True]
    assert down.extrapolated.tolist() == [False] * 4
    ridge = ridge_path(fit, values)
    assert ridge.extrapolated.sum() == 10


@pytest.mark.parametrize(("thickness", "outside"), [(0.0, 3), (1e-12, 3), (1e-3, 3), (0.5, 2)])
def test_paths_off_a_line_of_settings_are_extrapolated(thickness: float, outside: int) -> None:
    line = np.linspace(-1, 1, 21)
    values = {"a": line, "b": line + thickness * np.sign(np.sin(99 * line))}
    fit = fit_surface(values, line, [Factor("a"), Factor("b")], degree=1)
    data = np.column_stack([values["a"], values["b"]])
    points = np.array([[0.0, 0.0], [0.3, 0.0], [0.9, -0.9], [1.5, 1.5]])
    assert (~_within_data(points, data)).sum() == outside
    assert steepest_path(fit, values, steps=[0.0, 2.5]).extrapolated.tolist() == [False, True]


def test_settings_without_a_hull_are_judged_by_their_box(monkeypatch: pytest.MonkeyPatch) -> None:
    def thin(*_: object) -> None:
        raise QhullError("initial simplex is flat")

    monkeypatch.setattr("tunescape.canonical.Region", thin)
    triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    points = np.array([[0.2, 0.2], [0.9, 0.9], [1.1, 0.0]])
    assert _within_data(points, triangle).tolist() == [True, True, False]


def test_hull_is_tighter_than_the_range() -> None:
    triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert inside_hull(np.array([0.25, 0.25]), triangle) is True
    assert inside_hull(np.array([0.9, 0.9]), triangle) is False
    assert inside_hull(np.array([np.nan, 0.0]), triangle) is None


def test_bootstrap_region_covers_a_clear_optimum_and_none_else() -> None:
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, (200, 2))
    labels = [str(i) for i in rng.integers(0, 25, 200)]
    values = {"a": z[:, 0], "b": z[:, 1]}
    factors = [Factor("a"), Factor("b")]
    clear = -((z[:, 0] - 0.2) ** 2) - (z[:, 1] + 0.1) ** 2 + rng.normal(0, 0.05, 200)
    found = optimum_region(fit_surface(values, clear, factors), values, labels, draws=500)
    assert found.inside > 0.99 and found.share["maximum"] > 0.99
    assert (found.low < [0.2, -0.1]).all() and (found.high > [0.2, -0.1]).all()
    alone = optimum_region(fit_surface(values, clear, factors), values, ["a"] * 200, draws=50)
    assert np.isnan(alone.low).all()
    slope = z[:, 0] + rng.normal(0, 0.5, 200)
    vague = optimum_region(fit_surface(values, slope, factors), values, labels, draws=500)
    assert vague.inside < 0.5
