"""Bayesian search in rounds of parallel trials, with Optuna's samplers.

Nothing is kept in memory between rounds. Each round rebuilds the study from the trials that lie
on disk, in the order of their places, seeds the sampler from the search's seed and the round, and
asks. So the trials depend on the study and on finished results alone: not on the number of cores,
the order in which runs end, or on how often the search was interrupted.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunescape.digests import digest
from tunescape.errors import UserError
from tunescape.factors import SIGNIFICANT_DIGITS, DesignFactor, Value
from tunescape.tuning.study import DEFAULT_EPOCHS, Search, TuningStudy, round_plan
from tunescape.tuning.trials import Proposal, Trial, free_seed, settings_key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial

RETRIES = 10
"""Times that a sampler is asked again when it proposes what has been tried."""


@dataclass(frozen=True)
class Observation:
    """A finished trial as a sampler sees it.

    Attributes:
        settings: of the search's factors (others are ignored).
        value: the metric, None when the run failed.
        censored: whether it was stopped before its full length.
        history: (epoch, value) of its evaluations.
        seed: training seed, which tells replicates from repetitions.
        attributes: shown beside the trial in Optuna's pages.
    """

    settings: Mapping[str, Value]
    value: float | None
    censored: bool = False
    history: tuple[tuple[float, float], ...] = ()
    seed: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sampling:
    """How a search samples.

    Attributes:
        sampler: ``tpe``, ``gp`` (Gaussian process) or ``random``.
        seed: of the search.
        startup: finished trials before the model is used; no share of the budget, so that a
            larger budget continues the search.
    """

    sampler: str = "tpe"
    seed: int = 0
    maximise: bool = True
    startup: int = 5


@dataclass(frozen=True)
class Asked:
    """One asked point: settings of the search's factors, and its training seed."""

    settings: dict[str, Value]
    seed: int
    kind: str = "ask"


def propose_round(
    factors: Sequence[DesignFactor],
    finished: Sequence[Observation],
    count: int,
    round_number: int,
    sampling: Sampling,
    *,
    training_seed: int = 0,
    starts: Sequence[Mapping[str, Value]] = (),
) -> list[Asked]:
    """Points of the next round.

    Args:
        factors: what is varied.
        finished: results of the rounds before, in the order of their places, after any trials
            that warm the search.
        count: parallel trials; points already asked in the round count as running, with the
            sampler's constant liar.
        round_number: 1, 2, ...
        sampling: sampler and seed.
        training_seed: seed of the runs. A point that was tried already is asked anew up to ten
            times, then run as a replicate with another training seed.
        starts: points that are tried first, in order, over all rounds of the search.

    Raises:
        UserError: no factor to vary.
    """
    if not factors:
        raise UserError("no factor to vary", where="bayes", expected="one factor or more")
    study = build_study(factors, finished, sampling, round_number)
    space = distributions(factors)
    names = list(space)
    taken = {
        (settings_key({n: o.settings[n] for n in names}), o.seed)
        for o in finished
        if all(name in o.settings for name in names)
    }
    waiting = [dict(start) for start in starts]
    asked: list[Asked] = []
    for _ in range(count):
        settings, kind = None, "ask"
        while waiting and settings is None:
            start = {name: _settle(f, waiting[0][f.name]) for name, f in _by_name(factors)}
            waiting.pop(0)
            if (settings_key(start), training_seed) not in taken:
                settings, kind = start, "start"
                _run(study, space, start)
        if settings is None:
            settings = _ask(study, factors, space, taken, training_seed)
        seed = free_seed(settings, training_seed, taken)
        taken.add((settings_key(settings), seed))
        asked.append(Asked(settings, seed, kind))
    return asked


def _ask(
    study: Study,
    factors: Sequence[DesignFactor],
    space: Mapping[str, BaseDistribution],
    taken: set[tuple[str, int]],
    seed: int,
) -> dict[str, Value]:
    """A point that has not been tried, or the last one asked when ten more were tried too."""
    from optuna.trial import TrialState

    settings: dict[str, Value] = {}
    for attempt in range(RETRIES + 1):
        trial = study.ask(dict(space))
        settings = {name: _settle(f, trial.params[name]) for name, f in _by_name(factors)}
        if (settings_key(settings), seed) not in taken or attempt == RETRIES:
            break
        # A failed trial does not teach the sampler anything, it only moves on.
        study.tell(trial, state=TrialState.FAIL)
    return settings


def _run(study: Study, space: Mapping[str, BaseDistribution], params: Mapping[str, Value]) -> None:
    """Enter a chosen point as a running trial, so that the liar counts it."""
    study.enqueue_trial(dict(params))
    study.ask(dict(space))


def _by_name(factors: Sequence[DesignFactor]) -> list[tuple[str, DesignFactor]]:
    return [(factor.name, factor) for factor in sorted(factors, key=lambda f: f.name)]


def _settle(factor: DesignFactor, value: Any) -> Value:
    """A setting as runs state it: within bounds, six significant digits, whole where it must be."""
    if factor.categorical:
        return str(value)
    number = min(max(float(value), factor.low), factor.high)
    if factor.integer:
        return int(number)
    return min(max(float(f"{number:.{SIGNIFICANT_DIGITS}g}"), factor.low), factor.high)


# Optuna -----------------------------------------------------------------------------------------


def distributions(factors: Sequence[DesignFactor]) -> dict[str, BaseDistribution]:
    """The search space as Optuna's distributions, in name order."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    space: dict[str, BaseDistribution] = {}
    for name, factor in _by_name(factors):
        log = factor.scale == "log"
        if factor.categorical:
            space[name] = CategoricalDistribution([str(value) for value in factor.values])
        elif factor.integer:
            space[name] = IntDistribution(int(factor.low), int(factor.high), log=log)
        else:
            space[name] = FloatDistribution(factor.low, factor.high, log=log)
    return space


def contains(factors: Sequence[DesignFactor], settings: Mapping[str, Value]) -> bool:
    """Whether a point lies in the search space."""
    for factor in factors:
        value = settings.get(factor.name)
        if value is None:
            return False
        if factor.categorical:
            if value not in factor.values:
                return False
        elif not factor.low <= float(value) <= factor.high:
            return False
    return True


def build_study(
    factors: Sequence[DesignFactor],
    finished: Sequence[Observation],
    sampling: Sampling,
    round_number: int,
) -> Study:
    """An Optuna study that holds the finished trials; the same inputs give the same study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=make_sampler(sampling, round_number),
        direction="maximize" if sampling.maximise else "minimize",
    )
    for trial in frozen_trials(factors, finished):
        study.add_trial(trial)
    return study


def frozen_trials(
    factors: Sequence[DesignFactor], finished: Sequence[Observation]
) -> list[FrozenTrial]:
    """Finished trials as Optuna's; those outside the search space are left out.

    A run that failed is ``FAIL``; one that was stopped early is ``PRUNED`` with its evaluations
    as intermediate values, by which the TPE sampler ranks it below the complete ones.
    """
    from optuna.trial import TrialState, create_trial

    space = distributions(factors)
    found = []
    for one in finished:
        if not contains(factors, one.settings):
            continue
        state = TrialState.COMPLETE
        if one.value is None:
            state = TrialState.FAIL
        elif one.censored:
            state = TrialState.PRUNED
        found.append(
            create_trial(
                state=state,
                value=None if state == TrialState.FAIL else one.value,
                params={name: one.settings[name] for name in space},
                distributions=space,
                intermediate_values={max(1, round(epoch)): value for epoch, value in one.history},
                user_attrs=dict(one.attributes),
            )
        )
    return found


def make_sampler(sampling: Sampling, round_number: int) -> BaseSampler:
    """Optuna's sampler for one round, seeded by the search's seed and the round."""
    import optuna
    from optuna.exceptions import ExperimentalWarning

    seed = int(digest([sampling.seed, round_number], 8), 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if sampling.sampler == "tpe":
            return optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=sampling.startup,
                multivariate=True,
                constant_liar=True,
            )
        if sampling.sampler == "gp":
            _one_thread()
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=sampling.startup)
        if sampling.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
    raise UserError(f"unknown sampler '{sampling.sampler}'", expected="tpe, gp or random")


def _one_thread() -> None:
    """The Gaussian process adds up in the order of threads, so there has to be one."""
    import torch

    torch.set_num_threads(1)


# Rounds of a study ------------------------------------------------------------------------------


def sampling_of(study: TuningStudy, search: Search) -> Sampling:
    """How a search of a study samples; warm and cold starts share the seed."""
    options = search.options
    return Sampling(
        sampler=str(options["sampler"]),
        seed=int(options["seed"]) + search.repeat - 1,
        maximise=study.maximise,
        startup=int(options["startup"]),
    )


def observe(study: TuningStudy, trials: Sequence[Trial]) -> list[Observation]:
    """Trials as observations; those that a longer run continues are left out."""
    full = float(study.shared.get("num_epochs", DEFAULT_EPOCHS))
    promoted = {(trial.search, trial.parent) for trial in trials if trial.parent}
    found = []
    for trial in trials:
        if trial.status not in ("ok", "failed") or (trial.search, trial.place) in promoted:
            continue
        epochs = float(trial.spec.get("num_epochs", full))
        found.append(
            Observation(
                trial.settings,
                trial.value,
                "num_epochs" not in study.baseline and epochs < full,
                trial.history,
                trial.seed,
                {"run_id": trial.run_id, "place": f"{trial.search}/{trial.place}"},
            )
        )
    return found


def propose_trials(
    study: TuningStudy,
    search: Search,
    round_number: int,
    factors: Sequence[DesignFactor],
    finished: Sequence[Trial],
    warm: Sequence[Observation] = (),
    starts: Sequence[Mapping[str, Value]] = (),
) -> list[Proposal]:
    """Proposals of one round of a Bayesian search, first rung or later.

    Args:
        factors: what is varied (see `TuningStudy.factors_of`).
        finished: the search's trials of the rounds before.
        warm: observations that warm the sampler (see `priors`).
        starts: points that are tried first.
    """
    epochs = float(study.shared.get("num_epochs", DEFAULT_EPOCHS))
    plan = round_plan(search.options, epochs)
    asking, rung, length, count = plan[round_number - 1]
    if rung:
        return promote(study, round_number, length, count, finished)
    own = observe(study, finished)
    before = sum(item[3] for item in plan[: round_number - 1] if item[1] == 0)
    asked = propose_round(
        factors,
        [*warm, *own],
        count,
        asking,
        sampling_of(study, search),
        training_seed=study.training_seed(search),
        starts=starts[before:],
    )
    return [
        Proposal(one.kind, study.settings(one.settings), one.seed, _length(study, length))
        for one in asked
    ]


def _length(study: TuningStudy, epochs: float) -> dict[str, Any]:
    full = float(study.shared.get("num_epochs", DEFAULT_EPOCHS))
    return {} if epochs == full or "num_epochs" in study.baseline else {"num_epochs": epochs}


def promote(
    study: TuningStudy,
    round_number: int,
    epochs: float,
    count: int,
    finished: Sequence[Trial],
) -> list[Proposal]:
    """The best trials of the rung below, to be run for more epochs (successive halving).

    Each rung is compared by its value at the rung's last epoch; equals go by place. Under a
    constant schedule the longer run continues the shorter one exactly.
    """
    below = [trial for trial in finished if trial.round == round_number - 1]
    good = [trial for trial in below if trial.value is not None]
    sign = -1.0 if study.maximise else 1.0
    good.sort(key=lambda trial: (sign * float(trial.value or 0.0), trial.number))
    return [
        Proposal("promoted", trial.settings, trial.seed, _length(study, epochs), trial.place)
        for trial in good[:count]
    ]
