"""Grids over the kept factors, and finer ones around the best setting found so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tunescape.design import make_design
from tunescape.errors import UserError
from tunescape.factors import DesignFactor, Value
from tunescape.tuning.study import Search, TuningStudy, with_levels
from tunescape.tuning.trials import Proposal, Trial, settings_key


@dataclass(frozen=True)
class Setting:
    """A setting with the runs that tried it.

    Attributes:
        settings: of all factors.
        values: the metric of each run, in the order of the trials.
        trials: the runs.
    """

    settings: Mapping[str, Value]
    values: tuple[float, ...]
    trials: tuple[Trial, ...]

    @property
    def mean(self) -> float:
        """Mean of the runs."""
        return float(np.mean(self.values))


def by_setting(trials: Sequence[Trial]) -> list[Setting]:
    """Trials grouped by setting, in the order in which settings were first tried.

    A run that is repeated in another search (same settings, seed and length) counts once.
    """
    groups: dict[str, dict[str, Trial]] = {}
    for trial in trials:
        if trial.value is not None:
            groups.setdefault(settings_key(trial.settings), {}).setdefault(trial.run_id, trial)
    return [
        Setting(
            next(iter(runs.values())).settings,
            tuple(float(t.value) for t in runs.values() if t.value is not None),
            tuple(runs.values()),
        )
        for runs in groups.values()
    ]


def best_setting(trials: Sequence[Trial], maximise: bool) -> Setting | None:
    """The setting of best mean; among equals the one with more runs, then the one tried first.

    Trials that were stopped early are for the caller to leave out.
    """
    found = by_setting(trials)
    if not found:
        return None
    sign = 1.0 if maximise else -1.0
    order = sorted(
        range(len(found)),
        key=lambda i: (-sign * round(found[i].mean, 12), -len(found[i].values), i),
    )
    return found[order[0]]


def refine_factor(
    factor: DesignFactor, best: Value, tried: Sequence[Value], shrink: float
) -> DesignFactor:
    """A factor over the neighbourhood of its best setting.

    The new range reaches from the best setting ``shrink`` of the way to its neighbours among the
    tried settings, on the factor's own scale; at the border of the range it stays within it.
    """
    if factor.categorical:
        return replace(factor, values=(best,), levels=None)
    at = factor.code(best)
    codes = sorted({factor.code(value) for value in tried})
    below = [z for z in codes if z < at - 1e-9]
    above = [z for z in codes if z > at + 1e-9]
    step = min([at - max(below)] * bool(below) + [min(above) - at] * bool(above), default=1.0)
    low = max(-1.0, at - shrink * (at - max(below) if below else step))
    high = min(1.0, at + shrink * (min(above) - at if above else step))
    bounds = float(factor.setting(low)), float(factor.setting(high))
    if factor.scale == "log" and bounds[0] <= 0:
        raise UserError("a log scale reaches 0", where=factor.name)
    if not bounds[0] < bounds[1]:
        return replace(factor, values=(best,), levels=None)
    return replace(factor, low=bounds[0], high=bounds[1], values=(), baseline=None)


def grid_points(factors: Sequence[DesignFactor]) -> list[dict[str, Value]]:
    """Settings of a full factorial over factors with levels, in a stable order."""
    constant = {f.name: f.values[0] for f in factors if len(f.values) == 1}
    varied = [factor for factor in factors if factor.name not in constant]
    if not varied:
        return [dict(constant)]
    made = make_design("factorial", varied, where="grid")
    names = [factor.name for factor in made.factors]
    return [{**constant, **{name: row[name] for name in names}} for row in made.rows]


def through(factor: DesignFactor, best: Value) -> DesignFactor:
    """A factor whose level nearest to the best setting is that very one, which is not run again."""
    if factor.categorical or len(factor.values) == 1:
        return factor
    levels = [factor.setting(float(z)) for z in np.linspace(-1, 1, factor.levels or 2)]
    gaps = [abs(factor.code(level) - factor.code(best)) for level in levels]
    levels[int(np.argmin(gaps))] = float(best) if not factor.integer else int(best)
    return replace(factor, values=tuple(sorted(set(levels))), levels=None)


def propose_grid(
    study: TuningStudy,
    search: Search,
    kept: Sequence[str] | None,
    earlier: Sequence[Trial],
) -> list[Proposal]:
    """Trials of a grid stage: each setting with each of the stage's seeds.

    Factors that are not varied stay at the baseline. With ``around: best`` the grid lies around
    the best setting of the earlier trials (see `refine_factor`), which are compared by their mean
    over seeds, and the others stay where that setting has them.

    Raises:
        UserError: no earlier trial ended well.
    """
    options = search.options
    factors = study.factors_of(search, kept)
    seeds = list(options["seeds"] or study.seeds[:1])
    base: Mapping[str, Value] = study.baseline
    if options.get("around"):
        best = best_setting(earlier, study.maximise)
        if best is None:
            raise UserError("no earlier trial ended well", where=f"{study.name}.{search.name}")
        base = best.settings
        shrink = float(options["shrink"])
        finer = [
            _refined(f, base[f.name], [t.settings[f.name] for t in earlier], shrink)
            for f in factors
        ]
        described = [through(with_levels(f, options), base[f.name]) for f in finer]
    else:
        described = [with_levels(f, options) for f in factors]
    return [
        Proposal("factorial", {**base, **point}, seed)
        for point in grid_points(described)
        for seed in seeds
    ]


def _refined(
    factor: DesignFactor, best: Value, tried: Sequence[Value], shrink: float
) -> DesignFactor:
    """`refine_factor` over all that was tried, which a stage's own levels may have widened."""
    if factor.categorical:
        return refine_factor(factor, best, tried, shrink)
    numbers = [float(value) for value in tried]
    low, high = min([factor.low, *numbers]), max([factor.high, *numbers])
    if factor.scale == "log" and low <= 0:
        low = factor.low
    return refine_factor(replace(factor, low=low, high=high), best, tried, shrink)
