"""Search by response surface: fit, propose where improvement is expected, stop when it cannot pay.

After each round the second-order model is fitted to all results in coded units. The next points
maximise expected improvement within the region, or follow the path of steepest ascent. Each point
chosen in a round enters the fit with its own prediction before the next is chosen, so that
parallel points spread. The search stops when the largest gain that the surface still allows is
smaller than what the remaining runs could tell from noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.constructions import sobol
from tunescape.digests import digest
from tunescape.errors import UserError
from tunescape.factors import DesignFactor, Value
from tunescape.tuning.study import Search, TuningStudy
from tunescape.tuning.trials import Proposal, Trial, free_seed, settings_key

if TYPE_CHECKING:
    from tunescape.surface import SurfaceFit

Array = NDArray[np.float64]

CANDIDATES = 2048
STEPS = 20


@dataclass(frozen=True)
class Decision:
    """Whether to go on.

    Attributes:
        stop: whether the search ends here.
        gain: predicted gain of the best point of the region over the best one visited.
        gain_high: its upper limit (one-sided, 1 - alpha).
        detectable: smallest gain that the remaining runs tell from noise, half of them at each of
            the two points.
        noise: standard deviation of a run about the surface, or between runs of one setting where
            there are enough of them.
        remaining: runs left.
        reason: one sentence.
    """

    stop: bool
    gain: float
    gain_high: float
    detectable: float
    noise: float
    remaining: int
    reason: str


def numeric_only(factors: Sequence[DesignFactor]) -> tuple[DesignFactor, ...]:
    """The factors, which must all be numbers.

    Raises:
        UserError: names for levels, or no factor at all.
    """
    named = [factor.name for factor in factors if factor.categorical]
    if named or not factors:
        said = f"{', '.join(named)} has names for levels" if named else "no factor to vary"
        raise UserError(said, where="surface", expected="numeric factors", fix="use bayes")
    return tuple(sorted(factors, key=lambda factor: factor.name))


def fit_trials(
    factors: Sequence[DesignFactor],
    settings: Sequence[Mapping[str, Value]],
    values: Sequence[float],
) -> SurfaceFit:
    """The highest-order surface that leaves degrees of freedom: second order, else first."""
    from tunescape import surface

    columns = {f.name: [float(point[f.name]) for point in settings] for f in factors}
    codings = [factor.coding for factor in factors]
    fit = surface.fit_surface(columns, list(values), codings, degree=2)
    if fit.df_residual >= 1 and not fit.aliased:
        return fit
    return surface.fit_surface(columns, list(values), codings, degree=1)


def candidates(factors: Sequence[DesignFactor], seed: int) -> list[dict[str, Value]]:
    """Distinct settings that fill the region: Sobol points, corners and centre."""
    rows = sobol(len(factors), CANDIDATES, seed)
    corners = np.array(np.meshgrid(*[[-1.0, 0.0, 1.0]] * min(len(factors), 6)))
    grid = corners.reshape(corners.shape[0], -1).T
    if grid.shape[1] < len(factors):
        grid = np.hstack([grid, np.zeros((len(grid), len(factors) - grid.shape[1]))])
    found: dict[str, dict[str, Value]] = {}
    for row in np.vstack([rows, grid]):
        point: dict[str, Value] = {
            f.name: f.setting(float(z)) for f, z in zip(factors, row, strict=True)
        }
        found.setdefault(settings_key(point), point)
    return list(found.values())


def expected_improvement(mean: Array, sd: Array, best: float) -> Array:
    """Expected gain over ``best`` of normal predictions (Jones et al., 1998); larger is better."""
    from scipy import stats

    gap = mean - best
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(sd > 0, gap / sd, 0.0)
    value = np.where(sd > 0, gap * stats.norm.cdf(z) + sd * stats.norm.pdf(z), np.maximum(gap, 0))
    return np.asarray(value, dtype=float)


def propose_points(
    factors: Sequence[DesignFactor],
    settings: Sequence[Mapping[str, Value]],
    values: Sequence[float],
    count: int,
    *,
    maximise: bool = True,
    acquisition: str = "expected_improvement",
    seed: int = 0,
) -> list[dict[str, Value]]:
    """The next points of the region.

    Args:
        factors: numeric.
        settings, values: of the runs that ended well.
        count: how many.
        acquisition: ``expected_improvement``, or ``steepest_ascent``: equal steps along the
            gradient at the centre, up to the region's border.
        seed: of the candidates.
    """
    sign = 1.0 if maximise else -1.0
    points = [dict(point) for point in settings]
    y = [sign * float(value) for value in values]
    if acquisition == "steepest_ascent":
        return _ascend(factors, points, y, count)
    options = candidates(factors, seed)
    columns = {f.name: [float(point[f.name]) for point in options] for f in factors}
    chosen: list[dict[str, Value]] = []
    for _ in range(count):
        fit = fit_trials(factors, points, y)
        predicted = fit.predict(columns)
        visited = fit.predict({f.name: [float(p[f.name]) for p in points] for f in factors})
        # The believer's points leave no residual; the noise is that of the real ones.
        gain = expected_improvement(predicted.fit, predicted.se, float(visited.fit.max()))
        done = {settings_key(point) for point in chosen}
        order = np.argsort(-gain, kind="stable")
        best = next(int(i) for i in order if settings_key(options[int(i)]) not in done)
        chosen.append(options[best])
        points.append(options[best])
        y.append(float(predicted.fit[best]))
    return chosen


def _ascend(
    factors: Sequence[DesignFactor], points: list[dict[str, Value]], y: list[float], count: int
) -> list[dict[str, Value]]:
    """Steps from the centre of the region along its gradient, the last one on the border."""
    from tunescape.canonical import quadratic_form

    _, slope, _ = quadratic_form(fit_trials(factors, points, y))
    reach = float(np.max(np.abs(slope)))
    direction = slope / reach if reach > 0 else np.zeros_like(slope)
    return [
        {
            f.name: f.setting(float(z))
            for f, z in zip(factors, direction * (step + 1) / count, strict=True)
        }
        for step in range(count)
    ]


def decide(
    factors: Sequence[DesignFactor],
    settings: Sequence[Mapping[str, Value]],
    values: Sequence[float],
    remaining: int,
    *,
    maximise: bool = True,
    alpha: float = 0.05,
    power: float = 0.8,
    seed: int = 0,
) -> Decision:
    """Stop when the largest gain still plausible could not be told from noise by what is left."""
    from scipy import stats

    from tunescape.tuning.screening import replicate_noise

    sign = 1.0 if maximise else -1.0
    y = np.asarray([sign * float(value) for value in values])
    fit = fit_trials(factors, settings, y.tolist())
    nan = float("nan")
    if fit.df_residual < 1:
        reason = "too few runs for a surface with an error: go on"
        return Decision(False, nan, nan, nan, nan, remaining, reason)
    pure = replicate_noise([settings_key(point) for point in settings], y)
    noise, df = (pure.sd, pure.df) if pure.df >= 4 else (fit.sigma, fit.df_residual)
    options = candidates(factors, seed)
    rows = fit.rows({f.name: [float(p[f.name]) for p in options] for f in factors})
    seen = fit.rows({f.name: [float(p[f.name]) for p in settings] for f in factors})
    mean = rows @ fit.kept_coef
    at = int(np.argmax(seen @ fit.kept_coef))
    gaps = mean - float((seen @ fit.kept_coef)[at])
    contrast = rows - seen[at]
    spread = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", contrast, fit.covariance, contrast), 0))
    upper = gaps + float(stats.t.ppf(1 - alpha, fit.df_residual)) * spread
    gain, high = max(float(gaps.max()), 0.0), max(float(upper.max()), 0.0)
    each = remaining // 2
    if each < 1:
        return Decision(True, gain, high, nan, noise, remaining, "no runs are left to compare two")
    quantiles = float(stats.t.ppf(1 - alpha / 2, df) + stats.t.ppf(power, df))
    detectable = quantiles * noise * float(np.sqrt(2 / each))
    stop = high < detectable
    said = "below" if stop else "not below"
    reason = (
        f"the largest gain still plausible, {high:.4f}, is {said} the smallest that {remaining} "
        f"more runs can tell from noise, {detectable:.4f}"
    )
    return Decision(stop, gain, high, detectable, noise, remaining, reason)


def propose_trials(
    study: TuningStudy,
    search: Search,
    round_number: int,
    factors: Sequence[DesignFactor],
    finished: Sequence[Trial],
) -> tuple[list[Proposal], dict[str, Any]]:
    """Proposals of one round of a surface search, none once it has stopped.

    Returns:
        The proposals, and the decision with its numbers (empty in the first round).
    """
    chosen = numeric_only(factors)
    options = search.options
    count = search.rounds[round_number - 1]
    seed = int(digest([int(options["seed"]) + search.repeat - 1, round_number], 8), 16)
    decision: dict[str, Any] = {}
    own = [{f.name: t.settings[f.name] for f in chosen} for t in finished]
    if round_number == 1:
        rows = sobol(len(chosen), count, seed)
        points: list[dict[str, Value]] = [
            {f.name: f.setting(float(z)) for f, z in zip(chosen, row, strict=True)} for row in rows
        ]
    else:
        good = [trial for trial in finished if trial.value is not None]
        settings = [{f.name: t.settings[f.name] for f in chosen} for t in good]
        values = [float(trial.value or 0.0) for trial in good]
        if len(finished) < sum(search.rounds[: round_number - 1]):
            return [], {"stop": True, "reason": "the search stopped before"}
        if len(good) < len(chosen) + 2:
            return [], {"stop": True, "reason": "too few runs ended well to fit a surface"}
        remaining = sum(search.rounds[round_number - 1 :])
        alpha, power = float(options["alpha"]), float(options["power"])
        found = decide(
            chosen, settings, values, remaining,
            maximise=study.maximise, alpha=alpha, power=power, seed=seed,
        )  # fmt: skip
        decision = {k: _finite(v) for k, v in asdict(found).items()}
        if found.stop:
            return [], decision
        points = propose_points(
            chosen, settings, values, count,
            maximise=study.maximise, acquisition=str(options["acquisition"]), seed=seed,
        )  # fmt: skip
    training_seed = study.training_seed(search)
    taken = {(settings_key(p), t.seed) for p, t in zip(own, finished, strict=True)}
    proposals = []
    for point in points:
        own_seed = free_seed(point, training_seed, taken)
        taken.add((settings_key(point), own_seed))
        kind = "start" if round_number == 1 else "ask"
        proposals.append(Proposal(kind, study.settings(point), own_seed))
    return proposals, decision


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
