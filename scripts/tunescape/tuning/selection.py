"""How good is the best of k, and by how many examples: honest numbers for a chosen setting.

The best of k noisy results is too good on average. Three corrections, by what is at hand: chosen
on one half of the evaluation rows and judged on the other (needs predictions), chosen on some seeds
and judged on the others (needs replicates), or shrunk towards the mean of all (needs the noise).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunescape.errors import UserError

Array = NDArray[np.float64]

MIN_SHRUNKEN = 4


@dataclass(frozen=True)
class Corrected:
    """Value of the best of k, as found and corrected for the choice.

    Attributes:
        found: value of the best where it was chosen.
        corrected: estimate of its value on data or seeds that did not choose it.
        se: standard error of ``corrected``.
        candidates: k.
        method: ``split_half``, ``nested_seeds`` or ``shrinkage``.
        statement: one sentence.
    """

    found: float
    corrected: float
    se: float
    candidates: int
    method: str
    statement: str

    @property
    def optimism(self) -> float:
        """How much the choice flatters."""
        return self.found - self.corrected


def split_half_best(correct: ArrayLike, splits: int = 200, seed: int = 0) -> Corrected:
    """Accuracy of the best run, chosen on one half of the evaluation rows, judged on the other.

    Args:
        correct: (runs, rows), 1 where a run is right.
        splits: random halves; each is used both ways, equals are chosen at random.
        seed: of the halves.

    Returns:
        ``se`` is the binomial error of the corrected accuracy on all rows.
    """
    hits = np.asarray(correct, dtype=float)
    if hits.ndim != 2 or hits.shape[1] < 4:
        raise UserError("too few rows to split", where="predictions", expected="4 rows or more")
    runs, rows = hits.shape
    rng = np.random.default_rng(seed)
    judged = []
    for _ in range(splits):
        order = rng.permutation(rows)
        for mine, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            score = hits[:, mine].mean(axis=1)
            best = rng.choice(np.flatnonzero(score >= score.max() - 1e-12))
            judged.append(float(hits[best, other].mean()))
    value, top = float(np.mean(judged)), float(hits.mean(axis=1).max())
    se = math.sqrt(max(value * (1 - value), 0.0) / rows)
    said = f"chosen on one half of the {rows} rows and judged on the other, {splits} halves"
    return Corrected(top, value, se, runs, "split_half", said)


def nested_seed_best(values: ArrayLike, maximise: bool = True) -> Corrected:
    """Value of the best setting, chosen on all seeds but one and judged on that one.

    Args:
        values: (settings, seeds), nan where a run is missing.
        maximise: whether larger is better.

    Returns:
        ``se`` is that of the mean over the seeds left out.
    """
    table = np.asarray(values, dtype=float) * (1.0 if maximise else -1.0)
    if table.ndim != 2 or table.shape[1] < 2:
        raise UserError("one seed alone", where="replicates", expected="two seeds or more")
    table = table[np.isfinite(table).all(axis=1)]
    if not len(table):
        raise UserError("no setting has all seeds", where="replicates")
    judged = []
    for seed in range(table.shape[1]):
        others = np.delete(table, seed, axis=1).mean(axis=1)
        judged.append(float(table[int(np.argmax(others)), seed]))
    sign = 1.0 if maximise else -1.0
    found, value = float(table.mean(axis=1).max()), float(np.mean(judged))
    se = float(np.std(judged, ddof=1) / math.sqrt(len(judged)))
    said = f"chosen on all seeds but one and judged on that one, {len(judged)} seeds"
    return Corrected(sign * found, sign * value, se, len(table), "nested_seeds", said)


def shrunken_best(values: ArrayLike, noise: float, maximise: bool = True) -> Corrected:
    """Value of the best of k single runs, shrunk towards their mean (empirical Bayes).

    Settings are taken as normal about their mean and runs as normal about settings with the known
    ``noise``: a posterior mean is not biased by having been chosen. The variance includes that of
    the estimated share of noise (Morris, JASA 78, 1983).

    Args:
        values: (k,) one run a setting, four or more.
        noise: standard deviation of a run about its setting.
        maximise: whether larger is better.
    """
    y = np.asarray(values, dtype=float)
    k = int(y.size)
    if k < MIN_SHRUNKEN or not math.isfinite(noise) or noise < 0:
        raise UserError("four runs and their noise are needed", where="shrinkage")
    mean, spread = float(y.mean()), float(y.var(ddof=1))
    share = min(1.0, (k - 3) / (k - 1) * noise**2 / spread) if spread > 0 else 1.0
    best = float(y.max() if maximise else y.min())
    value = mean + (1 - share) * (best - mean)
    own = noise**2 * (1 - (k - 1) / k * share)
    se = math.sqrt(own + 2 / (k - 3) * share**2 * (best - mean) ** 2)
    said = f"shrunk towards the mean of {k} runs by a noise of {noise:.4f} between seeds"
    return Corrected(best, value, se, k, "shrinkage", said)


# Gains in examples ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gain:
    """A difference of accuracies, in rows of the evaluation set.

    Attributes:
        examples: rows that the second run has right beyond the first.
        low, high: limits at ``level``.
        rows: size of the evaluation set.
        method: ``paired`` (rows where the two differ), ``binomial`` (two independent shares), or
            ``seeds`` (differences between runs of the same seed).
    """

    examples: float
    low: float
    high: float
    level: float
    rows: int
    method: str


def paired_gain(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Gain:
    """Gain of the second run over the first on the same rows.

    The interval is Wald's after adding 1/2 to each cell of the two-by-two table (Agresti and Min,
    Stat. Med. 24, 2005).

    Args:
        first, second: (rows,) 1 where the run is right.
    """
    from scipy import stats

    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape or not a.size:
        raise UserError("the runs were judged on different rows", where="predictions")
    rows = int(a.size)
    won, lost = int((b & ~a).sum()), int((a & ~b).sum())
    z = float(stats.norm.ppf(0.5 + level / 2))
    total, up, down = rows + 2.0, (won + 0.5), (lost + 0.5)
    centre = (up - down) / total
    reach = z * math.sqrt(max(up + down - (up - down) ** 2 / total, 0.0)) / total
    low, high = max(centre - reach, -1.0), min(centre + reach, 1.0)
    return Gain(float(won - lost), low * rows, high * rows, level, rows, "paired")


def binomial_gain(first: float, second: float, rows: int, level: float = 0.95) -> Gain:
    """Gain of one accuracy over another when only the shares are known.

    Newcombe's hybrid score interval of two independent shares (Stat. Med. 17, 1998); wider than
    the paired one, since the rows on which both are right are not known.
    """
    from scipy import stats

    z = float(stats.norm.ppf(0.5 + level / 2))

    def wilson(p: float) -> tuple[float, float]:
        centre = (p + z * z / (2 * rows)) / (1 + z * z / rows)
        reach = z * math.sqrt(p * (1 - p) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
        return centre - reach, centre + reach

    (l1, u1), (l2, u2) = wilson(first), wilson(second)
    gap = second - first
    low = gap - math.hypot(second - l2, u1 - first)
    high = gap + math.hypot(u2 - second, first - l1)
    return Gain(gap * rows, low * rows, high * rows, level, rows, "binomial")


def seed_gain(
    first: Sequence[float], second: Sequence[float], rows: int, level: float = 0.95
) -> Gain:
    """Mean gain over runs of the same seeds, with Student's interval of the differences."""
    from scipy import stats

    gaps = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    mean = float(gaps.mean())
    reach = math.nan
    if gaps.size > 1:
        quantile = float(stats.t.ppf(0.5 + level / 2, gaps.size - 1))
        reach = quantile * float(gaps.std(ddof=1)) / math.sqrt(gaps.size)
    return Gain(mean * rows, (mean - reach) * rows, (mean + reach) * rows, level, rows, "seeds")


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean with Student's limits; nan limits for a single value."""
    from scipy import stats

    y = np.asarray(values, dtype=float)
    mean = float(y.mean())
    if y.size < 2:
        return mean, math.nan, math.nan
    quantile = float(stats.t.ppf(0.5 + level / 2, y.size - 1))
    reach = quantile * float(y.std(ddof=1)) / math.sqrt(y.size)
    return mean, mean - reach, mean + reach
