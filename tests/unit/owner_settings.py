"""Simulated rows whose settings, like their errors, partly belong to the owner.

A covariance that ignores clusters is wrong only where both settings and errors are alike within
an owner (Moulton, J. Econometrics 32, 1986). So an owner has settings of its own, which a row
repeats factor by factor with probability `REPEAT`, else it draws from all levels; owners have
uneven numbers of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tunescape import inference
from tunescape.surface import SurfaceFit, code_factor, fit_surface

Array = NDArray[np.float64]

ROWS = 200
REPEAT = 0.7
CORRELATIONS = (0.0, 0.3, 0.6)
LEVELS = {
    "learning_rate": (1e-6, 1e-5, 2e-5, 5e-5, 3e-4),
    "train_batch_size": (8.0, 16.0, 32.0, 64.0),
    "num_epochs": (1.0, 2.0, 3.0, 5.0, 10.0),
}
FACTORS = (
    code_factor("learning_rate", LEVELS["learning_rate"], "log"),
    code_factor("train_batch_size", LEVELS["train_batch_size"], "log"),
    code_factor("num_epochs", LEVELS["num_epochs"], "linear"),
)
# Coded coefficients of the true surface, in units of the error's standard deviation.
TRUTH = {
    "learning_rate": 0.8,
    "train_batch_size": -0.3,
    "num_epochs": 0.5,
    "learning_rate^2": -0.6,
    "train_batch_size^2": 0.2,
    "num_epochs^2": -0.4,
    "learning_rate:train_batch_size": 0.25,
    "learning_rate:num_epochs": -0.35,
    "train_batch_size:num_epochs": 0.15,
}


@dataclass(frozen=True)
class Rates:
    """Shares of the draws for each of the nine terms, at 5 % and 95 %.

    Attributes:
        rejected: covariance -> rejection of 0 where every coefficient is 0.
        covered: covariance -> intervals that hold the coefficient of `TRUTH`, where that is true.
        detected: covariance -> rejection of 0 where `TRUTH` is true.
    """

    terms: tuple[str, ...]
    draws: int
    rejected: dict[str, Array]
    covered: dict[str, Array]
    detected: dict[str, Array]


def owned_settings(
    rng: np.random.Generator, clusters: int
) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Factor columns and owners of `ROWS` rows; every owner has two rows or more."""
    share = rng.dirichlet(np.full(clusters, 2.0))
    free = rng.choice(clusters, ROWS - 2 * clusters, p=share)
    owner = np.concatenate([free, np.arange(clusters), np.arange(clusters)])
    values = {}
    for name, levels in LEVELS.items():
        own = rng.choice(levels, clusters)[owner]
        values[name] = np.where(rng.random(ROWS) < REPEAT, own, rng.choice(levels, ROWS))
    return values, owner


def owned_errors(rng: np.random.Generator, owner: NDArray[np.int64], correlation: float) -> Array:
    """Errors of variance 1 with the given correlation between rows of one owner."""
    level = rng.normal(size=owner.max() + 1)[owner]
    return np.asarray(
        np.sqrt(correlation) * level + np.sqrt(1 - correlation) * rng.normal(size=owner.size)
    )


def true_surface(values: dict[str, Array]) -> Array:
    """The surface of `TRUTH`, written out from raw values without the library's design."""
    low, high = np.log(1e-6), np.log(3e-4)
    rate = (2 * np.log(values["learning_rate"]) - low - high) / (high - low)
    size = (2 * np.log2(values["train_batch_size"]) - 9) / 3
    epochs = (2 * values["num_epochs"] - 11) / 9
    return np.asarray(
        0.8 * rate - 0.3 * size + 0.5 * epochs
        - 0.6 * rate**2 + 0.2 * size**2 - 0.4 * epochs**2
        + 0.25 * rate * size - 0.35 * rate * epochs + 0.15 * size * epochs
    )  # fmt: skip


def with_response(fit: SurfaceFit, y: Array) -> SurfaceFit:
    """The fit of another response to the same full-rank design, unweighted."""
    inner = fit.q.T @ y
    residuals = y - fit.q @ inner
    rss = float(residuals @ residuals)
    coef = np.full(len(fit.columns), np.nan)
    coef[list(fit.kept)] = fit.r_inverse @ inner
    return replace(
        fit,
        coef=coef,
        response=y,
        fitted=y - residuals,
        residuals=residuals,
        rss=rss,
        tss=float(np.sum((y - y.mean()) ** 2)),
        sigma2=rss / fit.df_residual,
    )


def cr1(fit: SurfaceFit, cov: inference.Covariance, owner: NDArray[np.int64]) -> Array:
    """The usual sandwich of clusters' scores with its small-sample factor."""
    indicator = np.eye(owner.max() + 1)[:, owner]
    scores = indicator @ (fit.q * fit.residuals[:, None]) @ fit.r_inverse.T
    g = cov.clusters
    factor = g / (g - 1) * (fit.n - 1) / (fit.n - fit.rank)
    return np.asarray(scores.T @ scores * factor)


def simulate(clusters: int, draws: int, correlations: Sequence[float]) -> list[Rates]:
    """Rates for each correlation; each draw is a new design with new errors, seeded.

    Errors of the null and of the true surface are drawn apart: with the same ones, coverage would
    be one minus rejection.
    """
    kinds = ("cr3", "classical", "cr1")
    rng = np.random.default_rng([clusters, 2026])
    shape = (len(correlations), len(kinds), draws, len(TRUTH))
    rejected, covered, detected = (np.zeros(shape, dtype=bool) for _ in range(3))
    terms: tuple[str, ...] = ()
    for d in range(draws):
        values, owner = owned_settings(rng, clusters)
        surface = true_surface(values)
        labels = np.char.mod("owner %02d", owner)
        first = fit_surface(values, surface, FACTORS)
        terms = tuple(name for name in first.columns if name in TRUTH)
        at = [first.columns.index(name) for name in terms]
        truth = np.array([TRUTH[name] for name in terms])
        # Holds only if every term is determined and `TRUTH` is in the library's coding.
        assert np.allclose(first.coef[at], truth, rtol=0, atol=1e-10)
        for c, correlation in enumerate(correlations):
            for target, mean in ((0.0, 0.0), (truth, surface)):
                fit = with_response(first, mean + owned_errors(rng, owner, correlation))
                robust = inference.covariance(fit, "cr3", labels)
                every = (
                    robust,
                    inference.covariance(fit, "classical"),
                    replace(robust, matrix=cr1(fit, robust, owner)),
                )
                for k, cov in enumerate(every):
                    found = inference.term_tests(fit, cov)
                    reject = found.p[at] < 0.05
                    inside = (found.ci_low[at] <= target) & (target <= found.ci_high[at])
                    if mean is surface:
                        covered[c, k, d], detected[c, k, d] = inside, reject
                    else:
                        rejected[c, k, d] = reject
    return [
        Rates(
            terms,
            draws,
            *(
                {kind: array[c, k].mean(axis=0) for k, kind in enumerate(kinds)}
                for array in (rejected, covered, detected)
            ),
        )
        for c in range(len(correlations))
    ]
