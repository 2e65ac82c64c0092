"""A search in the forms that other programs open: Optuna's journal, DeepCAVE's tables.

``study.log`` is an Optuna journal (``optuna-dashboard study.log``, or ``optuna.load_study`` with
``JournalStorage(JournalFileBackend(...))``). A folder with ``trials.csv`` and ``configspace.csv``
is a run of DeepCAVE's data-frame converter. Both count time in optimisation steps, so that the same
trials give the same bytes; seconds are in each run's timing.json.
"""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescape.factors import DesignFactor, Value
from tunescape.tables import write_table, write_text
from tunescape.tuning.bayes import Observation, frozen_trials
from tunescape.tuning.curves import bounds_of
from tunescape.tuning.study import DEFAULT_EPOCHS, Search, TuningStudy, read_study
from tunescape.tuning.trials import Trial, read_kept, read_trials

if TYPE_CHECKING:
    import pandas as pd

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
WORKER = "tunescape"
CONFIGSPACE_COLUMNS = (
    "name",
    "type",
    "log",
    "lower",
    "upper",
    "default",
    "distribution",
    "ordered",
)
STATUS = {"ok": "success", "failed": "crashed"}


def export_search(
    spec: Mapping[str, Any],
    root: str | Path,
    search_name: str,
    out_journal: str | Path,
    out_trials: str | Path,
    out_configspace: str | Path,
) -> None:
    """Write a search's trials for Optuna's dashboard and for DeepCAVE.

    Args:
        spec: the study (see `study.read_study`).
        root: the experiment's folder.
        search_name: which search.
        out_journal: Optuna journal, a study named EXPERIMENT/SEARCH.
        out_trials, out_configspace: ``trials.csv`` and ``configspace.csv`` of one folder.
    """
    study = read_study(spec)
    search = study.search(search_name)
    trials = [t for t in read_trials(study, root, [search_name]) if t.status in STATUS]
    if search.kind == "confirm":
        factors: tuple[DesignFactor, ...] = study.factors
    else:
        factors = study.factors_of(search, read_kept(study, search, root))
    factors = tuple(widen(factor, [t.settings[factor.name] for t in trials]) for factor in factors)
    write_journal(study, search, factors, trials, out_journal)
    write_table(trials_table(study, factors, trials), out_trials)
    write_table(configspace_table(factors), out_configspace)


def widen(factor: DesignFactor, values: Sequence[Value]) -> DesignFactor:
    """A factor whose range (or names) takes in all values that were tried."""
    if factor.categorical:
        return replace(factor, values=tuple(sorted({*factor.values, *values}, key=str)))
    numbers = [float(value) for value in values]
    low, high = min([factor.low, *numbers]), max([factor.high, *numbers])
    scale = factor.scale if low > 0 else "linear"
    return replace(factor, low=low, high=high, scale=scale)


def write_journal(
    study: TuningStudy,
    search: Search,
    factors: Sequence[DesignFactor],
    trials: Sequence[Trial],
    path: str | Path,
) -> None:
    """Write trials as an Optuna journal; the same trials give the same bytes."""
    import optuna
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    full = float(study.shared.get("num_epochs", DEFAULT_EPOCHS))
    promoted = {trial.parent for trial in trials if trial.parent}
    observations = [
        Observation(
            trial.settings,
            trial.value,
            "num_epochs" not in study.baseline and float(trial.spec["num_epochs"]) < full,
            trial.history,
            trial.seed,
            {
                "run_id": trial.run_id,
                "place": trial.place,
                "kind": trial.kind,
                "seed": trial.seed,
                "promoted": trial.place in promoted,
            },
        )
        for trial in trials
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.log"
        made = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(file))),
            study_name=f"{study.name}/{search.name}",
            direction="maximize" if study.maximise else "minimize",
        )
        made.set_user_attr("metric", study.metric)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            made.set_metric_names([study.metric])
        for trial in frozen_trials(factors, observations):
            made.add_trial(trial)
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    clock = _clock(trials)
    for line in lines:
        line["worker_id"] = WORKER
        if "datetime_start" in line:
            start, end = next(clock)
            line["datetime_start"], line["datetime_complete"] = start, end
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    write_text(text, path)


def _clock(trials: Sequence[Trial]) -> Any:
    """Start and end of each trial, one second a step from a fixed day on."""
    passed = 0
    for trial in trials:
        start = passed
        passed += _steps(trial)
        yield tuple(
            (EPOCH + timedelta(seconds=s)).isoformat(timespec="microseconds")
            for s in (start, passed)
        )


def _steps(trial: Trial) -> int:
    return int(trial.metrics.get("steps") or 1)


def trials_table(
    study: TuningStudy, factors: Sequence[DesignFactor], trials: Sequence[Trial]
) -> pd.DataFrame:
    """Trials as DeepCAVE reads them: the metric's column names its bounds and direction."""
    import pandas as pd

    low, high = bounds_of(study.metric)
    direction = "maximize" if study.maximise else "minimize"
    metric = f"metric:{study.metric} [{_bound(low)}; {_bound(high)}] ({direction})"
    rows = []
    passed = 0
    for number, trial in enumerate(trials):
        start, passed = passed, passed + _steps(trial)
        rows.append(
            {
                "config_id": number,
                **{factor.name: trial.settings[factor.name] for factor in factors},
                metric: math.nan if trial.value is None else trial.value,
                "status": STATUS[trial.status],
                "start_time": float(start),
                "end_time": float(passed),
                "budget": float(trial.spec["num_epochs"]),
                "seed": trial.seed,
                "run_id": trial.run_id,
                "place": f"{trial.search}/{trial.place}",
                "kind": trial.kind,
            }
        )
    columns = [
        "config_id", *(f.name for f in factors), metric, "status", "start_time", "end_time",
        "budget", "seed", "run_id", "place", "kind",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _bound(value: float) -> str:
    return f"{'+' if value > 0 else '-'}inf" if math.isinf(value) else f"{value:g}"


def configspace_table(factors: Sequence[DesignFactor]) -> pd.DataFrame:
    """The search space as DeepCAVE reads it; numbers need a distribution, names a default."""
    import pandas as pd

    most = max((len(f.values) for f in factors if f.categorical), default=0)
    items = [f"item_{i}" for i in range(most)]
    rows = []
    for factor in factors:
        row: dict[str, Any] = {"name": factor.name, "log": factor.scale == "log", "ordered": False}
        if factor.categorical:
            row |= {"type": "categorical", "default": factor.values[0]}
            row |= dict(zip(items, factor.values, strict=False))
        else:
            kind = "integer" if factor.integer else "float"
            row |= {"type": kind, "distribution": "uniform"}
            row |= {"lower": factor.low, "upper": factor.high}
        rows.append(row)
    return pd.DataFrame(rows, columns=[*CONFIGSPACE_COLUMNS, *items])
