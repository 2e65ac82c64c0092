"""Screening: which factors matter, held against the noise between seeds.

Effects are differences of the metric between settings. Their noise is estimated from runs of one
setting with several seeds (the replicated baseline, and any other), and where nothing is repeated
by Lenth's pseudo standard error (Lenth, Technometrics 31, 1989), which takes most effects for
null. The factors that later stages vary are chosen by the stated rule, never by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunescape.design import CENTRE_SEED_STEP, make_design
from tunescape.errors import UserError
from tunescape.factors import DesignFactor, Value
from tunescape.tables import write_json, write_table
from tunescape.tuning.study import SCREEN_DESIGNS, Search, TuningStudy, read_study
from tunescape.tuning.trials import Proposal, Trial, read_trials, require_finished

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

EFFECT_COLUMNS: dict[str, str] = {
    "factor": "str",
    "rank": "int64",
    "kept": "bool",
    "effect": "float64",
    "absolute": "float64",
    "se": "float64",
    "df": "float64",
    "t": "float64",
    "p": "float64",
    "p_holm": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "half_normal": "float64",
    "low": "str",
    "high": "str",
    "effect_low": "float64",
    "effect_high": "float64",
    "above_noise": "bool",
    "method": "str",
}
"""Columns of effects.csv. ``effect`` is signed; with one factor at a time it is the larger of the
deviations from the baseline (``effect_low``, ``effect_high``), else the change from low to high."""

PERMUTATIONS = 4999
TIE_DIGITS = 10


@dataclass(frozen=True)
class Noise:
    """Standard deviation of the metric between runs of one setting.

    Attributes:
        sd: nan when no setting was run twice.
        df: degrees of freedom, the runs beyond the first of each setting.
    """

    sd: float
    df: int


# Trials -----------------------------------------------------------------------------------------


def screening_points(
    factors: Sequence[DesignFactor],
    baseline: Mapping[str, Value],
    options: Mapping[str, Any],
    where: str = "screen",
) -> list[tuple[str, dict[str, Value]]]:
    """Points of a screening, the baseline first: (kind, settings).

    Raises:
        UserError: see `design.make_design`.
    """
    kind = SCREEN_DESIGNS[str(options.get("design", "ofat"))]
    given: dict[str, Any] = {}
    chosen = list(factors)
    if kind == "ofat":
        given["baseline"] = dict(baseline)
    elif kind == "factorial":
        given["levels"] = int(options.get("levels", 2))
    elif kind == "plackett_burman":
        given["foldover"] = bool(options.get("foldover", False))
    made = make_design(kind, chosen, given, where=where)
    names = [factor.name for factor in made.factors]
    points = [("baseline", {name: baseline[name] for name in names})]
    for row in made.rows:
        settings = {name: row[name] for name in names}
        if (str(row["kind"]), settings) not in points and settings != points[0][1]:
            points.append((str(row["kind"]), settings))
    return points


def propose_screening(study: TuningStudy, search: Search) -> list[Proposal]:
    """Every trial of a screening: each point with each seed, and copies of the baseline.

    The baseline has at least ``replicates`` runs; copies beyond the stage's seeds have its first
    seed plus multiples of 100,000.
    """
    seeds = list(search.options["seeds"] or study.seeds[:1])
    points = screening_points(study.factors, study.baseline, search.options)
    found = [Proposal(kind, settings, seed) for kind, settings in points for seed in seeds]
    copies = range(1, max(0, int(search.options["replicates"]) - len(seeds)) + 1)
    own = [seeds[0] + CENTRE_SEED_STEP * copy for copy in copies]
    return found + [Proposal("baseline", points[0][1], seed) for seed in own]


# Noise and tests --------------------------------------------------------------------------------


def replicate_noise(labels: Sequence[str], values: ArrayLike) -> Noise:
    """Pooled standard deviation within groups of runs of one setting."""
    y = np.asarray(values, dtype=float)
    _, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    counts = np.bincount(codes)
    means = np.bincount(codes, weights=y) / counts
    df = int(len(y) - len(counts))
    if df < 1:
        return Noise(math.nan, 0)
    return Noise(float(np.sqrt(np.sum((y - means[codes]) ** 2) / df)), df)


def pseudo_standard_error(effects: ArrayLike) -> tuple[float, float]:
    """Lenth's pseudo standard error of unreplicated effects, and its degrees of freedom (m / 3).

    ``1.5 median |c|`` over the effects below 2.5 times the same of all.
    """
    size = np.abs(np.asarray(effects, dtype=float))
    if size.size == 0:
        return math.nan, math.nan
    start = 1.5 * float(np.median(size))
    inner = size[size < 2.5 * start] if start > 0 else size
    return 1.5 * float(np.median(inner)), size.size / 3


def half_normal_quantiles(count: int) -> Array:
    """Expected places of ``count`` ordered absolute effects that are noise (standard normal)."""
    from scipy import stats

    ranks = (np.arange(1, count + 1) - 0.5) / count
    return np.asarray(stats.norm.ppf(0.5 + ranks / 2), dtype=float)


def permutation_p(design: Array, response: Array, seed: int = 0) -> Array:
    """P-values of effects against the largest effect of permuted responses (family-wise).

    Args:
        design: (runs, factors) coded settings.
        response: (runs,).
    """
    inverse = np.linalg.pinv(_with_mean(design))[1:]
    seen = np.abs(inverse @ response)
    rng = np.random.default_rng(seed)
    shuffled = np.stack([rng.permutation(response) for _ in range(PERMUTATIONS)], axis=1)
    largest = np.abs(inverse @ shuffled).max(axis=0)
    beyond = (largest[None, :] >= seen[:, None] - 1e-12).sum(axis=1)
    return np.asarray((beyond + 1) / (PERMUTATIONS + 1), dtype=float)


def _with_mean(coded: Array) -> Array:
    """Design matrix (runs, 1 + factors) of coded settings."""
    from tunescape.surface import Factor, design_matrix, polynomial_terms

    names = [str(i) for i in range(coded.shape[1])]
    values = dict(zip(names, coded.T, strict=True))
    return design_matrix(values, [Factor(name) for name in names], polynomial_terms(names, 1))


# Effects ----------------------------------------------------------------------------------------


def screen_effects(
    factors: Sequence[DesignFactor],
    settings: Sequence[Mapping[str, Value]],
    values: ArrayLike,
    options: Mapping[str, Any],
    baseline: Mapping[str, Value],
) -> pd.DataFrame:
    """Effects of the factors of a screening, ranked, with the kept ones marked.

    Args:
        factors: of the study.
        settings: of each run that ended well.
        values: (runs,) the metric.
        options: ``design``, ``keep``, ``test``, ``alpha`` of the stage.
        baseline: settings of the baseline.

    Returns:
        A row a factor, :data:`EFFECT_COLUMNS`, by rank.

    Raises:
        UserError: a setting that the effects need has no run.
    """
    import pandas as pd
    from scipy import stats

    from tunescape.inference import adjust_p
    from tunescape.tuning.trials import settings_key

    y = np.asarray(values, dtype=float)
    if not y.size:
        raise UserError("no run of the screening ended well", where="screen")
    noise = replicate_noise([settings_key(point) for point in settings], y)
    ofat = SCREEN_DESIGNS[str(options["design"])] == "ofat"
    rows = (
        _deviations(factors, settings, y, baseline)
        if ofat
        else _main_effects(factors, settings, y, baseline)
    )
    frame = pd.DataFrame(rows)
    effect = frame["effect"].to_numpy(dtype=float)
    alpha = float(options.get("alpha", 0.05))
    if noise.df:
        se = noise.sd * frame["unit"].to_numpy(dtype=float)
        df, method = float(noise.df), f"t test, noise of replicated settings ({noise.df} df)"
    else:
        spread, df = pseudo_standard_error(effect)
        se = np.full(len(frame), spread)
        method = "Lenth's pseudo standard error: nothing is replicated"
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(se > 0, effect / se, np.where(effect == 0, 0.0, np.inf * np.sign(effect)))
    p = 2 * stats.t.sf(np.abs(t), df)
    p = np.minimum(1.0, p * frame["tries"].to_numpy(dtype=float))
    holm = adjust_p(p, "holm")
    if options.get("test") == "permutation":
        coded = _coded(factors, settings)
        p = permutation_p(coded, y)
        holm = p
        method += "; p by permutation against the largest effect"
    reach = stats.t.ppf(1 - alpha / 2, df) * se
    frame = frame.assign(
        absolute=np.abs(effect),
        se=se,
        df=df,
        t=t,
        p=p,
        p_holm=holm,
        ci_low=effect - reach,
        ci_high=effect + reach,
        above_noise=holm <= alpha,
        method=method,
    )
    order = rank_effects(frame["factor"].tolist(), effect)
    frame = frame.iloc[order].reset_index(drop=True)
    frame["rank"] = np.arange(1, len(frame) + 1)
    frame["kept"] = frame["rank"] <= int(options["keep"])
    frame["half_normal"] = half_normal_quantiles(len(frame))[::-1]
    return frame[list(EFFECT_COLUMNS)]


def rank_effects(names: Sequence[str], effects: ArrayLike) -> list[int]:
    """Order of effects by size; effects that agree to ten digits are taken in name order."""
    size = np.abs(np.asarray(effects, dtype=float))
    rounded = [float(f"{value:.{TIE_DIGITS}g}") for value in size]
    return sorted(range(len(names)), key=lambda i: (-rounded[i], names[i]))


def _deviations(
    factors: Sequence[DesignFactor],
    settings: Sequence[Mapping[str, Value]],
    y: Array,
    baseline: Mapping[str, Value],
) -> list[dict[str, Any]]:
    """One factor at a time: the larger deviation from the baseline's mean of each factor."""
    at_base = np.array([dict(point) == dict(baseline) for point in settings])
    if not at_base.any():
        raise UserError("no run of the baseline ended well", where="screen")
    centre, count = float(y[at_base].mean()), int(at_base.sum())
    rows = []
    for factor in factors:
        deviations: list[tuple[Value, float, int]] = []
        for level in sorted({p[factor.name] for p in settings} - {baseline[factor.name]}):
            there = np.array(
                [dict(point) == {**baseline, factor.name: level} for point in settings]
            )
            if there.any():
                deviations.append((level, float(y[there].mean()) - centre, int(there.sum())))
        if not deviations:
            raise UserError(f"no run off the baseline in {factor.name} ended well", where="screen")
        _, effect, runs = max(deviations, key=lambda item: abs(item[1]))
        rows.append(
            {
                "factor": factor.name,
                "effect": effect,
                "unit": math.sqrt(1 / runs + 1 / count),
                "tries": len(deviations),
                "low": str(deviations[0][0]),
                "high": str(deviations[-1][0]),
                "effect_low": deviations[0][1],
                "effect_high": deviations[-1][1],
            }
        )
    return rows


def _coded(factors: Sequence[DesignFactor], settings: Sequence[Mapping[str, Value]]) -> Array:
    return np.array([[f.code(point[f.name]) for f in factors] for point in settings])


def _main_effects(
    factors: Sequence[DesignFactor],
    settings: Sequence[Mapping[str, Value]],
    y: Array,
    baseline: Mapping[str, Value],
) -> list[dict[str, Any]]:
    """Two- and three-level designs: change of the metric from low to high, by least squares.

    Repeated baseline runs tell the noise and are fitted by a mean of their own, so that a curved
    response at the middle cannot bias a main effect.
    """
    named = [factor.name for factor in factors if factor.categorical]
    if named:
        raise UserError(f"{', '.join(named)} has names for levels", where="screen", fix="use ofat")
    coded = _coded(factors, settings)
    apart = np.array([dict(point) == dict(baseline) for point in settings])
    x = _with_mean(coded)
    if apart.any() and not apart.all():
        x = np.column_stack([x, apart.astype(float)])
    if np.linalg.matrix_rank(x) < x.shape[1]:
        x = x[:, : 1 + len(factors)]
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise UserError(
            "too few runs ended well to tell the factors apart",
            where="screen",
            fix="see why the others failed",
        )
    inverse = np.linalg.pinv(x)
    coef = inverse @ y
    unit = np.sqrt(np.sum(inverse**2, axis=1))
    return [
        {
            "factor": factor.name,
            "effect": 2 * float(coef[j + 1]),
            "unit": 2 * float(unit[j + 1]),
            "tries": 1,
            "low": str(factor.setting(-1.0)),
            "high": str(factor.setting(1.0)),
            "effect_low": math.nan,
            "effect_high": math.nan,
        }
        for j, factor in enumerate(factors)
    ]


# The rule ---------------------------------------------------------------------------------------


def keep_factors(effects: pd.DataFrame, keep: int) -> dict[str, Any]:
    """The factors that later stages vary, by rule.

    The ``keep`` factors of largest absolute effect are kept, always that many, so that later
    stages have a known size; effects that tie are taken in name order. Where the last factor kept
    and the first left out differ by less than the noise of a difference (95 %), the choice between
    them is marked undecided and the page says so.
    """
    from scipy import stats

    chosen = effects[effects["kept"]]
    left = effects[~effects["kept"]]
    undecided: list[str] = []
    if len(left) and len(chosen):
        last, df = chosen.iloc[-1], float(effects["df"].iloc[0])
        for _, other in left.iterrows():
            reach = stats.t.ppf(0.975, df) * math.hypot(last["se"], other["se"])
            if last["absolute"] - other["absolute"] <= reach:
                undecided.append(str(other["factor"]))
    noisy = [str(row["factor"]) for _, row in chosen.iterrows() if not row["above_noise"]]
    said = [
        f"kept: {', '.join(chosen['factor'])}, the {len(chosen)} largest of {len(effects)} effects"
    ]
    if noisy:
        said.append(f"not above the noise between seeds: {', '.join(noisy)}")
    if undecided:
        said.append(
            f"the data cannot tell {chosen['factor'].iloc[-1]}, the last one kept, from "
            f"{', '.join(undecided)}"
        )
    return {
        "kept": sorted(map(str, chosen["factor"])),
        "by_rank": [str(name) for name in chosen["factor"]],
        "rule": f"the {keep} largest absolute effects; ties in name order",
        "not_above_noise": noisy,
        "undecided": undecided,
        "method": str(effects["method"].iloc[0]),
        "statements": said,
    }


# Comparison of designs --------------------------------------------------------------------------


def compare_designs(factors: int, replicates: int = 1) -> list[dict[str, Any]]:
    """What each screening design costs and sees, computed from its own matrix.

    Args:
        factors: number of two-level factors (definitive screening needs three).
        replicates: runs of the baseline.

    Returns:
        One mapping a design: ``runs``; ``variance``, that of a factor's effect (low to high) in
        units of the noise variance; ``runs_for_equal``, runs that one factor at a time needs for
        the same variance; ``interactions`` and ``curvature``: what it can see of them.
    """
    described = [
        DesignFactor(f"x{i:02d}", "linear", -1.0, 1.0, baseline=0.0) for i in range(factors)
    ]
    ofat_runs = 2 * factors + replicates
    rows = [
        {
            "design": "ofat",
            "runs": ofat_runs,
            "variance": 2.0,
            "runs_for_equal": ofat_runs,
            "interactions": "cannot be seen",
            "curvature": "per factor, from low, baseline and high",
        }
    ]
    seen = {
        "plackett_burman": ("blur the main effects (folded over: pairs only)", "at the centre"),
        "definitive_screening": ("clear of the main effects, partly aliased", "per factor"),
    }
    for kind, (interactions, curvature) in seen.items():
        if kind == "definitive_screening" and factors < 3:
            continue
        made = make_design(kind, described)
        x = np.array([[1.0, *(row[f"{f.name}_coded"] for f in described)] for row in made.rows])
        variance = 4 * float(np.linalg.inv(x.T @ x)[1, 1])
        rows.append(
            {
                "design": kind,
                "runs": len(x) + (replicates if kind == "plackett_burman" else replicates - 1),
                "variance": variance,
                "runs_for_equal": math.ceil(2 * factors * 2.0 / variance) + replicates,
                "interactions": interactions,
                "curvature": curvature,
            }
        )
    return rows


def comparison_statement(rows: Sequence[Mapping[str, Any]], design: str) -> str:
    """One sentence that says what the chosen design can see beside the others."""
    kind = SCREEN_DESIGNS.get(design, design)
    said = [
        f"{row['design'].replace('_', ' ')}: {row['runs']} runs, variance of an effect "
        f"{row['variance']:.2f} of a run's, interactions {row['interactions']}"
        for row in rows
    ]
    text = "; ".join(said) + "."
    if kind == "ofat":
        text = "One factor at a time cannot see interactions between factors. " + text
    return text


# The stage --------------------------------------------------------------------------------------


def rank_factors(
    spec: Mapping[str, Any],
    root: str | Path,
    search_name: str,
    out_effects: str | Path,
    out_kept: str | Path,
) -> None:
    """Write a screening's effects and the factors that it keeps.

    Args:
        spec: the study (see `study.read_study`).
        root: the experiment's folder.
        search_name: of the screening.
        out_effects: CSV of :data:`EFFECT_COLUMNS`.
        out_kept: JSON of `keep_factors`, with the comparison of designs.

    Raises:
        UserError: a trial has no result yet, or too many failed.
    """
    study = read_study(spec)
    search = study.search(search_name)
    trials = read_trials(study, root, [search_name])
    require_finished(trials, f"{study.name}.{search_name}")
    effects, kept = analyse_screening(study, search, trials)
    write_table(effects, out_effects, EFFECT_COLUMNS)
    write_json(kept, out_kept)


def analyse_screening(
    study: TuningStudy, search: Search, trials: Sequence[Trial]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Effects and kept factors of a screening's trials (see `screen_effects`)."""
    good = [trial for trial in trials if trial.value is not None]
    effects = screen_effects(
        study.factors,
        [trial.settings for trial in good],
        [float(trial.value or 0.0) for trial in good],
        search.options,
        study.baseline,
    )
    kept = keep_factors(effects, int(search.options["keep"]))
    numeric = sum(not factor.categorical for factor in study.factors)
    rows = compare_designs(max(numeric, 2), int(search.options["replicates"]))
    kept["comparison"] = rows
    kept["statements"].append(comparison_statement(rows, str(search.options["design"])))
    kept["failed"] = len(trials) - len(good)
    return effects, kept
