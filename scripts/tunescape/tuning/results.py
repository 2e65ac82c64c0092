"""What a tuning study found: baseline, best by hand and best automatic, with honest intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescape.errors import UserError
from tunescape.factors import Value
from tunescape.tables import read_table, write_json, write_table
from tunescape.tuning import selection
from tunescape.tuning.curves import bounds_of, budget_curves, compare_starts
from tunescape.tuning.grid import Setting, best_setting, by_setting
from tunescape.tuning.screening import replicate_noise
from tunescape.tuning.study import TuningStudy, read_study, trial_folder
from tunescape.tuning.trials import (
    Trial,
    complete_trials,
    read_trials,
    require_finished,
    settings_key,
    trial_table,
)

if TYPE_CHECKING:
    import pandas as pd

Bools = NDArray[np.bool_]

PREDICTIONS = "predictions.csv"

RESULT_COLUMNS: dict[str, str] = {
    "candidate": "str",
    "runs": "int64",
    "found": "float64",
    "corrected": "float64",
    "corrected_se": "float64",
    "correction": "str",
    "seeds": "int64",
    "confirmed": "float64",
    "confirmed_low": "float64",
    "confirmed_high": "float64",
    "gain": "float64",
    "gain_examples": "float64",
    "gain_low": "float64",
    "gain_high": "float64",
    "gain_method": "str",
    "confirmed_examples": "float64",
    "confirmed_examples_low": "float64",
    "confirmed_examples_high": "float64",
    "n_eval": "float64",
    "settings": "str",
}
"""Columns of table.csv, a row a candidate. ``found`` is the value where the setting was chosen from
``runs`` runs; ``corrected`` takes the choice back out; ``confirmed`` is the mean of fresh seeds.
Gains are over the baseline; in examples they are rows of the evaluation set."""

SEARCHED = 5
"""Settings off the baseline from which on a factor counts as searched, not only screened."""

IMPORTANCE_COLUMNS: dict[str, str] = {
    "factor": "str",
    "partial_r2": "float64",
    "low": "float64",
    "high": "float64",
    "permutation": "float64",
    "runs": "int64",
    "degree": "int64",
}


def summarise_study(
    spec: Mapping[str, Any],
    root: str | Path,
    out_trials: str | Path,
    out_table: str | Path,
    out_curves: str | Path,
    out_importance: str | Path,
    out_history: str | Path,
    out_summary: str | Path,
) -> None:
    """Write everything that a study found.

    Args:
        spec: the study (see `study.read_study`).
        root: the experiment's folder, with the trials of all searches.
        out_trials: CSV, every trial (see `trials.trial_table`).
        out_table: CSV of :data:`RESULT_COLUMNS` and one column a factor.
        out_curves: CSV of `curves.CURVE_COLUMNS`.
        out_importance: CSV of :data:`IMPORTANCE_COLUMNS`.
        out_history: CSV, every epoch of every run of the best candidate.
        out_summary: JSON: the comparison of warm and cold starts, and plain statements.

    Raises:
        UserError: a trial has no result yet, or no run of the baseline ended well.
    """
    study = read_study(spec)
    trials = read_trials(study, root)
    require_finished(trials, study.name)
    table, notes = result_table(study, trials, root)
    starts = compare_starts(study, trials)
    write_table(trial_table(study, trials), out_trials)
    columns = [*RESULT_COLUMNS, *(factor.name for factor in study.factors)]
    write_table(table[columns], out_table)
    write_table(budget_curves(study, trials), out_curves)
    write_table(importance_table(study, trials), out_importance, IMPORTANCE_COLUMNS)
    write_table(best_history(study, trials, table, root), out_history)
    failed = sum(trial.status == "failed" for trial in trials)
    statements = [*_statements(study, table), *notes, *(str(s["statement"]) for s in starts)]
    if failed:
        statements.append(f"{failed} of {len(trials)} runs failed and are left out")
    write_json(
        _plain(
            {
                "experiment": study.name,
                "metric": study.metric,
                "maximise": study.maximise,
                "trials": len(trials),
                "runs": len({trial.run_id for trial in trials}),
                "failed": failed,
                "starts": starts,
                "statements": statements,
            }
        ),
        out_summary,
    )


# The table --------------------------------------------------------------------------------------


def result_table(
    study: TuningStudy, trials: Sequence[Trial], root: str | Path
) -> tuple[pd.DataFrame, list[str]]:
    """Candidates of a study with their values, corrections and gains.

    Args:
        root: where the trials lie, for their predictions.

    Returns:
        A row a candidate (:data:`RESULT_COLUMNS` and the factors), and notes for the reader.
    """
    import pandas as pd

    confirm = {s.name for s in study.searches if s.kind == "confirm"}
    chosen_from = [t for t in complete_trials(study, trials) if t.search not in confirm]
    fresh = [t for t in complete_trials(study, trials) if t.search in confirm]
    groups = _groups(study, chosen_from)
    if "baseline" not in groups:
        raise UserError("no run of the baseline ended well", where=study.name)
    base = by_setting(groups["baseline"])[0]
    noise = replicate_noise(
        [settings_key(t.settings) for t in chosen_from], [t.value or 0.0 for t in chosen_from]
    )
    rows = []
    for name, members in groups.items():
        best = best_setting(members, study.maximise)
        if best is None:
            continue
        corrected = None
        if name != "baseline":
            corrected = correct_selection(study, members, root, noise.sd)
        rows.append(_row(study, name, members, best, base, corrected, fresh, root))
    notes = []
    commonest = commonest_share(root, groups["baseline"][0])
    if commonest is not None and study.metric == "accuracy":
        notes.append(f"always answering the commonest class has accuracy {commonest:.4f}")
    if fresh:
        notes.append(
            "confirmed values are of fresh seeds and the same evaluation rows: they are free of "
            "the choice among seeds, not of the choice among rows"
        )
    return pd.DataFrame(rows), notes


def _groups(study: TuningStudy, trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Candidate -> the runs that it was chosen from."""
    base = settings_key(study.baseline)
    at_base = [trial for trial in trials if settings_key(trial.settings) == base]
    found = {"baseline": at_base} if at_base else {}
    by_hand = {s.name for s in study.searches if s.kind in ("screen", "grid")}
    manual = [trial for trial in trials if trial.search in by_hand]
    if manual:
        found["manual"] = manual
    for search in study.searches:
        own = [trial for trial in trials if trial.search == search.name]
        if search.kind in ("bayes", "surface") and own:
            found[search.name] = own
    return found


def _row(
    study: TuningStudy,
    name: str,
    members: Sequence[Trial],
    best: Setting,
    base: Setting,
    corrected: selection.Corrected | None,
    fresh: Sequence[Trial],
    root: str | Path,
) -> dict[str, Any]:
    nan = math.nan
    n_eval = best.trials[0].metrics.get("n_eval")
    own = _seeds(fresh, best.settings)
    reference = _seeds(fresh, base.settings)
    confirmed = selection.mean_interval(list(own.values())) if own else (nan, nan, nan)
    least, most = bounds_of(study.metric)
    gain = found_gain(study, best, base, root)
    again = None
    shared = sorted(own.keys() & reference.keys())
    if name != "baseline" and shared and study.metric == "accuracy" and n_eval:
        again = selection.seed_gain(
            [reference[s] for s in shared], [own[s] for s in shared], int(n_eval)
        )
    if name == "baseline":
        gain = None
    return {
        "candidate": name,
        "runs": len({trial.run_id for trial in members}),
        "found": best.mean,
        "corrected": corrected.corrected if corrected else nan,
        "corrected_se": corrected.se if corrected else nan,
        "correction": corrected.statement if corrected else "",
        "seeds": len(own),
        "confirmed": confirmed[0],
        "confirmed_low": max(confirmed[1], least),
        "confirmed_high": min(confirmed[2], most),
        "gain": best.mean - base.mean,
        "gain_examples": gain.examples if gain else nan,
        "gain_low": gain.low if gain else nan,
        "gain_high": gain.high if gain else nan,
        "gain_method": gain.method if gain else "",
        "confirmed_examples": again.examples if again else nan,
        "confirmed_examples_low": max(again.low, -again.rows) if again else nan,
        "confirmed_examples_high": min(again.high, again.rows) if again else nan,
        "n_eval": float(n_eval) if n_eval else nan,
        "settings": ", ".join(f"{k} {_short(v)}" for k, v in best.settings.items()),
        **best.settings,
    }


def _seeds(trials: Sequence[Trial], settings: Mapping[str, Value]) -> dict[int, float]:
    key = settings_key(settings)
    return {
        t.seed: float(t.value)
        for t in trials
        if t.value is not None and settings_key(t.settings) == key
    }


def _short(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def found_gain(
    study: TuningStudy, best: Setting, base: Setting, root: str | Path
) -> selection.Gain | None:
    """Gain over the baseline where it was found: paired where predictions exist, else binomial.

    Runs of the same seed are compared where there are some, else the first of each. ``None``
    for metrics that do not count rows.
    """
    if study.metric != "accuracy":
        return None
    by_seed = {trial.seed: trial for trial in base.trials}
    trial = next((t for t in best.trials if t.seed in by_seed), best.trials[0])
    other = by_seed.get(trial.seed, base.trials[0])
    rows = trial.metrics.get("n_eval")
    if not rows or trial.value is None or other.value is None:
        return None
    first, second = read_correct(root, other), read_correct(root, trial)
    if first is not None and second is not None and first.shape == second.shape:
        return selection.paired_gain(first, second)
    return selection.binomial_gain(other.value, trial.value, int(rows))


def read_correct(root: str | Path, trial: Trial) -> Bools | None:
    """Which evaluation rows a trial has right, from ``predictions.csv`` of its run.

    The file has one line a row, in the evaluation set's order, with the columns ``label`` and
    ``prediction``. ``None`` when there is none.
    """
    table = _predictions(root, trial)
    if table is None:
        return None
    return np.asarray(table["label"].astype(str) == table["prediction"].astype(str), dtype=bool)


def commonest_share(root: str | Path, trial: Trial) -> float | None:
    """Share of the evaluation rows that have the commonest label; ``None`` without predictions."""
    table = _predictions(root, trial)
    return None if table is None else float(table["label"].value_counts(normalize=True).iloc[0])


def _predictions(root: str | Path, trial: Trial) -> pd.DataFrame | None:
    path = run_folder(root, trial) / PREDICTIONS
    if not path.is_file():
        return None
    table = read_table(path)
    if not {"label", "prediction"} <= set(table.columns):
        raise UserError("no such columns", where=str(path), expected="label, prediction")
    return table


def run_folder(root: str | Path, trial: Trial) -> Path:
    """Where a trial's run lies."""
    return trial_folder(root, trial.search, trial.round, trial.number)


def correct_selection(
    study: TuningStudy, members: Sequence[Trial], root: str | Path, noise: float
) -> selection.Corrected | None:
    """The best of some runs, corrected for having been chosen, by the strongest means at hand.

    Predictions of every run: halves of the evaluation rows. Else two or more seeds that the
    settings share: nested seeds. Else a noise from replicates: shrinkage. Else ``None``.
    """
    correct = [read_correct(root, trial) for trial in members]
    there = [hits for hits in correct if hits is not None]
    rows = {hits.shape[0] for hits in there}
    if study.metric == "accuracy" and len(there) == len(members) > 1 and len(rows) == 1:
        return selection.split_half_best(np.array(there))
    settings = by_setting(members)
    seeds = sorted({trial.seed for trial in members})
    values = np.full((len(settings), len(seeds)), np.nan)
    for i, setting in enumerate(settings):
        for trial in setting.trials:
            values[i, seeds.index(trial.seed)] = math.nan if trial.value is None else trial.value
    # Seeds of the repeated baseline alone are not seeds of the comparison.
    shared = np.isfinite(values).sum(axis=0) > len(settings) / 2
    if shared.sum() >= 2:
        return selection.nested_seed_best(values[:, shared], study.maximise)
    if math.isfinite(noise) and len(settings) >= selection.MIN_SHRUNKEN:
        means = [setting.mean for setting in settings]
        return selection.shrunken_best(means, noise, study.maximise)
    return None


# Importance and histories -----------------------------------------------------------------------


def importance_table(study: TuningStudy, trials: Sequence[Trial]) -> pd.DataFrame:
    """Importance of each factor over all complete trials, with cluster-bootstrap limits.

    Partial R2 of the factor's terms in a second-order model, clusters being configurations, over
    the factors that at least :data:`SEARCHED` settings move off the baseline (after a screening
    these are the kept ones) and the runs that have the others there. Where the trials are too few
    for that: a first-order model. Factors with names for levels are left out; without a model the
    table is empty.
    """
    import pandas as pd

    from tunescape import inference, surface

    whole = list({t.run_id: t for t in complete_trials(study, trials)}.values())
    base = study.baseline
    numeric = [f for f in study.factors if not f.categorical]
    moved = {
        f.name: len({settings_key(t.settings) for t in whole if t.settings[f.name] != base[f.name]})
        for f in numeric
    }
    searched = [f for f in numeric if moved[f.name] >= SEARCHED]
    varied = searched or [f for f in numeric if moved[f.name]]
    others = [f.name for f in study.factors if f not in varied]
    rows = [t for t in whole if all(t.settings[name] == base[name] for name in others)]
    values = {f.name: [float(t.settings[f.name]) for t in rows] for f in varied}
    y = [float(t.value or 0.0) for t in rows]
    labels = [t.configuration for t in rows]
    empty = pd.DataFrame({c: pd.Series(dtype=t) for c, t in IMPORTANCE_COLUMNS.items()})
    if not varied or len(set(labels)) < len(varied) + 3 or np.ptp(y) == 0:
        return empty
    codings = [surface.code_factor(f.name, values[f.name], f.coding.coding) for f in varied]
    degree = 2
    fit = surface.fit_surface(values, y, codings, degree=2)
    if fit.df_residual < 3 or fit.aliased:
        degree = 1
        fit = surface.fit_surface(values, y, codings, degree=1)
    if fit.df_residual < 1:
        return empty
    found = [
        (i.factor, i.partial_r2, i.low, i.high, i.permutation, len(rows), degree)
        for i in inference.importance(fit, values, labels, draws=500)
    ]
    frame = pd.DataFrame(found, columns=list(IMPORTANCE_COLUMNS))
    return frame.sort_values("partial_r2", ascending=False, kind="stable").reset_index(drop=True)


def best_history(
    study: TuningStudy, trials: Sequence[Trial], table: pd.DataFrame, root: str | Path
) -> pd.DataFrame:
    """Every epoch of every run of the best candidate: ``candidate``, ``seed``, the history.

    The best candidate is that of the best confirmed value, else of the best value found.
    """
    import pandas as pd

    score = table["confirmed" if table["confirmed"].notna().all() else "found"]
    values = score.to_numpy(dtype=float)
    at = int(np.nanargmax(values) if study.maximise else np.nanargmin(values))
    best = table.to_dict("records")[at]
    parts, seen = [], set()
    for trial in complete_trials(study, trials):
        same = all(trial.settings[f.name] == best[f.name] for f in study.factors)
        path = run_folder(root, trial) / "history.csv"
        if not same or trial.run_id in seen or not path.is_file():
            continue
        seen.add(trial.run_id)
        place = {"candidate": best["candidate"], "seed": trial.seed, "run_id": trial.run_id}
        history = read_table(path).rename(columns={"learning_rate": "current_learning_rate"})
        parts.append(history.assign(**place)[[*place, *history.columns]])
    if not parts:
        return pd.DataFrame(columns=["candidate", "seed", "run_id", "epoch", "train_loss", "loss"])
    return pd.concat(parts, ignore_index=True)


# Words ------------------------------------------------------------------------------------------


def _statements(study: TuningStudy, table: pd.DataFrame) -> list[str]:
    said = []
    for row in table.to_dict("records"):
        if row["candidate"] == "baseline":
            said.append(f"baseline: {study.metric} {row['found']:.4f}")
            continue
        text = f"{row['candidate']}: {study.metric} {row['found']:.4f}, best of {row['runs']} runs"
        if math.isfinite(row["gain_examples"]):
            text += (
                f", {row['gain_examples']:+.0f} of {row['n_eval']:.0f} examples beyond the "
                f"baseline ({row['gain_method']} 95 % interval {row['gain_low']:+.0f} to "
                f"{row['gain_high']:+.0f})"
            )
        if math.isfinite(row["corrected"]):
            text += f"; corrected for the choice {row['corrected']:.4f} ({row['correction']})"
        else:
            text += "; not corrected for the choice: neither predictions, seeds nor a noise"
        if row["seeds"]:
            text += f"; {row['confirmed']:.4f} over {row['seeds']} fresh seeds"
        said.append(text)
    return said


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
