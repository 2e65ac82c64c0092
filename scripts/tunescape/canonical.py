"""What a fitted second-order surface looks like: its stationary point, axes and paths.

All coordinates are coded. Sources: Box and Draper (2007), chapters 10-12; Hoerl, Technometrics
1 (1959), and Draper, Technometrics 5 (1963), for ridge analysis; the nine tables follow SAS
RSREG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tunescape import inference
from tunescape.errors import UserError
from tunescape.region import Region
from tunescape.surface import INTERCEPT, SurfaceFit

Array = NDArray[np.float64]
Nature = Literal["maximum", "minimum", "saddle", "ridge", "plane", "unknown"]

_FLAT = 1e-8


@dataclass(frozen=True)
class Canonical:
    """Canonical form ``y = value + sum(eigenvalues * w^2)``, largest eigenvalue first.

    Attributes:
        point, point_raw: stationary point, coded and raw; nan on a ridge or plane.
        value, se: prediction there and its classical standard error (link scale).
        eigenvectors: (factors, factors), one column an eigenvalue, first large entry positive.
        inside_range: within the smallest and largest value of each factor.
        inside_hull: within the convex hull of the data; None where it cannot be decided.
        statement: one sentence made from the above.
    """

    factors: tuple[str, ...]
    point: Array
    point_raw: Array
    value: float
    se: float
    eigenvalues: Array
    eigenvectors: Array
    nature: Nature
    inside_range: bool
    inside_hull: bool | None
    statement: str


def quadratic_form(fit: SurfaceFit, coef: Array | None = None) -> tuple[float, Array, Array]:
    """Constant, linear vector b and symmetric matrix B of ``y = b0 + b'z + z'Bz`` (coded).

    `coef` (kept,) replaces the fitted coefficients; aliased terms count as 0.

    Raises:
        UserError: a term of degree above 2.
    """
    k = len(fit.factors)
    full = np.zeros(len(fit.columns))
    full[list(fit.kept)] = fit.kept_coef if coef is None else coef
    constant, linear, matrix = 0.0, np.zeros(k), np.zeros((k, k))
    for term, value in zip(fit.terms, full[fit.n_effects :], strict=True):
        active = [i for i, p in enumerate(term.powers) for _ in range(p)]
        if len(active) > 2:
            raise UserError(
                f"the term {term.name} is of degree {len(active)}",
                where="canonical analysis",
                expected="a surface of degree 2 at most",
                fix="fit with degree: 2",
            )
        if not active:
            constant = float(value)
        elif len(active) == 1:
            linear[active[0]] = value
        elif active[0] == active[1]:
            matrix[active[0], active[0]] = value
        else:
            matrix[active[0], active[1]] = matrix[active[1], active[0]] = value / 2
    return constant, linear, matrix


def coded_data(fit: SurfaceFit, values: Mapping[str, ArrayLike]) -> Array:
    """Coded factor values, shape (rows, factors)."""
    return np.column_stack([f.encode(np.asarray(values[f.name])) for f in fit.factors])


def decode_point(fit: SurfaceFit, point: Array) -> Array:
    """Raw values of a coded point."""
    with np.errstate(over="ignore"):
        return np.array([float(f.decode(z)) for f, z in zip(fit.factors, point, strict=True)])


def inside_hull(point: Array, data: Array) -> bool | None:
    """Whether `point` is a convex combination of the rows of `data`, by linear programming."""
    from scipy.optimize import linprog

    unique = np.unique(data, axis=0)
    if not bool(np.all(np.isfinite(point))) or unique.shape[0] == 0:
        return None
    equal = np.vstack([unique.T, np.ones(unique.shape[0])])
    result = linprog(np.zeros(unique.shape[0]), A_eq=equal, b_eq=np.append(point, 1.0))
    if result.status == 0:
        return True
    return False if result.status == 2 else None


def canonical_analysis(fit: SurfaceFit, values: Mapping[str, ArrayLike]) -> Canonical:
    """Stationary point, curvature along the canonical axes, and whether it means anything here.

    `values` are the raw factor columns of the data. Curvatures below 1e-8 of the largest count
    as flat (a ridge). With aliased terms of degree 1 or 2 the shape is not determined.
    """
    _, linear, matrix = quadratic_form(fit)
    names = tuple(f.name for f in fit.factors)
    eigenvalues, eigenvectors = np.linalg.eigh(matrix)
    eigenvalues, eigenvectors = eigenvalues[::-1], eigenvectors[:, ::-1]
    leading = np.argmax(np.abs(eigenvectors) > 1e-9, axis=0)
    signs = np.sign(eigenvectors[leading, np.arange(len(names))])
    eigenvectors = eigenvectors * np.where(signs == 0, 1.0, signs)
    data = coded_data(fit, values)
    undetermined = [t for t in fit.aliased if t in {term.name for term in fit.terms}]
    size = float(np.max(np.abs(eigenvalues), initial=0.0))
    flat = np.abs(eigenvalues) <= _FLAT * size
    point = np.full(len(names), np.nan)
    value = se = float("nan")
    nature: Nature
    if size == 0:
        nature = "plane"
    elif flat.any():
        nature = "ridge"
    else:
        point = np.asarray(-0.5 * np.linalg.solve(matrix, linear), dtype=float)
        with np.errstate(over="ignore"):
            raw = decode_point(fit, point)
        usable = np.all(np.isfinite(raw)) and all(
            f.coding == "linear" or r > 0 for f, r in zip(fit.factors, raw, strict=True)
        )
        if usable:
            prediction = fit.predict({n: np.array([v]) for n, v in zip(names, raw, strict=True)})
            value, se = float(prediction.fit[0]), float(prediction.se[0])
        if bool(np.all(eigenvalues < 0)):
            nature = "maximum"
        else:
            nature = "minimum" if bool(np.all(eigenvalues > 0)) else "saddle"
    if undetermined:
        nature = "unknown"
    in_range = bool(np.all((point >= data.min(axis=0)) & (point <= data.max(axis=0))))
    hull = inside_hull(point, data) if in_range else False
    return Canonical(
        names,
        point,
        decode_point(fit, point),
        value,
        se,
        eigenvalues,
        eigenvectors,
        nature,
        in_range,
        hull,
        _statement(nature, in_range, hull, undetermined),
    )


def _statement(
    nature: Nature, in_range: bool, hull: bool | None, undetermined: Sequence[str]
) -> str:
    if nature == "unknown":
        listed = ", ".join(undetermined)
        return f"no stationary point: {len(undetermined)} term(s) cannot be estimated ({listed})"
    if nature in ("ridge", "plane"):
        return f"no interior optimum: the fitted surface is a {nature}"
    where = "inside the region of the data" if hull else "outside the region of the data"
    if nature == "saddle":
        return f"no interior optimum: the stationary point is a saddle, {where}"
    if not in_range or not hull:
        return f"no interior optimum: the stationary point is a {nature} {where}"
    return f"the stationary point is a {nature} {where}"


@dataclass(frozen=True)
class Path:
    """Points of a path in coded units, with predictions on the response scale.

    `extrapolated` marks points outside the convex hull of the coded settings.
    """

    radius: Array
    coded: Array
    raw: Array
    fit: Array
    se: Array
    ci_low: Array
    ci_high: Array
    extrapolated: NDArray[np.bool_]


def _within_data(points: Array, data: Array) -> NDArray[np.bool_]:
    """Which rows of `points` lie in the hull of `data`; within its box where it has no hull."""
    from scipy.spatial import QhullError

    inside = np.all((points >= data.min(axis=0) - 1e-9) & (points <= data.max(axis=0) + 1e-9), 1)
    try:
        return np.asarray(inside & Region(data).contains(points))
    except QhullError:  # nearly flat: too thin for facets, too thick for a subspace
        return np.asarray(inside)


def _along(
    fit: SurfaceFit, values: Mapping[str, ArrayLike], radius: Array, coded: Array, level: float
) -> Path:
    raw = np.column_stack([f.decode(coded[:, i]) for i, f in enumerate(fit.factors)])
    predicted = fit.predict({f.name: raw[:, i] for i, f in enumerate(fit.factors)}, level=level)
    outside = ~_within_data(coded, coded_data(fit, values))
    return Path(
        radius,
        coded,
        raw,
        predicted.fit,
        predicted.se,
        predicted.ci_low,
        predicted.ci_high,
        outside,
    )


def ridge_path(
    fit: SurfaceFit,
    values: Mapping[str, ArrayLike],
    *,
    maximise: bool = True,
    radii: ArrayLike | None = None,
    level: float = 0.95,
) -> Path:
    """Best predicted response on spheres about the coded centre (radius 0 to 1 by default).

    On the sphere of radius R the best point is ``z = (mu I - B)^-1 b / 2`` with mu above (below)
    every eigenvalue and chosen so that ``|z| = R``.
    """
    steps = np.linspace(0.0, 1.0, 11) if radii is None else np.asarray(radii, dtype=float)
    _, linear, matrix = quadratic_form(fit)
    sign = 1.0 if maximise else -1.0
    eigenvalues, vectors = np.linalg.eigh(sign * matrix)
    b = vectors.T @ (sign * linear)
    coded = np.vstack([vectors @ _on_sphere(eigenvalues, b, float(r)) for r in steps])
    return _along(fit, values, steps, coded, level)


def _on_sphere(eigenvalues: Array, b: Array, radius: float) -> Array:
    """Maximiser of ``b'z + sum(eigenvalues z^2)`` with ``|z| = radius``, in eigen-coordinates."""
    if radius <= 0:
        return np.zeros_like(b)
    top = float(eigenvalues[-1])
    scale = max(float(np.max(np.abs(eigenvalues))), float(np.linalg.norm(b)), 1e-300)
    low = top + 1e-14 * scale
    high = top + float(np.linalg.norm(b)) / (2 * radius) + scale

    def length(mu: float) -> float:
        return float(np.linalg.norm(b / (2 * (mu - eigenvalues))))

    if length(low) <= radius:
        # The hard case: no slope along the top axis, so the rest of the radius goes there.
        free = eigenvalues < top - 1e-12 * scale
        z = np.zeros_like(b)
        z[free] = b[free] / (2 * (top - eigenvalues[free]))
        z[-1] = np.sqrt(max(radius**2 - float(z @ z), 0.0))
        return z
    for _ in range(200):
        middle = (low + high) / 2
        if length(middle) > radius:
            low = middle
        else:
            high = middle
    z = b / (2 * ((low + high) / 2 - eigenvalues))
    return np.asarray(z * (radius / float(np.linalg.norm(z))), dtype=float)


def steepest_path(
    fit: SurfaceFit,
    values: Mapping[str, ArrayLike],
    *,
    maximise: bool = True,
    steps: ArrayLike | None = None,
    level: float = 0.95,
) -> Path:
    """Straight path from the coded centre along the gradient there."""
    lengths = np.linspace(0.0, 1.0, 11) if steps is None else np.asarray(steps, dtype=float)
    _, linear, _ = quadratic_form(fit)
    norm = float(np.linalg.norm(linear))
    direction = linear / norm if norm > 0 else np.zeros_like(linear)
    coded = lengths[:, None] * direction * (1.0 if maximise else -1.0)
    return _along(fit, values, lengths, coded, level)


@dataclass(frozen=True)
class OptimumRegion:
    """Where the stationary point falls in cluster-bootstrap refits (coded).

    ``share`` counts how many draws give each nature; ``inside`` is the share of draws whose
    point is an optimum of the wanted kind within the data's range. Limits are percentiles of
    those draws, nan when fewer than half are of that kind, when fewer than half of the resamples
    determine the surface, or with one cluster.
    """

    draws: int
    share: dict[str, float]
    inside: float
    low: Array
    high: Array
    points: Array


def optimum_region(
    fit: SurfaceFit,
    values: Mapping[str, ArrayLike],
    labels: Sequence[str],
    *,
    maximise: bool = True,
    draws: int = 2_000,
    seed: int = 0,
    level: float = 0.95,
    resample: inference.Resampling = "clusters",
) -> OptimumRegion:
    """Bootstrap confidence region of the optimum, resampling clusters (or residuals)."""
    if resample == "residuals":
        coefs = inference.residual_bootstrap(fit, draws, seed)
    else:
        coefs = inference.cluster_bootstrap(fit, labels, draws, seed)
    # Effects and intercept do not shape the surface, and resamples with effects lack them.
    shape = [
        i for i, j in enumerate(fit.kept) if j >= fit.n_effects and fit.columns[j] != INTERCEPT
    ]
    coefs = coefs[np.isfinite(coefs[:, shape]).all(axis=1)]
    k = len(fit.factors)
    linear = np.zeros((len(coefs), k))
    matrix = np.zeros((len(coefs), k, k))
    for i, j in enumerate(fit.kept):
        if j < fit.n_effects:
            continue
        term = fit.terms[j - fit.n_effects]
        active = [f for f, p in enumerate(term.powers) for _ in range(p)]
        if len(active) == 1:
            linear[:, active[0]] = coefs[:, i]
        elif len(active) == 2:
            half = coefs[:, i] / 2
            matrix[:, active[0], active[1]] += half
            matrix[:, active[1], active[0]] += half
    eigenvalues = np.linalg.eigvalsh(matrix) if len(coefs) else np.empty((0, k))
    proper = np.abs(eigenvalues).min(axis=1, initial=np.inf) > _FLAT * np.abs(eigenvalues).max(
        axis=1, initial=0.0
    )
    points = np.full_like(linear, np.nan)
    if proper.any():
        solved = np.linalg.solve(matrix[proper], linear[proper][:, :, None])
        points[proper] = -0.5 * solved[:, :, 0]
    down, up = (eigenvalues < 0).all(axis=1) & proper, (eigenvalues > 0).all(axis=1) & proper
    wanted = down if maximise else up
    data = coded_data(fit, values)
    within = ((points >= data.min(axis=0)) & (points <= data.max(axis=0))).all(axis=1) & wanted
    count = max(len(coefs), 1)
    share = {
        "maximum": float(down.sum() / count),
        "minimum": float(up.sum() / count),
        "saddle": float((proper & ~down & ~up).sum() / count),
    }
    tail = (1 - level) / 2
    told = (len(set(labels)) > 1 or resample == "residuals") and len(coefs) >= draws / 2
    if told and wanted.mean() >= 0.5:
        low, high = np.quantile(points[wanted], [tail, 1 - tail], axis=0)
    else:
        low = high = np.full(k, np.nan)
    return OptimumRegion(len(coefs), share, float(within.sum() / count), low, high, points[wanted])


def rsreg_tables(fit: SurfaceFit, values: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """The nine tables of SAS RSREG as plain data (classical inference, coded units).

    Keys: coding, model_anova, error_anova, factor_anova, estimates, spectral, stationary_point,
    ridge, fit_statistics. The model table adds orders one after another (type I).
    """
    classical = inference.covariance(fit, "classical")
    tests = inference.term_tests(fit, classical)
    lack = inference.lack_of_fit(fit)
    canonical = canonical_analysis(fit, values)
    mean = float(np.average(fit.response, weights=fit.weights))
    root_mse = fit.sigma
    ridge = {
        goal: _records(ridge_path(fit, values, maximise=goal == "maximum"), fit)
        for goal in ("maximum", "minimum")
    }
    return {
        "coding": [asdict(f) for f in fit.factors],
        "model_anova": _sequential_anova(fit),
        "error_anova": [
            _anova("lack of fit", lack.ss_lack, lack.df_lack, lack.f, lack.p),
            _anova("pure error", lack.ss_pure, lack.df_pure),
            _anova("total error", fit.rss, fit.df_residual),
        ],
        "factor_anova": [
            {"factor": t.name.removeprefix("factor:"), "df": t.df1, "f": t.f, "p": t.p}
            for t in inference.joint_tests(fit, classical)
            if t.name.startswith("factor:")
        ],
        "estimates": [
            {"term": name, "estimate": b, "se": s, "t": t, "p": p}
            for name, b, s, t, p in zip(
                tests.terms, tests.estimate, tests.se, tests.t, tests.p, strict=True
            )
        ],
        "spectral": [
            {"eigenvalue": float(e), **dict(zip(canonical.factors, map(float, v), strict=True))}
            for e, v in zip(canonical.eigenvalues, canonical.eigenvectors.T, strict=True)
        ],
        "stationary_point": {
            "coded": dict(zip(canonical.factors, map(float, canonical.point), strict=True)),
            "raw": dict(zip(canonical.factors, map(float, canonical.point_raw), strict=True)),
            "predicted": canonical.value,
            "nature": canonical.nature,
            "statement": canonical.statement,
        },
        "ridge": ridge,
        "fit_statistics": {
            "response_mean": mean,
            "root_mse": root_mse,
            "r2": fit.r2,
            "r2_kind": fit.r2_kind,
            "coefficient_of_variation": 100 * root_mse / mean if mean else float("nan"),
        },
    }


def _anova(
    source: str, ss: float, df: int, f: float = float("nan"), p: float = float("nan")
) -> dict[str, Any]:
    return {
        "source": source, "df": df, "ss": ss,
        "ms": ss / df if df > 0 else float("nan"), "f": f, "p": p,
    }  # fmt: skip


def _sequential_anova(fit: SurfaceFit) -> list[dict[str, Any]]:
    kinds = {term.name: term.kind for term in fit.terms}
    wanted = ["linear", "quadratic", "interaction", "higher"]
    order = sorted(
        range(fit.rank),
        key=lambda i: wanted.index(k) if (k := kinds.get(fit.kept_names[i], "")) in wanted else -1,
    )
    root = np.sqrt(fit.weights)
    q = np.linalg.qr(fit.design[:, order] * root[:, None])[0]
    gains = (q.T @ (root * fit.response)) ** 2
    rows = []
    for kind in wanted:
        mine = [
            g for g, i in zip(gains, order, strict=True) if kinds.get(fit.kept_names[i]) == kind
        ]
        if mine:
            rows.append(_tested(kind, float(np.sum(mine)), len(mine), fit))
    all_terms = [
        g for g, i in zip(gains, order, strict=True) if kinds.get(fit.kept_names[i]) in wanted
    ]
    rows.append(_tested("total model", float(np.sum(all_terms)), len(all_terms), fit))
    return rows


def _tested(source: str, ss: float, df: int, fit: SurfaceFit) -> dict[str, Any]:
    if not fit.sigma2 > 0 or df < 1:
        return _anova(source, ss, df)
    f = ss / df / fit.sigma2
    row = _anova(source, ss, df, f, float(stats.f.sf(f, df, fit.df_residual)))
    row["r2"] = ss / fit.tss if fit.tss > 0 else float("nan")
    return row


def _records(path: Path, fit: SurfaceFit) -> list[dict[str, Any]]:
    return [
        {
            "radius": float(path.radius[i]),
            "fit": float(path.fit[i]),
            "se": float(path.se[i]),
            "extrapolated": bool(path.extrapolated[i]),
            "raw": {f.name: float(path.raw[i, j]) for j, f in enumerate(fit.factors)},
        }
        for i in range(len(path.radius))
    ]
