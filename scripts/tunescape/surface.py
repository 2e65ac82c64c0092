"""Second-order response surfaces: coding, named terms, design matrix, certified least squares.

This is the only module that builds a design matrix. Columns are made in coded units
(``(x - centre) / scale``, or the same of ``log x``), rank is decided there, coefficients are
found by QR and polished with residuals in extended precision, and raw coefficients follow by
exact rational arithmetic.

Sources: Box and Draper, "Response Surfaces, Mixtures, and Ridge Analyses" (2nd ed., 2007);
Forsythe, J. SIAM 5 (1957), for orthogonal polynomials; Bjorck, "Numerical Methods for Least
Squares Problems" (1996), sections 2.9 and 6.6, for the refinement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations_with_replacement
from math import comb, frexp
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, stats

from tunescape import extended
from tunescape.errors import UserError
from tunescape.extended import DoubleDouble

Array = NDArray[np.float64]
Coding = Literal["linear", "log"]
Link = Literal["identity", "logit", "log"]

INTERCEPT = "intercept"
RANK_TOLERANCE = 1e-7
_MAX_REFINEMENTS = 10


@dataclass(frozen=True)
class Factor:
    """One factor with its coding: ``z = (g(x) - centre) / scale``, g the identity or natural log.

    ``centre`` and ``scale`` are in raw units for linear coding, in log-units for log coding.
    """

    name: str
    coding: Coding = "linear"
    centre: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.coding not in ("linear", "log"):
            raise UserError(
                f"unknown coding {self.coding!r}",
                where=f"factor {self.name}",
                expected="linear or log",
                fix="name one of the two",
            )
        if not (np.isfinite(self.centre) and np.isfinite(self.scale) and self.scale > 0):
            raise UserError(
                f"centre {self.centre!r}, scale {self.scale!r} cannot code a factor",
                where=f"factor {self.name}",
                expected="finite numbers, scale above 0",
                fix="give the factor at least two distinct values or a scale",
            )

    def measure(self, values: ArrayLike) -> Array:
        """Values on the coding's own scale: raw for linear, natural log for log coding."""
        x = np.asarray(values, dtype=float)
        if self.coding == "linear":
            return x
        if bool(np.any(x <= 0)):
            raise UserError(
                "log coding met a value that is not positive",
                where=f"factor {self.name}",
                expected="values above 0",
                fix="code the factor linearly or drop those rows",
            )
        return np.asarray(np.log(x), dtype=float)

    def encode(self, values: ArrayLike) -> Array:
        """Coded values of raw ones."""
        return (self.measure(values) - self.centre) / self.scale

    def decode(self, coded: ArrayLike) -> Array:
        """Raw values of coded ones."""
        measured = np.asarray(coded, dtype=float) * self.scale + self.centre
        return measured if self.coding == "linear" else np.asarray(np.exp(measured), dtype=float)


def code_factor(
    name: str, values: ArrayLike, coding: Coding = "linear", *, through_origin: bool = False
) -> Factor:
    """Factor coded so that the range of `values` becomes [-1, 1].

    Through the origin only the scale is chosen (largest absolute value becomes 1), since a
    model without an intercept changes when its factors are centred. A constant factor gets
    scale 1, and its terms turn out aliased.
    """
    measured = Factor(name, coding).measure(values)
    if measured.size == 0 or not bool(np.all(np.isfinite(measured))):
        raise UserError(
            "cannot code a factor without finite values",
            where=f"factor {name}",
            expected="at least one finite number",
            fix="drop rows where it is missing",
        )
    low, high = float(measured.min()), float(measured.max())
    if through_origin:
        reach = max(abs(low), abs(high))
        return Factor(name, coding, 0.0, reach if reach > 0 else 1.0)
    half = (high - low) / 2
    return Factor(name, coding, low + half, half if half > 0 else 1.0)


@dataclass(frozen=True)
class Term:
    """A monomial in the factors, e.g. powers (1, 1, 0) of (a, b, c) is ``a:b``."""

    name: str
    powers: tuple[int, ...]

    @property
    def order(self) -> int:
        """Total degree."""
        return sum(self.powers)

    @property
    def kind(self) -> str:
        """``intercept``, ``linear``, ``quadratic``, ``interaction`` or ``higher``."""
        if self.order > 2:
            return "higher"
        if self.order == 2:
            return "quadratic" if 2 in self.powers else "interaction"
        return "linear" if self.order else "intercept"


def term_name(names: Sequence[str], powers: Sequence[int]) -> str:
    """Name of a monomial: ``a``, ``a^2``, ``a:b``."""
    parts = [
        name if power == 1 else f"{name}^{power}"
        for name, power in zip(names, powers, strict=True)
        if power
    ]
    return ":".join(parts) if parts else INTERCEPT


def polynomial_terms(
    names: Sequence[str], degree: int = 2, *, intercept: bool = True, interactions: bool = True
) -> tuple[Term, ...]:
    """All terms up to `degree` in the order a, b, c, a^2, a:b, a:c, b^2, b:c, c^2.

    That is graded lexicographic order, the one of scikit-learn's PolynomialFeatures.
    """
    k = len(names)
    if k < 1 or degree < 1:
        raise UserError(
            f"no surface of {k} factors and degree {degree}",
            where="surface",
            expected="at least one factor and degree 1",
            fix="name factors and a degree",
        )
    if len(set(names)) != k:
        raise UserError(
            "a factor is named twice",
            where=f"factors {', '.join(names)}",
            expected="distinct names",
            fix="drop the repetition",
        )
    terms = [Term(INTERCEPT, (0,) * k)] if intercept else []
    for order in range(1, degree + 1):
        for picked in combinations_with_replacement(range(k), order):
            powers = tuple(picked.count(i) for i in range(k))
            if interactions or sum(1 for p in powers if p) == 1:
                terms.append(Term(term_name(names, powers), powers))
    return tuple(terms)


def design_matrix(
    values: Mapping[str, ArrayLike], factors: Sequence[Factor], terms: Sequence[Term]
) -> Array:
    """Coded design matrix, shape (rows, terms)."""
    return _extended_design(values, factors, terms).high


def _extended_design(
    values: Mapping[str, ArrayLike], factors: Sequence[Factor], terms: Sequence[Term]
) -> DoubleDouble:
    """Coded design matrix in extended precision, so that coding loses no digit of the data."""
    coded: list[DoubleDouble] = []
    rows = 0
    for f in factors:
        if f.name not in values:
            raise UserError(
                f"no values of factor {f.name}",
                where="surface",
                expected=f"one column for each of {', '.join(g.name for g in factors)}",
                fix="add the column or drop the factor",
            )
        measured = np.atleast_1d(f.measure(values[f.name]))
        rows = measured.shape[0]
        shifted = extended.subtract(
            extended.from_float(measured), extended.from_float(np.full(rows, f.centre))
        )
        coded.append(extended.divide(shifted, extended.from_float(np.full(rows, f.scale))))
    high = np.empty((rows, len(terms)))
    low = np.empty((rows, len(terms)))
    for j, term in enumerate(terms):
        column = extended.from_float(np.ones(rows))
        for z, power in zip(coded, term.powers, strict=True):
            for _ in range(power):
                column = extended.multiply(column, z)
        high[:, j], low[:, j] = column.high, column.low
    return DoubleDouble(high, low)


@dataclass(frozen=True)
class Aliasing:
    """Columns kept, and each other one as a combination of kept columns (weights by index)."""

    kept: tuple[int, ...]
    combinations: dict[int, dict[int, float]]


def find_aliases(
    design: Array, order: Sequence[int] | None = None, tolerance: float = RANK_TOLERANCE
) -> Aliasing:
    """Decide the rank of `design` (rows, columns) one column at a time, in `order`.

    A column is aliased when what the columns before it leave of it is shorter than `tolerance`
    times its own length (modified Gram-Schmidt, done twice).
    """
    sequence = list(range(design.shape[1])) if order is None else list(order)
    basis: list[Array] = []
    kept: list[int] = []
    dropped: list[int] = []
    for j in sequence:
        column = design[:, j].astype(float)
        length = float(np.linalg.norm(column))
        rest = column / length if length > 0 else column
        for _ in range(2):
            for unit in basis:
                rest = rest - unit * float(unit @ rest)
        left = float(np.linalg.norm(rest))
        if length > 0 and left > tolerance and len(kept) < design.shape[0]:
            basis.append(rest / left)
            kept.append(j)
        else:
            dropped.append(j)
    kept.sort()
    combinations: dict[int, dict[int, float]] = {}
    for j in sorted(dropped):
        if not kept:
            combinations[j] = {}
            continue
        weights = np.linalg.lstsq(design[:, kept], design[:, j], rcond=None)[0]
        size = float(np.max(np.abs(weights), initial=0.0))
        combinations[j] = {
            i: float(w) for i, w in zip(kept, weights, strict=True) if abs(w) > 1e-6 * size > 0
        }
    return Aliasing(tuple(kept), combinations)


@dataclass(frozen=True)
class _Solution:
    coef: DoubleDouble
    residuals: Array
    q: Array
    r: Array


def _least_squares(design: DoubleDouble, response: Array, root_weights: Array) -> _Solution:
    """QR solution of full-rank weighted least squares, polished in extended precision.

    Corrections solve ``R'R d = X'W(y - Xb)`` with the right-hand side accurate to 32 digits, so
    the limit is the exact solution for the given doubles while cond(X)^2 * 1e-16 is below 1.
    """
    weighted = design.high * root_weights[:, None]
    q, r = np.linalg.qr(weighted)
    start = linalg.solve_triangular(r, q.T @ (response * root_weights))
    coef = extended.from_float(np.asarray(start, dtype=float))
    y = extended.from_float(response)
    square = extended.multiply(extended.from_float(root_weights), extended.from_float(root_weights))
    columns = extended.transpose(design)
    residual = extended.subtract(y, extended.matvec(design, coef))
    before = np.inf
    for _ in range(_MAX_REFINEMENTS):
        moment = extended.matvec(columns, extended.multiply(square, residual))
        gradient = moment.high + moment.low
        step = linalg.solve_triangular(r, linalg.solve_triangular(r, gradient, trans=1))
        size = float(np.max(np.abs(r @ step), initial=0.0))
        if not size < before / 2:
            break
        coef = extended.add(coef, extended.from_float(np.asarray(step, dtype=float)))
        residual = extended.subtract(y, extended.matvec(design, coef))
        before = size
    return _Solution(coef, residual.high + residual.low, q, r)


def apply_link(response: ArrayLike, link: Link) -> Array:
    """Response on the link scale.

    Logit: shares of exactly 0 or 1 are moved inwards as ``(y (n - 1) + 0.5) / n`` (Smithson and
    Verkuilen, Psychological Methods 11, 2006), for every row or for none. Log: values above 0.
    """
    y = np.asarray(response, dtype=float)
    if link == "identity":
        return y
    if link == "logit":
        if bool(np.any((y < 0) | (y > 1))):
            raise UserError(
                "the logit link met a value outside [0, 1]",
                where="link",
                expected="shares",
                fix="use link: identity, or correct the values",
            )
        if bool(np.any((y == 0) | (y == 1))):
            y = (y * (y.size - 1) + 0.5) / y.size
        return np.asarray(np.log(y) - np.log1p(-y), dtype=float)
    if link == "log":
        if bool(np.any(y <= 0)):
            raise UserError(
                "the log link met a value that is not positive",
                where="link",
                expected="values above 0",
                fix="use link: identity, or correct the values",
            )
        return np.asarray(np.log(y), dtype=float)
    raise UserError(
        f"unknown link {link!r}",
        where="link",
        expected="identity, logit or log",
        fix="name one of the three",
    )


def invert_link(values: ArrayLike, link: Link) -> Array:
    """Response scale of values on the link scale."""
    eta = np.asarray(values, dtype=float)
    if link == "logit":
        return np.asarray(1 / (1 + np.exp(-eta)), dtype=float)
    return np.asarray(np.exp(eta), dtype=float) if link == "log" else eta


@dataclass(frozen=True)
class RawCoefficients:
    """Coefficients of the monomials in raw units (log-units for log-coded factors)."""

    terms: tuple[str, ...]
    estimate: Array
    covariance: Array

    @property
    def se(self) -> Array:
        """Standard errors, shape (terms,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)), dtype=float)


@dataclass(frozen=True)
class Prediction:
    """Predictions on the response scale; `se` on the link scale; intervals at `level`.

    `estimable` is false where an aliased term departs from its alias, so that the data do not
    determine the value; `extrapolated` where the leverage exceeds the largest in the data.
    """

    fit: Array
    se: Array
    ci_low: Array
    ci_high: Array
    pi_low: Array
    pi_high: Array
    level: float
    estimable: NDArray[np.bool_]
    extrapolated: NDArray[np.bool_]


@dataclass(frozen=True)
class Slopes:
    """First derivatives at one point, each factor per raw unit and per coding unit."""

    point: dict[str, float]
    factors: tuple[str, ...]
    per_coded_unit: Array
    per_measured_unit: Array
    per_raw_unit: Array
    se_per_measured_unit: Array


@dataclass(frozen=True)
class SurfaceFit:
    """A fitted surface. Columns are the nuisance effects and the terms, in `columns` order.

    Attributes:
        factors, terms: the model; `columns` are all column names, `kept` the estimated ones.
        aliased: not estimated column -> combination of kept columns, weights by name.
        coef: (columns,) coded coefficients, nan where aliased.
        r_inverse: (kept, kept), so that ``(X'WX)^-1 = r_inverse @ r_inverse.T``.
        design: (rows, kept) coded, unweighted; `response` is on the link scale.
        sigma2: residual variance, nan when no degrees of freedom are left.
        r2_kind: ``centred`` with an intercept, ``uncentred`` through the origin.
    """

    factors: tuple[Factor, ...]
    terms: tuple[Term, ...]
    columns: tuple[str, ...]
    kept: tuple[int, ...]
    aliased: dict[str, dict[str, float]]
    intercept: bool
    link: Link
    coef: Array
    r_inverse: Array
    design: Array
    q: Array
    response: Array
    weights: Array
    fitted: Array
    residuals: Array
    leverage: Array
    rss: float
    tss: float
    df_residual: int
    sigma2: float
    condition_coded: float
    condition_raw: float
    _coef_low: Array = field(repr=False)

    @property
    def n(self) -> int:
        """Rows used."""
        return int(self.response.shape[0])

    @property
    def rank(self) -> int:
        """Columns estimated."""
        return len(self.kept)

    @property
    def n_effects(self) -> int:
        """Nuisance columns, which come first in `columns`."""
        return len(self.columns) - len(self.terms)

    @property
    def kept_names(self) -> tuple[str, ...]:
        """Names of the estimated columns."""
        return tuple(self.columns[j] for j in self.kept)

    @property
    def kept_coef(self) -> Array:
        """Coded coefficients of the estimated columns, shape (kept,)."""
        return self.coef[list(self.kept)]

    @property
    def covariance(self) -> Array:
        """Classical covariance of the estimated coefficients in coded units, (kept, kept)."""
        return np.asarray(self.sigma2 * (self.r_inverse @ self.r_inverse.T), dtype=float)

    @property
    def r2_kind(self) -> str:
        """Which sum of squares R2 is a share of."""
        return "centred" if self.intercept else "uncentred"

    @property
    def r2(self) -> float:
        """Share of the (centred or uncentred) sum of squares that the model takes up."""
        return 1 - self.rss / self.tss if self.tss > 0 else float("nan")

    @property
    def adjusted_r2(self) -> float:
        """R2 adjusted for degrees of freedom."""
        if self.df_residual < 1 or self.tss <= 0:
            return float("nan")
        df_total = self.n - int(self.intercept)
        return 1 - (self.rss / self.df_residual) / (self.tss / df_total)

    @property
    def sigma(self) -> float:
        """Residual standard deviation on the link scale."""
        return float(np.sqrt(self.sigma2))

    def position(self, term: str) -> int | None:
        """Index of a column among the estimated ones, None when it is aliased."""
        j = self.columns.index(term)
        return self.kept.index(j) if j in self.kept else None

    def confounded(self) -> dict[str, tuple[str, ...]]:
        """Estimated columns whose value holds only if the listed aliased columns are zero."""
        found: dict[str, list[str]] = {}
        for name, combination in self.aliased.items():
            for other in combination:
                found.setdefault(other, []).append(name)
        return {name: tuple(sorted(others)) for name, others in found.items()}

    def rows(self, values: Mapping[str, ArrayLike]) -> Array:
        """Coded rows (points, kept) of new points; nuisance effects at their reference level."""
        terms = design_matrix(values, self.factors, self.terms)
        full = np.hstack([np.zeros((terms.shape[0], self.n_effects)), terms])
        return full[:, list(self.kept)]

    def predict(
        self,
        values: Mapping[str, ArrayLike],
        *,
        level: float = 0.95,
        covariance: Array | None = None,
        df: float | None = None,
    ) -> Prediction:
        """Mean and intervals at new points (raw units); `covariance` (kept, kept) may be robust."""
        terms = design_matrix(values, self.factors, self.terms)
        full = np.hstack([np.zeros((terms.shape[0], self.n_effects)), terms])
        x = full[:, list(self.kept)]
        cov = self.covariance if covariance is None else covariance
        eta = x @ self.kept_coef
        leverage = np.sum((x @ self.r_inverse) ** 2, axis=1)
        se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", x, cov, x), 0.0))
        degrees = self.df_residual if df is None else df
        quantile = float(stats.t.ppf(0.5 + level / 2, degrees)) if degrees > 0 else float("nan")
        spread = np.sqrt(se**2 + self.sigma2)
        estimable = np.ones(x.shape[0], dtype=bool)
        for name, combination in self.aliased.items():
            expected = sum(
                (w * full[:, self.columns.index(other)] for other, w in combination.items()),
                np.zeros(x.shape[0]),
            )
            actual = full[:, self.columns.index(name)]
            estimable &= np.abs(actual - expected) <= 1e-6 * (1 + np.abs(actual))

        def back(value: Array) -> Array:
            return invert_link(value, self.link)

        return Prediction(
            back(eta),
            se,
            back(eta - quantile * se),
            back(eta + quantile * se),
            back(eta - quantile * spread),
            back(eta + quantile * spread),
            level,
            estimable,
            leverage > float(self.leverage.max(initial=0.0)) * (1 + 1e-9),
        )

    def raw(self, covariance: Array | None = None) -> RawCoefficients:
        """Coefficients of the raw monomials by exact back-transformation.

        ``covariance`` (kept, kept) is coded; the classical one by default. Aliased terms give
        nan. An estimate rests on the aliased terms being zero (see `confounded`).
        """
        if covariance is None:
            root = self.r_inverse * self.sigma
        else:
            values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
        mapping = self._raw_mapping()
        size = len(self.columns)
        estimate = np.full(size, np.nan)
        rows = np.full((size, root.shape[1]), np.nan)
        for target, sources in mapping.items():
            exact = Fraction(0)
            for i, weight in sources.items():
                j = self.kept[i]
                exact += weight * (Fraction(self.coef[j]) + Fraction(self._coef_low[j]))
            estimate[target] = float(exact)
            if bool(np.all(np.isfinite(root))):
                for c in range(root.shape[1]):
                    rows[target, c] = float(
                        sum((w * Fraction(root[i, c]) for i, w in sources.items()), Fraction(0))
                    )
        return RawCoefficients(self.columns, estimate, rows @ rows.T)

    def _raw_mapping(self) -> dict[int, dict[int, Fraction]]:
        """For each raw column that is estimable: its weights on the kept coded coefficients."""
        lookup = {term.powers: self.n_effects + j for j, term in enumerate(self.terms)}
        mapping: dict[int, dict[int, Fraction]] = {}
        for i, j in enumerate(self.kept):
            if j < self.n_effects:
                mapping.setdefault(j, {})[i] = Fraction(1)
                continue
            for powers, weight in _expand(self.terms[j - self.n_effects], self.factors).items():
                if weight:
                    mapping.setdefault(lookup[powers], {})[i] = weight
        return {target: mapping[target] for target in mapping if target in self.kept}

    def slopes(self, point: Mapping[str, float], *, covariance: Array | None = None) -> Slopes:
        """Derivatives on the link scale at a point in raw units.

        ``per_measured_unit`` is per raw unit for linear and per log-unit for log coding.
        """
        cov = self.covariance if covariance is None else covariance
        gradients = gradient_rows(self, point)
        coded = gradients @ self.kept_coef
        scales = np.array([f.scale for f in self.factors])
        inner = np.array(
            [1.0 if f.coding == "linear" else 1.0 / point[f.name] for f in self.factors]
        )
        se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", gradients, cov, gradients), 0.0))
        measured = coded / scales
        return Slopes(
            {f.name: float(point[f.name]) for f in self.factors},
            tuple(f.name for f in self.factors),
            coded,
            measured,
            measured * inner,
            se / scales,
        )


def gradient_rows(fit: SurfaceFit, point: Mapping[str, float]) -> Array:
    """Rows (factors, kept) whose product with the coded coefficients is the coded gradient."""
    coded = [float(f.encode(np.array([point[f.name]]))[0]) for f in fit.factors]
    rows = np.zeros((len(fit.factors), len(fit.columns)))
    for j, term in enumerate(fit.terms):
        for k, power in enumerate(term.powers):
            if power:
                others = [
                    z**p for i, (z, p) in enumerate(zip(coded, term.powers, strict=True)) if i != k
                ]
                rows[k, fit.n_effects + j] = power * coded[k] ** (power - 1) * np.prod(others)
    return rows[:, list(fit.kept)]


def _expand(term: Term, factors: Sequence[Factor]) -> dict[tuple[int, ...], Fraction]:
    """A coded monomial as an exact combination of raw monomials."""
    result: dict[tuple[int, ...], Fraction] = {(0,) * len(factors): Fraction(1)}
    for k, (factor, power) in enumerate(zip(factors, term.powers, strict=True)):
        centre, scale = Fraction(factor.centre), Fraction(factor.scale)
        grown: dict[tuple[int, ...], Fraction] = {}
        for powers, weight in result.items():
            for e in range(power + 1):
                key = (*powers[:k], e, *powers[k + 1 :])
                share = comb(power, e) * (-centre) ** (power - e) / scale**power
                grown[key] = grown.get(key, Fraction(0)) + weight * share
        result = grown
    return result


def _effect_columns(effects: Mapping[str, Sequence[str]], n: int) -> tuple[list[str], Array]:
    """Indicator columns of each grouping but its first level (alphabetical)."""
    names: list[str] = []
    columns: list[Array] = []
    for group, labels in effects.items():
        text = np.asarray([str(label) for label in labels])
        if text.shape[0] != n:
            raise UserError(
                f"{text.shape[0]} labels for {n} rows",
                where=f"effects {group}",
                expected="one label a row",
                fix="align the labels with the rows",
            )
        for level in sorted(set(text.tolist()))[1:]:
            names.append(f"{group}[{level}]")
            columns.append((text == level).astype(float))
    return names, np.column_stack(columns) if columns else np.empty((n, 0))


def fit_surface(
    values: Mapping[str, ArrayLike],
    response: ArrayLike,
    factors: Sequence[Factor],
    *,
    degree: int = 2,
    intercept: bool = True,
    interactions: bool = True,
    weights: ArrayLike | None = None,
    effects: Mapping[str, Sequence[str]] | None = None,
    link: Link = "identity",
    tolerance: float = RANK_TOLERANCE,
) -> SurfaceFit:
    """Fit a polynomial surface by (weighted) least squares in coded units.

    Args:
        values: raw factor columns by name, each of shape (rows,), finite.
        response: (rows,), finite, on the response scale.
        factors: with their coding; through the origin (no intercept) centres must be 0.
        degree: 1, 2 or more. interactions: with products of different factors or without.
        weights: (rows,) positive, inversely proportional to the error variance.
        effects: grouping name -> labels, entered as indicator columns before the terms.
        link: identity, logit or log, applied to the response before fitting.
        tolerance: relative length under which a column counts as aliased.

    Raises:
        UserError: lengths differ, values are missing or not finite, no rows, bad coding or link.
    """
    factors = tuple(factors)
    terms = polynomial_terms(
        [f.name for f in factors], degree, intercept=intercept, interactions=interactions
    )
    y = apply_link(response, link)
    n = int(y.shape[0])
    _check_rows(values, factors, y)
    if not intercept and any(f.centre != 0 for f in factors):
        raise UserError(
            "a model through the origin cannot use centred factors",
            where="surface",
            expected="centre 0 for every factor",
            fix="code with through_origin",
        )
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != (n,) or not bool(np.all(np.isfinite(w) & (w > 0))):
        raise UserError(
            "weights are not one positive number a row",
            where="weights",
            expected=f"{n} positive finite numbers",
            fix="drop rows without a weight",
        )
    names, indicator = _effect_columns(effects or {}, n)
    body = _extended_design(values, factors, terms)
    design = DoubleDouble(
        np.hstack([indicator, body.high]), np.hstack([np.zeros_like(indicator), body.low])
    )
    columns = (*names, *(t.name for t in terms))
    root = np.sqrt(w)
    aliasing = find_aliases(
        design.high * root[:, None], _rank_order(factors, terms, len(names)), tolerance
    )
    kept = list(aliasing.kept)
    full_rank = DoubleDouble(design.high[:, kept], design.low[:, kept])
    solution = _least_squares(full_rank, y, root)
    coef = np.full(len(columns), np.nan)
    coef_low = np.zeros(len(columns))
    coef[kept] = solution.coef.high
    coef_low[kept] = solution.coef.low
    residuals = solution.residuals
    rss = float(np.sum(w * residuals**2))
    mean = float(np.sum(w * y) / np.sum(w)) if intercept else 0.0
    df = n - len(kept)
    r_inverse = linalg.solve_triangular(solution.r, np.eye(len(kept)))
    return SurfaceFit(
        factors=factors,
        terms=terms,
        columns=columns,
        kept=aliasing.kept,
        aliased={
            columns[j]: {columns[i]: weight for i, weight in combination.items()}
            for j, combination in aliasing.combinations.items()
        },
        intercept=intercept,
        link=link,
        coef=coef,
        r_inverse=np.asarray(r_inverse, dtype=float),
        design=full_rank.high,
        q=solution.q,
        response=y,
        weights=w,
        fitted=y - residuals,
        residuals=residuals,
        leverage=np.sum(solution.q**2, axis=1),
        rss=rss,
        tss=float(np.sum(w * (y - mean) ** 2)),
        df_residual=df,
        sigma2=rss / df if df > 0 else float("nan"),
        condition_coded=_condition(full_rank.high * root[:, None]),
        condition_raw=_condition(_raw_columns(values, factors, terms) * root[:, None]),
        _coef_low=coef_low,
    )


def _check_rows(values: Mapping[str, ArrayLike], factors: Sequence[Factor], y: Array) -> None:
    if y.ndim != 1 or y.shape[0] == 0 or not bool(np.all(np.isfinite(y))):
        raise UserError(
            "the response is empty, missing in places or not finite",
            where="surface",
            expected="a vector of finite numbers",
            fix="drop rows without the metric",
        )
    for f in factors:
        column = np.asarray(values.get(f.name, np.empty(0)), dtype=float)
        if column.shape != y.shape or not bool(np.all(np.isfinite(column))):
            raise UserError(
                f"{column.size} values, or not all finite, for {y.shape[0]} rows",
                where=f"factor {f.name}",
                expected="one finite number a row",
                fix="drop rows where the factor is missing",
            )


def _rank_order(factors: Sequence[Factor], terms: Sequence[Term], n_effects: int) -> list[int]:
    """Columns by degree, then by factor names: aliasing must not depend on the factors' order."""
    names = [f.name for f in factors]

    def key(j: int) -> tuple[int, int, list[str]]:
        term = terms[j]
        spelled = sorted(name for name, p in zip(names, term.powers, strict=True) for _ in range(p))
        return term.order, 0 if term.kind != "interaction" else 1, spelled

    ordered = sorted(range(len(terms)), key=key)
    constant = [n_effects + j for j in ordered if terms[j].order == 0]
    others = [n_effects + j for j in ordered if terms[j].order > 0]
    return [*constant, *range(n_effects), *others]


def _raw_columns(
    values: Mapping[str, ArrayLike], factors: Sequence[Factor], terms: Sequence[Term]
) -> Array:
    plain = [Factor(f.name, f.coding) for f in factors]
    return design_matrix(values, plain, terms)


def _condition(matrix: Array) -> float:
    if matrix.size == 0:
        return float("nan")
    singular = np.linalg.svd(matrix, compute_uv=False)
    smallest = float(singular[-1])
    return float(singular[0]) / smallest if smallest > 0 else float("inf")


@dataclass(frozen=True)
class PolynomialFit:
    """A polynomial in one variable, by an orthogonal basis; coefficients by rising power."""

    powers: tuple[int, ...]
    coef: Array
    se: Array
    residuals: Array
    rss: float
    df_residual: int
    sigma: float
    r2: float
    r2_kind: str
    condition: float


def fit_polynomial(
    x: ArrayLike, y: ArrayLike, degree: int, *, intercept: bool = True
) -> PolynomialFit:
    """Fit ``y = b0 + b1 x + ...`` through polynomials orthogonal over the given points.

    The basis comes from Forsythe's three-term recurrence, is evaluated in extended precision,
    and its coefficients and their R^-1 are mapped to monomials in exact rational arithmetic, so
    that high degrees lose no digits. Without an intercept the powers start at 1.

    Raises:
        UserError: fewer distinct points than coefficients.
    """
    points = np.asarray(x, dtype=float)
    response = np.asarray(y, dtype=float)
    start = 0 if intercept else 1
    count = degree + 1 - start
    if np.unique(points).size < count or points.shape != response.shape:
        raise UserError(
            f"{np.unique(points).size} distinct points for {count} coefficients",
            where="polynomial",
            expected="at least as many points as coefficients",
            fix="lower the degree",
        )
    # A power of two: scaling by it is exact.
    unit = 2.0 ** frexp(float(np.max(np.abs(points))))[1]
    scaled = extended.from_float(points / unit)
    ones = extended.from_float(np.ones_like(points))
    current = ones if intercept else scaled
    exact: list[dict[int, Fraction]] = [{start: Fraction(1)}]
    columns = [current]
    previous: DoubleDouble | None = None
    for k in range(1, count):
        square = float(current.high @ current.high)
        alpha = float((scaled.high * current.high) @ current.high) / square
        shifted = extended.subtract(scaled, extended.from_float(np.full_like(points, alpha)))
        following = extended.multiply(shifted, current)
        grown: dict[int, Fraction] = {}
        for power, weight in exact[k - 1].items():
            grown[power + 1] = grown.get(power + 1, Fraction(0)) + weight
            grown[power] = grown.get(power, Fraction(0)) - Fraction(alpha) * weight
        if previous is not None:
            beta = square / float(previous.high @ previous.high)
            drop = extended.multiply(extended.from_float(np.full_like(points, beta)), previous)
            following = extended.subtract(following, drop)
            for power, weight in exact[k - 2].items():
                grown[power] = grown.get(power, Fraction(0)) - Fraction(beta) * weight
        previous, current = current, following
        columns.append(current)
        exact.append(grown)
    design = DoubleDouble(
        np.column_stack([c.high for c in columns]), np.column_stack([c.low for c in columns])
    )
    solution = _least_squares(design, response, np.ones_like(points))
    r_inverse = linalg.solve_triangular(solution.r, np.eye(count))
    rss = float(np.sum(solution.residuals**2))
    mean = float(response.mean()) if intercept else 0.0
    tss = float(np.sum((response - mean) ** 2))
    df = int(points.size) - count
    sigma = float(np.sqrt(rss / df)) if df > 0 else float("nan")
    powers = tuple(range(start, degree + 1))
    coef = np.empty(count)
    rows = np.zeros((count, count))
    for i, power in enumerate(powers):
        back = Fraction(unit) ** -power
        weights = [basis.get(power, Fraction(0)) * back for basis in exact]
        coef[i] = float(
            sum(
                (
                    w * (Fraction(high) + Fraction(low))
                    for w, high, low in zip(
                        weights, solution.coef.high, solution.coef.low, strict=True
                    )
                ),
                Fraction(0),
            )
        )
        for c in range(count):
            rows[i, c] = float(
                sum((w * Fraction(r_inverse[k, c]) for k, w in enumerate(weights)), Fraction(0))
            )
    norms = np.linalg.norm(design.high, axis=0)
    return PolynomialFit(
        powers=powers,
        coef=coef,
        se=np.asarray(sigma * np.linalg.norm(rows, axis=1), dtype=float),
        residuals=solution.residuals,
        rss=rss,
        df_residual=df,
        sigma=sigma,
        r2=1 - rss / tss if tss > 0 else float("nan"),
        r2_kind="centred" if intercept else "uncentred",
        condition=_condition(design.high / norms),
    )
