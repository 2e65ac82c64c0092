"""The printed surface: predictions at named settings and its shape, with rounding propagated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunescape.audit.findings import Finding, Severity
from tunescape.audit.printed import Interval
from tunescape.audit.table import PublishedTable
from tunescape.audit.views import Reading

Array = NDArray[np.float64]
Nature = Literal["maximum", "minimum", "saddle", "flat"]

_SHARE = Interval(0.0, 1.0)
BOUNDS: Mapping[str, Interval] = {
    **dict.fromkeys(("accuracy", "f1", "precision", "recall", "roc_auc"), _SHARE),
    "loss": Interval(0.0, float("inf")),
    **dict.fromkeys(("matthews_correlation", "pearson", "spearmanr"), Interval(-1.0, 1.0)),
}


def predict(
    table: PublishedTable,
    reading: Reading,
    setting: Mapping[str, float],
    baseline: Mapping[str, float],
) -> Interval | None:
    """What a printed table predicts at a setting, for all coefficients that print so.

    A relative table predicts a difference at the setting's difference to the baseline; the
    baseline's metric is added. A table without a constant is read as going through the origin.

    Returns:
        the exact range, or None where the table is no polynomial or a value is not known.
    """
    powers = reading.powers(table)
    relative = table.view == "relative"
    needed = (*reading.factors, table.metric) if relative else ()
    if powers is None or any(name not in baseline for name in needed):
        return None
    if any(name not in setting for name in reading.factors):
        return None
    point = [setting[n] - (baseline[n] if relative else 0.0) for n in reading.factors]
    total = Interval(0.0, 0.0)
    if relative:
        total = Interval(baseline[table.metric], baseline[table.metric])
    for row in table.rows:
        power = (0,) * len(point) if row.is_constant else powers[row.term]
        monomial = float(np.prod([x**e for x, e in zip(point, power, strict=True)]))
        total = total + row.coef.interval.times(monomial) if monomial else total
    return total


def check_predictions(
    table: PublishedTable,
    reading: Reading,
    settings: Mapping[str, Mapping[str, float]],
    baseline: Mapping[str, float],
) -> list[Finding]:
    """Predictions that the metric cannot take."""
    bounds = BOUNDS.get(table.metric)
    if bounds is None:
        return []
    found = []
    for name, setting in settings.items():
        value = predict(table, reading, setting, baseline)
        if value is None or (bounds.low <= value.low and value.high <= bounds.high):
            continue
        outside = not value.meets(bounds)
        at = ", ".join(f"{factor} {setting[factor]:g}" for factor in reading.factors)
        limit = "at least 0" if np.isinf(bounds.high) else f"within {bounds}"
        why = f"{table.metric} is {limit}; predicted at {name} ({at})" + (
            "" if outside else ": whether it is kept hangs on the rounding of the coefficients"
        )
        found.append(
            Finding(table.name, "impossible_prediction", "warning" if outside else "note",
                    name, f"{table.metric} {value}", why)
        )  # fmt: skip
    return found


@dataclass(frozen=True)
class Shape:
    """The second-order part of a printed surface.

    Attributes:
        nature: at the printed digits.
        robust: True when every matrix that prints so has that nature, False when one has
            another (given in `also`), None when neither was shown.
        eigenvalues: of the matrix in units of the factors' scales (the square roots of the
            diagonal's sizes), ascending.
        stationary: the stationary point at the printed digits, by factor; None when singular.
    """

    nature: Nature
    robust: bool | None
    also: tuple[Nature, ...]
    eigenvalues: tuple[float, ...]
    stationary: Mapping[str, float] | None


def shape(table: PublishedTable, reading: Reading) -> Shape | None:
    """Maximum, minimum or saddle, and whether the printed rounding can change it.

    The matrix is known up to a box. Its largest eigenvalue is greatest, and its smallest least, at
    one of 2^(k-1) corners (Hertz, IEEE Trans. Autom. Control 37, 1992), which decides
    definiteness exactly; a saddle is certain when both extreme eigenvalues are further from 0 than
    the spectral norm of the box (Weyl), or when a diagonal or a 2 x 2 minor keeps its sign.
    """
    powers = reading.powers(table)
    k = len(reading.factors)
    if powers is None or sum(sum(p) == 2 for p in powers.values()) != k * (k + 1) // 2:
        return None
    centre, radius = np.zeros((k, k)), np.zeros((k, k))
    slope = np.zeros(k)
    for term, power in powers.items():
        row = table.row(term)
        if row is None or row.coef.missing:
            return None
        where = [i for i, exponent in enumerate(power) for _ in range(exponent)]
        if len(where) == 1:
            slope[where[0]] = row.coef.value
            continue
        share = 1.0 if where[0] == where[1] else 0.5
        half = (row.coef.interval.high - row.coef.interval.low) / 2
        for i, j in (where, where[::-1]):
            centre[i, j], radius[i, j] = share * row.coef.value, share * half
    # A congruence keeps the signs of the eigenvalues and brings the entries to one size.
    size = np.abs(np.diag(centre)) + np.diag(radius)
    scale = 1 / np.sqrt(np.where(size > 0, size, 1.0))
    scaled, spread = centre * np.outer(scale, scale), radius * np.outer(scale, scale)
    eigenvalues = np.linalg.eigvalsh(scaled)
    nature = _nature(eigenvalues)
    others = {_nature(np.linalg.eigvalsh(corner)) for corner in _corners(scaled, spread)}
    also = tuple(sorted(others - {nature}))
    robust: bool | None = None
    if also:
        robust = False
    elif nature in ("maximum", "minimum") or (nature == "saddle" and _is_saddle(scaled, spread)):
        robust = True
    stationary = None
    if np.linalg.cond(scaled) < 1e12:
        point = scale * np.linalg.solve(-2 * scaled, scale * slope)
        stationary = dict(zip(reading.factors, (float(x) for x in point), strict=True))
    return Shape(nature, robust, also, tuple(float(v) for v in eigenvalues), stationary)


def _nature(eigenvalues: NDArray[np.floating]) -> Nature:
    tiny = 1e-12 * float(np.max(np.abs(eigenvalues), initial=0.0))
    if np.all(eigenvalues < -tiny):
        return "maximum"
    if np.all(eigenvalues > tiny):
        return "minimum"
    return "saddle" if eigenvalues[0] < -tiny and eigenvalues[-1] > tiny else "flat"


def _corners(centre: Array, radius: Array) -> list[Array]:
    k = len(centre)
    signs = [np.array((1.0, *rest)) for rest in product((1.0, -1.0), repeat=k - 1)]
    shifts = [np.outer(s, s) * radius for s in signs]
    return [centre + side * shift for shift in shifts for side in (1.0, -1.0)]


def _is_saddle(centre: Array, radius: Array) -> bool:
    eigenvalues = np.linalg.eigvalsh(centre)
    norm = float(np.linalg.eigvalsh(radius)[-1])
    if eigenvalues[0] < -norm and eigenvalues[-1] > norm:
        return True
    low, high = np.diag(centre - radius), np.diag(centre + radius)
    if np.any(low > 0) and np.any(high < 0):
        return True
    for i in range(len(centre)):
        for j in range(i):
            cross = max(0.0, abs(centre[i, j]) - radius[i, j])
            diagonal = Interval(low[i], high[i]).product(Interval(low[j], high[j]))
            if diagonal.high < cross**2:
                return True
    return False


def check_shape(table: PublishedTable, reading: Reading) -> list[Finding]:
    """The nature of the surface and whether rounding leaves it open."""
    found = shape(table, reading)
    if found is None:
        return []
    values = ", ".join(f"{value:.3g}" for value in found.eigenvalues)
    if found.robust:
        why = "every matrix that prints so has eigenvalues of these signs"
    elif found.robust is None:
        why = "neither shown to be certain nor shown to be open within the rounding"
    else:
        why = f"coefficients that print the same also give a {' or '.join(found.also)}"
    if found.nature == "saddle":
        why += "; a saddle has no best setting inside: optima lie on the edge of the data"
    severity: Severity = "info" if found.robust else "note"
    return [
        Finding(table.name, "surface", severity, "second-order terms",
                f"{found.nature} (scaled eigenvalues {values})", why)
    ]  # fmt: skip


def summarise(
    table: PublishedTable,
    reading: Reading,
    settings: Mapping[str, Mapping[str, float]],
    baseline: Mapping[str, float],
) -> dict[str, Any]:
    """Shape and predictions as plain data."""
    found = shape(table, reading)
    bounds = BOUNDS.get(table.metric, Interval(-float("inf"), float("inf")))
    predictions = {}
    for name, setting in settings.items():
        value = predict(table, reading, setting, baseline)
        if value is not None and np.isfinite([value.low, value.high]).all():
            predictions[name] = {
                "low": value.low,
                "high": value.high,
                "possible": value.meets(bounds),
            }
    surface = None if found is None else {
        "nature": found.nature,
        "robust": found.robust,
        "also": list(found.also),
        "eigenvalues": list(found.eigenvalues),
        "stationary": None if found.stationary is None else dict(found.stationary),
    }  # fmt: skip
    return {"surface": surface, "predictions": predictions}
